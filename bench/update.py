"""What an update of a module costs: time against the bare transfer, wear of the disk, memory of the updater."""

from __future__ import annotations

import hashlib
import os
import random
import re
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.integration.updates.device.rig import TEMPLATE, Rig
from tests.simulators.link_owner import LinkOwner

from bench.figure import Figure, percentile
from bench.process_memory import ProcessMemory
from bench.program import running
from bench.section import Section
from bench.target import Target
from waspi._wasmer import wat2wasm
from waspi.mqtt.message import Outgoing
from waspi.updates.local_requests import ask_check

if TYPE_CHECKING:
    from tests.simulators.agent_process import AgentProcess

    from bench.session import Session

NAME = "update"
ROUNDS: Final = 15
SIZE: Final = 1_000_000
"""Bytes of a module, random: nothing that compression would help."""
RANGE: Final = 64 * 1024
TIME, WRITTEN, MEMORY = "1 MB", "written per byte of the module", "memory"
RAW, DURABLE, FETCH, WHOLE = (
    "raw MQTT",
    "raw MQTT, written to disk and synced",
    "waspi update, the transfer",
    "waspi update, from the question to serving",
)
UPDATER, IDLE, READY = "waspi updater, at most", "waspi agent, no updates configured", "waspi agent, after updates"
_WORD: Final = re.compile(r"fetched (\d+) bytes in (\d+) ms and took (\d+) KiB")


def measure(session: Session) -> Section:
    """One device, one depot, releases of 1 MB one after the other."""
    section = Section(
        NAME,
        "Update of a module",
        "Loopback, QoS 1, ranges of 64 KiB, a module of random bytes; the depot is a process of its own. The transfer "
        "ends with the checked module synced "
        "to disk; the whole adds the updater's start, the signed metadata, compiler, tests and the trial's begin. "
        "Written: the kernel's count for the agent with all its children, against a module whose artifact is as long.",
        RAW,
    )
    times: dict[str, list[float]] = {RAW: [], DURABLE: [], FETCH: [], WHOLE: []}
    written: list[float] = []
    peaks: list[float] = []
    with Rig(session.disk / "update") as rig, ExitStack() as stack:
        rig.desk.release("1.0.0")
        options = ["--repo", str(rig.desk.folder), "--broker", rig.broker.url]
        stack.enter_context(running(["-m", "waspi", "depot", *options], ready="serving"))
        agent = rig.agent(updates="trial_jobs = 1\n", rest="[queue]\nidle_s = 1\n")
        agent.start()
        rig.watcher.until_state("1.0.0", "TRIAL")
        rig.watcher.run("first")
        rig.watcher.until_state("1.0.0", "ACTIVE")
        rounds = session.count(ROUNDS)
        for turn in range(rounds):
            session.say(f"round {turn + 1} of {rounds}")
            wasm = _module(turn)
            raw_ms, durable_ms = _raw(rig, wasm, session.disk / "raw", turn)
            times[RAW].append(raw_ms)
            times[DURABLE].append(durable_ms)
            whole_ms, fetch_ms, peak, per_byte = _update(rig, agent, f"2.0.{turn}", wasm)
            times[WHOLE].append(whole_ms)
            times[FETCH].append(fetch_ms)
            peaks.append(peak)
            written.append(per_byte)
        ready = _settled(agent)
        agent.stop()
        plain = rig.agent("plain")
        plain.config.write_text(plain.config.read_text().partition("[updates]")[0] + "[queue]\nidle_s = 1\n")
        plain.start()
        rig.watcher.until(plain.children)
        idle = _settled(plain)
    section.figures += [Figure.of(name, TIME, "ms", taken) for name, taken in times.items()]
    section.figures.append(Figure.of(FETCH, WRITTEN, "bytes", written))
    for name, mib in ((UPDATER, peaks), (IDLE, [idle]), (READY, [ready])):
        section.figures.append(Figure.of(name, MEMORY, "MiB", mib))
    ratio = percentile([fetch / raw for fetch, raw in zip(times[FETCH], times[DURABLE], strict=True)], 0.5)
    section.targets.append(Target("transfer of an update against raw MQTT to disk", ratio, 3, "x"))
    section.targets.append(Target("bytes written per byte of the module", sorted(written)[len(written) // 2], 2.2, ""))
    return section


def _module(seed: int) -> bytes:
    """A guest of SIZE random bytes that nobody reads."""
    data = "".join(f"\\{each:02x}" for each in random.Random(seed).randbytes(SIZE))  # noqa: S311 - contents
    suffix = f"<{seed}>"
    return wat2wasm(TEMPLATE.format(suffix=suffix, size=len(suffix), before="", more=f'(data "{data}")').encode())


def _raw(rig: Rig, data: bytes, file: Path, turn: int) -> tuple[float, float]:
    """Milliseconds for the bytes from one client to another, and until they are synced to a file."""
    sender = LinkOwner(rig.broker.url, f"raw-sender-{turn}")
    taker = LinkOwner(rig.broker.url, f"raw-taker-{turn}", filters=("raw/module",))
    sender.connect()
    taker.connect()
    parts = [data[at : at + RANGE] for at in range(0, len(data), RANGE)]
    acknowledged = 0
    begin = time.perf_counter()
    waiting = [*parts]
    while len(taker.messages) < len(parts):
        while waiting and sender.link.room > 0:
            sender.link.publish(Outgoing("raw/module", waiting.pop(0)))
        sender.step(0)
        taker.step(0.001)
        for message in taker.messages[acknowledged:]:
            taker.link.acknowledge(message)
        acknowledged = len(taker.messages)
    came = time.perf_counter()
    with file.open("wb") as sink:
        sink.writelines(message.payload for message in taker.messages)
        sink.flush()
        os.fsync(sink.fileno())
    synced = time.perf_counter()
    sender.close()
    taker.close()
    return (came - begin) * 1000, (synced - begin) * 1000


def _update(rig: Rig, agent: AgentProcess, version: str, wasm: bytes) -> tuple[float, float, float, float]:
    """Milliseconds of the whole and of the transfer, MiB of the updater, bytes written per byte."""
    os.sync()
    before = _written(agent.pid)
    rig.desk.release(version, wasm=wasm, golden=())
    begin = time.perf_counter()
    ask_check(agent.state / "updates")
    rig.watcher.until_state(version, "TRIAL")
    whole_ms = (time.perf_counter() - begin) * 1000
    turn = int(version.rpartition(".")[2])
    rig.watcher.until(lambda: sum(int(size) >= SIZE for size, _, _ in _WORD.findall(agent.log)) > turn)
    os.sync()
    per_byte = (_written(agent.pid) - before) / len(wasm)
    _, fetch_ms, peak_kib = map(int, _WORD.findall(agent.log)[-1])
    rig.watcher.run(f"job-{hashlib.sha256(version.encode()).hexdigest()[:8]}")
    rig.watcher.until_state(version, "ACTIVE")
    return whole_ms, float(fetch_ms), peak_kib / 1024, per_byte


def _written(pid: int) -> int:
    found = re.search(r"^write_bytes: (\d+)", Path(f"/proc/{pid}/io").read_text(), re.MULTILINE)
    return int(found[1]) if found else 0


def _settled(agent: AgentProcess) -> float:
    end = time.monotonic() + 30
    while agent.children():
        if time.monotonic() > end:
            raise TimeoutError("the agent's workers did not leave")
        time.sleep(0.05)
    return ProcessMemory.settled(agent.pid).pss
