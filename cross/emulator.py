"""QEMU user mode: programs of another architecture run as if they were this machine's.

Debian trixie's QEMU 10 is static and three times as fast as bookworm's 7.2, so it is unpacked from trixie on every
machine. The kernel is told of it through binfmt_misc, with the flag that opens the program at once: it then works
inside every root file system without a copy there.
"""

from __future__ import annotations

from pathlib import Path

from cross import archive, cache
from cross.archive import Archive
from cross.command import run
from cross.failure import Failure
from cross.target import Target

BINFMT = Path("/proc/sys/fs/binfmt_misc")
SUITE = "trixie"

# The first 20 bytes of an ELF program: class, byte order, ABI (masked), type (EXEC or DYN), machine.
_MAGIC = {
    "aarch64": rb"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00",
    "armv7": rb"\x7fELF\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x28\x00",
}
_MASK = rb"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"


def emulator(target: Target) -> Path:
    """The emulator's program."""
    packages = Archive(SUITE, "amd64").only("qemu-user")

    def build(folder: Path) -> None:
        for deb in archive.fetch(packages):
            run(["dpkg-deb", "-x", deb, folder])

    return cache.built("qemu-user", archive.name(packages), build) / "usr" / "bin" / target.qemu


def register(target: Target) -> None:
    """Let the kernel run programs of ``target`` with our emulator, from now until it restarts."""
    program = emulator(target)
    if not (BINFMT / "register").exists():
        try:
            run(["mount", "-t", "binfmt_misc", "binfmt_misc", BINFMT])
        except Failure as failure:
            raise Failure(f"this kernel runs no foreign programs (binfmt_misc): {failure}") from failure
    entry = BINFMT / f"waspi-{target.name}"
    if entry.exists():
        if f"interpreter {program}\n" in entry.read_text():
            return
        entry.write_text("-1")
    # F: opened now, so that it works in a chroot. P: the program sees the argv[0] that it was called with.
    line = b":waspi-%s:M::%s:%s:%s:PF" % (target.name.encode(), _MAGIC[target.name], _MASK, str(program).encode())
    (BINFMT / "register").write_bytes(line)
