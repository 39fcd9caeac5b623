"""One list of checks for every broker: the contract's trials, and a whole agent with its jobs."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.brokers.brokers import Broker
from tests.simulators.agent_process import AgentProcess, Publisher
from waspi import _wasmer
from waspi.errors import WaspiError
from waspi.fleet import Client
from waspi.fleet.trial import TRIALS
from waspi.model.job import Job
from waspi.model.limits import Limits
from waspi.model.module import NamedModule
from waspi.model.state import JobState
from waspi.mqtt.address import BrokerAddress
from waspi.mqtt.message import ServerLimits
from waspi.mqtt.settings import LinkSettings

APPEND = Path(__file__).parents[2] / "build/guests/append-rust.wasm"
SUFFIX = b"<---- This is your string"
WITHIN_S = 30.0
"""Seconds after which what has not come does not come."""
RESTART_S = 120.0
"""The same where a broker has to come up again, and its clients have to find it."""
LARGE = 2_000_000
_FILLS = f"""(module (memory (export "memory") 60)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "append") (param i32 i32) (result i64)
    (i32.store8 (i32.const {LARGE + 1999}) (i32.const 90))
    (i64.or (i64.shl (i64.const 2000) (i64.const 32)) (i64.const {LARGE}))))"""


class CheckError(Exception):
    """What a check expected and did not find."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the table; ``run`` raises when it fails."""

    name: str
    run: Callable[[Broker, Path], None]
    restarts: bool = False
    """Whether it kills the broker, which has to keep what it was given."""


@contextmanager
def agent(broker: Broker, folder: Path) -> Iterator[AgentProcess]:
    """An agent that has the append module; it need not be online yet."""
    own = AgentProcess(
        Path(tempfile.mkdtemp(dir=folder)),
        broker.url,
        device='groups = ["kitchen"]',
        broker="will_delay_s = 0\nkeepalive_s = 10",
        rest=f'[modules.append]\npath = "{APPEND}"\nversion = "1.0.0"\n[limits]\nmemory_mib = 64\n',
    )
    own.start()
    try:
        yield own
    finally:
        own.kill()


class Watcher(Publisher):
    """Subscribes on each connection: HiveMQ, once killed, has sessions of 0 s without their subscriptions."""

    def on_online(self, session_present: bool, limits: ServerLimits) -> None:
        del session_present
        super().on_online(False, limits)


@contextmanager
def publisher(broker: Broker) -> Iterator[Publisher]:
    """A client that hears all that devices say."""
    own = Watcher(broker.url, f"publisher-{time.monotonic_ns()}", session_expiry_s=0)
    try:
        own.connect()
        yield own
    finally:
        own.close()


def need(holds: object, otherwise: str) -> None:
    """Raise unless it holds."""
    if not holds:
        raise CheckError(otherwise)


def _job(name: str) -> Job:
    return Job(name, NamedModule("append"), (name.encode(),))


def _online(broker: Broker, folder: Path, stack: ExitStack) -> tuple[AgentProcess, Publisher]:
    """An agent that is online, and who hears it."""
    hears = stack.enter_context(publisher(broker))
    works = stack.enter_context(agent(broker, folder))
    hears.until_online(WITHIN_S)
    return works, hears


def _answered(hears: Publisher, names: list[str]) -> None:
    """All jobs have their one right result."""
    hears.until(lambda: {each.id for each, _ in hears.results} >= set(names), WITHIN_S)
    hears.settle()
    for name in names:
        outputs = {(each.state, each.outputs) for each in hears.results_of(name)}
        need(outputs == {(JobState.SUCCEEDED, (name.encode() + SUFFIX,))}, f"job {name}: {outputs}")


def _run(broker: Broker, folder: Path) -> None:
    with ExitStack() as stack:
        _online(broker, folder, stack)
        client = stack.enter_context(Client(broker.url))
        result = client.run("pi-1", "append", b"x", timeout=WITHIN_S)
        need(result.outputs == (b"x" + SUFFIX,), f"{result.state} {result.error}")


def _plain(broker: Broker, folder: Path) -> None:
    with ExitStack() as stack:
        _, hears = _online(broker, folder, stack)
        hears.send(b"x", topic=hears.topics.run("pi-1", "append"))
        hears.until(lambda: hears.plain, WITHIN_S)
        need(hears.plain[0].payload == b"x" + SUFFIX, repr(hears.plain[0].payload))
        need(hears.plain[0].correlation == b"c", f"correlation data {hears.plain[0].correlation!r}")


def _many(broker: Broker, folder: Path) -> None:
    names = [f"many-{number}" for number in range(200)]
    with ExitStack() as stack:
        works, hears = _online(broker, folder, stack)
        for name in names:
            hears.send(_job(name))
            hears.send(b"garbage")  # refused at once, while jobs wait for the disk
        _answered(hears, names)
        need("offline" not in works.log, "the agent lost its connection")


def _group(broker: Broker, folder: Path) -> None:
    with ExitStack() as stack:
        _, hears = _online(broker, folder, stack)
        hears.send(_job("group-1"), topic=hears.topics.group_job("kitchen"))
        _answered(hears, ["group-1"])


