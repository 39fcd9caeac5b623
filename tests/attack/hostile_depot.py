"""A depot that wants a board to run something else, to run nothing, or to fall over.

The board runs 1.0.0, 2.0.0 is deployed, and the only depot is the attacker's. Whatever it answers, the board goes on
with 1.0.0, answers jobs, says why it has no update, and takes 2.0.0 from an honest depot afterwards.
"""

from __future__ import annotations

import os
import signal
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.attack.board import Board, Finding
from tests.integration.updates.device.rig import Rig, module
from tests.simulators.agent_process import AgentProcess
from tests.simulators.link_owner import LinkOwner
from waspi.fleet.depot.service import Depot, _Waiting
from waspi.mqtt.address import BrokerAddress
from waspi.mqtt.message import Incoming, Outgoing
from waspi.protocol import cbor
from waspi.protocol.depot import (
    MAX_FILE,
    RangeChunk,
    RangeRequest,
    Refusal,
    RefusalKind,
    TimestampNotice,
    decode_range_chunk,
    encode_range_chunk,
    encode_timestamp_notice,
)
from waspi.protocol.topics import Topics

Trick = Callable[[RangeRequest, RangeChunk], Iterable[RangeChunk | bytes]]
"""What is sent for a request in place of the honest answer."""

TOPICS = Topics("default")
STOLEN = b'{"signatures":[],"signed":{"_type":"root","version":2}}'


class HostileDepot(Depot):
    """Has the real repository at hand, and answers by its ``trick``."""

    trick: Trick = staticmethod(lambda _request, chunk: (chunk,))

    def _send(self, waiting: _Waiting, payload: bytes, asked: Incoming | None) -> None:
        sent = False
        for each in self.trick(waiting.request, decode_range_chunk(payload)):
            data = each if isinstance(each, bytes) else encode_range_chunk(each)
            super()._send(waiting, data, None if sent else asked)
            sent = True
        if not sent and asked is not None:
            self._link.acknowledge(asked)


@dataclass(frozen=True)
class Way:
    """One way; ``says``: what the board reports of it (nothing: it may be waiting still)."""

    name: str
    trick: Trick
    says: str = ""


def _wasm(request: RangeRequest) -> bool:
    return request.path.endswith(".wasm")


def _spoil(part: str, change: Callable[[RangeChunk], Iterable[RangeChunk | bytes]]) -> Trick:
    """Change the answers for files with ``part`` in their path; the others are honest."""
    return lambda request, chunk: change(chunk) if part in request.path else (chunk,)


def _bomb(chunk: RangeChunk) -> Iterable[bytes]:
    fields = {"v": 1, "depot": chunk.depot, "token": chunk.token, "path": chunk.path, "offset": chunk.offset}
    yield cbor.encode({**fields, "total": 1 << 20, "coding": "zlib", "data": zlib.compress(bytes(40_000_000))})


def _refusal(kind: RefusalKind, depot: str = "") -> Callable[[RangeChunk], Iterable[RangeChunk]]:
    def refuse(chunk: RangeChunk) -> Iterable[RangeChunk]:
        error = Refusal(kind, "no \x1b[2J\u202e" * 20, 3_600_000)
        yield replace(chunk, data=b"", error=error, depot=depot or f"depot-{os.urandom(4).hex()}")

    return refuse


def _own_root(request: RangeRequest, chunk: RangeChunk) -> Iterable[RangeChunk]:
    if request.path.endswith("2.root.json"):
        chunk = RangeChunk(chunk.depot, chunk.token, chunk.path, 0, len(STOLEN), STOLEN)
    return (chunk,)


def _without_module(noise: Callable[[], list[bytes]]) -> Trick:
    return lambda request, chunk: noise() if _wasm(request) else [*noise(), chunk]


def _repeated(request: RangeRequest, chunk: RangeChunk) -> Iterable[RangeChunk]:
    return [replace(chunk, path="metadata/9.root.json") if _wasm(request) else chunk] * 1000


def _forged(chunk: RangeChunk) -> Iterable[RangeChunk]:
    changed = chunk.data.replace(b'"version":', b'"version":9')
    yield replace(chunk, data=changed, total=len(changed))


WAYS = (
    Way("silence", lambda _request, _chunk: ()),
    Way("silence in the middle of the module", lambda request, chunk: () if _wasm(request) else (chunk,)),
    Way("bytes that are no answer", lambda _request, _chunk: [os.urandom(60)] * 40),
    Way("an answer of 900 KB before each honest one, and no module", _without_module(lambda: [bytes(900_000)])),
    Way("a bomb of 40 MB in 40 KB", _spoil("timestamp", _bomb)),
    Way("an endless timestamp", _spoil("timestamp", lambda chunk: (replace(chunk, total=MAX_FILE),)), "for a range of"),
    Way("an endless module", _spoil(".wasm", lambda chunk: (replace(chunk, total=MAX_FILE),)), "signed are"),
    Way(
        "another module",
        _spoil(".wasm", lambda chunk: (replace(chunk, data=bytes(len(chunk.data))),)),
        "not those that were signed",
    ),
    Way("a root of its own", _own_root, "refused"),
    Way("a timestamp of its own", _spoil("timestamp", _forged), "refused"),
    Way("nothing to be had", _spoil("", _refusal(RefusalKind.UNREADABLE)), "the depot refuses"),
    Way("always busy", _spoil("timestamp", _refusal(RefusalKind.BUSY))),
    Way("a thousand answers for each question, and no module", _repeated),
)


