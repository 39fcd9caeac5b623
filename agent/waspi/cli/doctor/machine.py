"""The machine: clock, disk, memory cgroup, sandbox."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Iterator
from pathlib import Path

from waspi import _wasmer
from waspi.cli.doctor.finding import Area, Finding, Level, look
from waspi.device.clock import Clock
from waspi.device.state_folder import faults_of
from waspi.journal.inspect import check, summarize

MIB = 1024 * 1024
LOW_DISK_BYTES = 512 * MIB
NO_DISK_BYTES = 64 * MIB
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
_TIMEX_BYTES = 256  # struct timex is 208 bytes on 64-bit Linux, less on 32-bit
_VOLATILE = {"tmpfs", "ramfs", "overlay"}


def look_at_machine(state_dir: Path, required: tuple[str, ...]) -> Iterator[Finding]:
    """Look at the machine; ``required`` are the parts of the sandbox that the configuration demands."""
    yield from look(Area.DEVICE, "clock", lambda: [clock(Clock())])
    yield from look(Area.DEVICE, "disk", lambda: disk(state_dir))
    yield from look(Area.DEVICE, "state folder", lambda: state_folder(state_dir))
    yield from look(Area.DEVICE, "journal", lambda: journal(state_dir))
    yield from look(Area.DEVICE, "memory cgroup", lambda: [memory_cgroup()])
    yield from look(Area.DEVICE, "sandbox", lambda: sandbox(required))


def clock(own: Clock) -> Finding:
    """Ask the kernel whether something keeps its clock right (adjtimex(2)), which every expiry needs."""
    if not own.plausible:
        return Finding(
            Area.DEVICE,
            "clock",
            Level.FAIL,
            f"it says {time.ctime()}, which has long passed",
            "set it, and start systemd-timesyncd or chrony",
        )
    buffer = ctypes.create_string_buffer(_TIMEX_BYTES)
    state = ctypes.CDLL(None, use_errno=True).adjtimex(buffer)
    if state == _TIME_ERROR:
        return Finding(
            Area.DEVICE,
            "clock",
            Level.WARN,
            "nothing keeps it right",
            "run: timedatectl set-ntp true (or start chrony)",
        )
    if state < 0:
        return Finding(
            Area.DEVICE, "clock", Level.WARN, "the kernel does not tell whether it is right", "check its time"
        )
    return Finding(Area.DEVICE, "clock", Level.OK, "synchronised")


def disk(state_dir: Path) -> Iterator[Finding]:
    """Look at room and kind of the file system that the journal is on."""
    place = next(path for path in (state_dir, *state_dir.absolute().parents) if path.exists())
    stat = os.statvfs(place)
    free = stat.f_bavail * stat.f_frsize
    level = Level.FAIL if free < NO_DISK_BYTES else Level.WARN if free < LOW_DISK_BYTES else Level.OK
    todo = "make room: the journal stops taking jobs when the disk is full" if level is not Level.OK else ""
    yield Finding(Area.DEVICE, "disk", level, f"{free // MIB} MiB free at {place}", todo)
    if stat.f_flag & os.ST_RDONLY:
        yield Finding(
            Area.DEVICE, "disk", Level.FAIL, f"{place} is mounted read-only", "set device.state_dir to a writable disk"
        )
    kind = _file_system(place)
    if kind in _VOLATILE:
        yield Finding(
            Area.DEVICE,
            "disk",
            Level.WARN,
            f"{place} is on {kind}: jobs are forgotten when the power goes",
            "set device.state_dir to a disk (with an overlay file system: to a partition outside of it)",
        )


def state_folder(state_dir: Path) -> Iterator[Finding]:
    """Look at whose the state folder is; the agent refuses one that others may write."""
    if not state_dir.exists():
        return
    owner = state_dir.stat().st_uid
    for found, todo in faults_of(state_dir, owner):
        yield Finding(Area.DEVICE, "state folder", Level.FAIL, found, todo)
    if os.geteuid() not in {0, owner}:
        found = f"{state_dir} belongs to user {owner}, this is user {os.geteuid()}"
        todo = "run the agent and the doctor as that user (the doctor also as root)"
        yield Finding(Area.DEVICE, "state folder", Level.WARN, found, todo)


def journal(state_dir: Path) -> Iterator[Finding]:
    """Look through the journal, if there is one: whether it is whole, and what was set aside when it was not."""
    file = state_dir / "journal.db"
    if not file.exists():
        return
    damage = check(file)
    if damage is not None:
        todo = "restart the agent: it sets the file aside and goes on with a new one; then look at the disk"
        yield Finding(Area.DEVICE, "journal", Level.FAIL, damage, todo)
        return
    summary = summarize(file)
    for name in summary.damaged:
        todo = "look at the disk; then remove the file, or keep it for its results"
        yield Finding(Area.DEVICE, "journal", Level.WARN, f"damaged once: {file.with_name(name)}", todo)
    usage = summary.usage
    found = f"whole; {usage.open} jobs to do, {usage.outbox_messages} results to deliver"
    yield Finding(Area.DEVICE, "journal", Level.OK, found)


def memory_cgroup() -> Finding:
    """Look for the memory controller, without which systemd's MemoryMax= does nothing (off on Raspberry Pi OS)."""
    groups = Path("/sys/fs/cgroup")
    unified = groups / "cgroup.controllers"
    if not unified.exists() and not any(groups.glob("*/cgroup.procs")):
        todo = "nothing to do in a container; on a board, see that systemd runs"
        return Finding(Area.DEVICE, "memory cgroup", Level.WARN, f"cannot tell: no {groups} here", todo)
    if (groups / "memory").is_dir() or (unified.exists() and "memory" in unified.read_text(encoding="ascii").split()):
        return Finding(Area.DEVICE, "memory cgroup", Level.OK, "on")
    return Finding(
        Area.DEVICE,
        "memory cgroup",
        Level.WARN,
        "off: MemoryMax= of the service does nothing",
        "add cgroup_enable=memory cgroup_memory=1 to /boot/firmware/cmdline.txt and reboot",
    )


def sandbox(required: tuple[str, ...]) -> Iterator[Finding]:
    """Look at what the kernel offers for locking workers in."""
    for part, state in sorted(_wasmer.posture().items()):
        what = f"sandbox: {part}"
        if not state.startswith("off"):
            yield Finding(Area.DEVICE, what, Level.OK, state)
        elif part in required:
            todo = "use a kernel that has it; the agent does not start while policy.require names it"
            yield Finding(Area.DEVICE, what, Level.FAIL, state, todo)
        else:
            todo = "use a kernel that has it; guests are held by the remaining layers"
            yield Finding(Area.DEVICE, what, Level.WARN, state, todo)


def _file_system(place: Path) -> str:
    found, kind = "", ""
    try:
        mounts = Path("/proc/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    for line in mounts.splitlines():
        _, point, each, *_ = line.split(" ")
        if str(place.resolve()).startswith(point.rstrip("/") + "/") and len(point) >= len(found):
            found, kind = point, each
    return kind
