"""What a function in JavaScript costs: fresh, warm, and compiling the engine; against QuickJS and Node."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from typing import TYPE_CHECKING, Final

from bench.figure import Figure
from bench.peers.environment import PeerAbsentError, environment
from bench.peers.peer import Peer
from bench.section import Section
from bench.target import Target
from waspi import javascript
from waspi._wasmer import Module as Native
from waspi.engine import Module

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.session import Session

NAME = "javascript"
SUBJECT = "waspi"
NODE = "node, a process each"
CALLS: Final = 2_000
PROCESSES: Final = 20
COMPILES: Final = 3
INPUT: Final = b'{"readings":[1,2,3,4]}'
OUTPUT: Final = b'{"mean":2.5}'
MEAN: Final = "({ readings }) => ({ mean: readings.reduce((a, b) => a + b, 0) / readings.length })"
QUICKJS: Final = Peer("quickjs", "", ("quickjs==1.19.4",))
# In the peer's own Python: a fresh context for each call, then one context for all.
_QUICKJS = """
import json, quickjs, sys, time
source, given, calls = sys.argv[1], sys.argv[2], int(sys.argv[3])
text = "const f = " + source + "; function call(text) { return JSON.stringify(f(JSON.parse(text))) }"
def made():
    context = quickjs.Context()
    context.eval(text)
    return context.get("call")
def timed(act):
    assert act() == sys.argv[4]
    taken = []
    for _ in range(calls):
        begin = time.perf_counter_ns()
        act()
        taken.append((time.perf_counter_ns() - begin) / 1000)
    return taken
warm = made()
print(json.dumps({"fresh": timed(lambda: made()(given)), "warm": timed(lambda: warm(given))}))
"""
_NODE = "const f = {source}; process.stdout.write(JSON.stringify(f(JSON.parse({given}))))"


def measure(session: Session) -> Section:
    """Each subject by itself, call by call."""
    section = Section(
        NAME,
        "A function in JavaScript",
        "The mean of four numbers, JSON in and out. waspi runs it on its engine within a device's limits, fresh: on an "
        "instance of its own, as a device does for every job. QuickJS (PyPI quickjs) runs in one process, with "
        "no limits, fresh: in a new context. Node starts a process for each call, which is the isolation that it has.",
        SUBJECT,
    )
    script = f'export const waspi = {{ encoding: "json" }}; export default {MEAN}'
    calls = session.count(CALLS)
    with Module.compile(script, abi={"format": "javascript"}) as module, module.instantiate() as instance:
        fresh = _timed(lambda: module.run(INPUT).output, calls)
        warm = _timed(lambda: instance.run(INPUT).output, calls)
    section.versions[SUBJECT] = f"waspi ({javascript.engine().name})"
    section.figures += [Figure.of(SUBJECT, "fresh call", "us", fresh), Figure.of(SUBJECT, "warm call", "us", warm)]
    section.figures.append(Figure.of(SUBJECT, "compile of the engine, once", "ms", _compiles(session.count(COMPILES))))
    _quickjs(section, calls)
    _node(section, session.count(PROCESSES))
    beyond = (section.median(SUBJECT, "fresh call") or 0) - (section.median(SUBJECT, "warm call") or 0)
    section.targets.append(Target("JavaScript on a fresh instance, beyond a warm call", beyond, 60, "us"))
    return section


def _timed(act: Callable[[], bytes], calls: int) -> list[float]:
    if act() != OUTPUT:
        raise RuntimeError(f"it gave {act()!r}")
    taken = []
    for _ in range(calls):
        begin = time.perf_counter_ns()
        act()
        taken.append((time.perf_counter_ns() - begin) / 1000)
    return taken


def _compiles(count: int) -> list[float]:
    wasm = javascript.bytecode()
    taken = []
    for _ in range(max(count, 1)):
        begin = time.perf_counter()
        Native.compile(wasm)
        taken.append((time.perf_counter() - begin) * 1000)
    return taken


def _quickjs(section: Section, calls: int) -> None:
    try:
        python = environment(QUICKJS)
    except PeerAbsentError as error:
        section.absent[QUICKJS.name] = str(error)
        return
    arguments = [MEAN, INPUT.decode(), str(calls), OUTPUT.decode()]
    done = subprocess.run([str(python), "-c", _QUICKJS, *arguments], capture_output=True, text=True, check=True)
    taken = json.loads(done.stdout)
    section.versions[QUICKJS.name] = f"{QUICKJS.requirements[0]}, in process"
    section.figures += [Figure.of(QUICKJS.name, f"{what} call", "us", taken[what]) for what in ("fresh", "warm")]


def _node(section: Section, processes: int) -> None:
    node = shutil.which("node")
    if node is None:
        section.absent[NODE] = "no node on PATH"
        return
    command = [node, "-e", _NODE.format(source=MEAN, given=json.dumps(INPUT.decode()))]

    def once() -> bytes:
        return subprocess.run(command, capture_output=True, check=True).stdout

    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    section.versions[NODE] = f"node {version}, a process each"
    section.figures.append(Figure.of(NODE, "fresh call", "us", _timed(once, processes)))