@contextmanager
def updating(folder: Path, url: str = "") -> Iterator[Rig]:
    """A board that runs 1.0.0, in a deployment that names 2.0.0, which nobody serves, or somebody at ``url``."""
    with Rig(folder) as rig:
        rig.desk.release("1.0.0")
        honest = rig.depot(depot="honest")
        agent = rig.agent(updates="trial_jobs = 1\n")
        agent.start()
        rig.watcher.until_any("1.0.0", ("TRIAL", "ACTIVE"))
        rig.watcher.run("first")
        rig.watcher.until_state("1.0.0", "ACTIVE")
        honest.close()
        rig.desk.release("2.0.0", wasm=module("<2.0.0>", ballast=300_000))
        if url:
            agent.stop()
            agent.config.write_text(agent.config.read_text().replace("[updates]", f'[updates]\nurl = "{url}"'))
            agent.start()
        yield rig


def attempt(rig: Rig, way: Way) -> float:
    """Try it; seconds after which the board answers a job meanwhile. Raises AssertionError when it got through."""
    agent = rig.agents[0]
    end_updater(agent)
    before = len(rig.watcher.reported)
    hostile = HostileDepot(rig.desk.folder, BrokerAddress.parse(rig.broker.url), depot="evil")
    hostile.trick = way.trick
    with hostile:
        if way.says:
            rig.watcher.until(lambda: any(way.says in each.updates for each in rig.watcher.reported[before:]), 90.0)
        else:
            rig.watcher.until(lambda: hostile.counts.refused + hostile.counts.served > 0, 60.0)
        took_s = answers_with(rig, "1.0.0")
    assert agent.alive
    return took_s


def answers_with(rig: Rig, version: str) -> float:
    """Seconds after which the board answers a job, by that version."""
    began = time.monotonic()
    result = rig.watcher.run(f"job-{os.urandom(4).hex()}")
    assert result.outputs == (f"x<{version}>".encode(),), result
    return time.monotonic() - began


def end_updater(agent: AgentProcess) -> None:
    """End an updater that still waits for the attacker before: in minutes it would give up by itself."""
    for pid in agent.children():
        if b"waspi.updates" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)


def recover(rig: Rig) -> None:
    """An honest depot comes: the board takes 2.0.0, as soon as it has asked all, after those that cried."""
    end_updater(rig.agents[0])
    rig.depot(depot="honest")
    until_updated(rig)


def until_updated(rig: Rig) -> None:
    """Wait until the board has taken 2.0.0."""
    rig.watcher.until(lambda: any(rig.watcher.is_seen("2.0.0", state) for state in ("TRIAL", "ACTIVE")), 120.0)
    answers_with(rig, "2.0.0")


class Crier(LinkOwner):
    """Somebody who may write to depots' topics and says much."""

    def cry(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        self.until(lambda: self.link.room > 0)
        self.link.publish(Outgoing(topic, payload, retain=retain))


def flood(rig: Rig, count: int) -> float:
    """Announcements of depots without end, each new, and chunks that nobody asked for; seconds as above."""
    crier = Crier(rig.broker.url, "crier", window=64)
    crier.connect()
    began_with = _resident_kib(rig.agents[0].pid)
    for number in range(count):
        notice = TimestampNotice(number + 1, os.urandom(32).hex())
        crier.cry(TOPICS.depot_timestamp(f"depot-{number}"), encode_timestamp_notice(notice))
        crier.cry(TOPICS.chunk(rig.device, f"token-{number}"), os.urandom(2000))
    took_s = answers_with(rig, "1.0.0")
    crier.close()
    grown = _resident_kib(rig.agents[0].pid) - began_with
    assert grown < 8192, f"{grown} KiB more after {count} announcements"
    return took_s


def _resident_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


def attack(board: Board) -> Finding:
    """All of them, one after the other, on a board of their own that takes updates; ``board`` goes on beside it."""
    by = "signatures, lengths and hashes (TUF), a window of bounded ranges, a process of its own"
    with updating(board.folder / "updating") as rig:
        slowest_s = 0.0
        for way in WAYS:
            try:
                slowest_s = max(slowest_s, attempt(rig, way))
            except AssertionError as error:
                return Finding(held=False, stopped_by=by, seen=f"{way.name}: {error}")
        slowest_s = max(slowest_s, flood(rig, 1000))
        recover(rig)
    return Finding(held=True, stopped_by=by, seen=f"{len(WAYS) + 1} ways, its slowest job {slowest_s:.2f} s")