def _away(broker: Broker, folder: Path) -> None:
    names = [f"away-{number}" for number in range(100)]
    with ExitStack() as stack:
        works, hears = _online(broker, folder, stack)
        works.kill()
        for name in names:
            hears.send(_job(name))
        hears.until(lambda: hears.link.room == hears.link._window, WITHIN_S)
        works.start()
        _answered(hears, names)


def _again(broker: Broker, folder: Path) -> None:
    with ExitStack() as stack:
        _, hears = _online(broker, folder, stack)
        hears.send(_job("again-1"))
        hears.result("again-1", WITHIN_S)
        hears.send(_job("again-1"))
        hears.until(lambda: len(hears.results_of("again-1")) > 1, WITHIN_S)
        _answered(hears, ["again-1"])


def _retained_job(broker: Broker, folder: Path) -> None:
    with ExitStack() as stack:
        _, hears = _online(broker, folder, stack)
        hears.send(_job("retained-1"), retain=True)
        hears.until(lambda: hears.results, WITHIN_S)
        hears.send(b"", retain=True, reply_to=None)  # leave nothing behind
        state = hears.results[0][0].state
        need(state is JobState.REJECTED, f"a job with the retain flag is {state}")


def _offline(broker: Broker, folder: Path) -> None:
    with ExitStack() as stack:
        works, hears = _online(broker, folder, stack)
        works.kill()
        hears.until(lambda: hears.presence[-1].state == "offline", WITHIN_S)
        late = Publisher(broker.url, f"late-{time.monotonic_ns()}", session_expiry_s=0)
        stack.callback(late.close)
        late.connect()
        late.link.subscribe([late.topics.presence("pi-1")])
        late.until(lambda: late.presence, WITHIN_S)
        need(late.presence[-1].state == "offline", "who connects later sees it as online")


def _large(broker: Broker, folder: Path) -> None:
    with ExitStack() as stack:
        _online(broker, folder, stack)
        client = stack.enter_context(Client(broker.url))
        module = _wasmer.wat2wasm(_FILLS.encode())
        limits = Limits(output_bytes=LARGE + 1)
        result = client.run("pi-1", module, b"", timeout=WITHIN_S, limits=limits)
        need(result.outputs, f"{result.state} {result.error}")
        need(len(result.outputs[0]) == LARGE and result.outputs[0].endswith(b"Z"), "a result of 2 MB is not whole")


def _killed(broker: Broker, folder: Path) -> None:
    """The broker is killed with jobs on their way; who sent them is still there and sends them again."""
    names = [f"killed-{number}" for number in range(100)]
    with ExitStack() as stack:
        _online(broker, folder, stack)
        client = stack.enter_context(Client(broker.url))
        client.run("pi-1", "append", b"", timeout=WITHIN_S)
        time.sleep(broker.settles_s)
        handles = [client.submit("pi-1", "append", name.encode(), job_id=name) for name in names]
        handles[10].result(WITHIN_S)
        broker.kill()
        broker.start()
        for name, handle in zip(names, handles, strict=True):
            result = handle.result(RESTART_S)
            need(result.outputs == (name.encode() + SUFFIX,), f"job {name}: {result.state} {result.error}")


def _kept(broker: Broker, folder: Path) -> None:
    """The broker is killed while the device is away and jobs wait for it."""
    names = [f"kept-{number}" for number in range(20)]
    with ExitStack() as stack:
        works, hears = _online(broker, folder, stack)
        works.kill()
        for name in names:
            hears.send(_job(name))
        hears.until(lambda: hears.link.room == hears.link._window, WITHIN_S)
        time.sleep(broker.settles_s)
        broker.kill()
        broker.start()
        hears.until(lambda: not hears.link.online, WITHIN_S)
        hears.until(lambda: hears.link.online and len(hears.subscribed) > 1, RESTART_S)
        works.start()
        _answered(hears, names)


def _trial(name: str) -> Callable[[Broker, Path], None]:
    trial = next(each for each in TRIALS if each.name == name)

    def run(broker: Broker, folder: Path) -> None:
        del folder
        settings = LinkSettings(BrokerAddress.parse(broker.url), "")
        failed = trial.run(settings, f"reply/check-{time.monotonic_ns()}")
        need(failed is None, failed or "")

    return run


CHECKS = (
    *(Check(each.name, _trial(each.name)) for each in TRIALS),
    Check("a job", _run),
    Check("a plain request", _plain),
    Check("a job for a group", _group),
    Check("200 jobs among refused ones", _many),
    Check("100 jobs for a device that is away", _away),
    Check("a job twice", _again),
    Check("a retained job is refused", _retained_job),
    Check("offline when the board dies", _offline),
    Check("a result of 2 MB", _large),
    Check("broker killed under load", _killed, restarts=True),
    Check("broker killed while a device is away", _kept, restarts=True),
)


def outcome(check: Check, broker: Broker, folder: Path) -> str | None:
    """Why a check failed, ``None`` when it did not."""
    try:
        check.run(broker, folder)
    except (CheckError, WaspiError, AssertionError, TimeoutError) as error:
        return str(error).splitlines()[0] if str(error) else type(error).__name__
    return None
