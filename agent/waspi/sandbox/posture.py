"""What a child says of its lock-down: against what the configuration demands, and without running anything."""

from __future__ import annotations

import selectors
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from waspi.errors import LockdownError, WorkerError
from waspi.sandbox.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from waspi.sandbox.settings import PoolSettings


def missing_parts(posture: Mapping[str, str], require: frozenset[str]) -> LockdownError | None:
    """The error to raise or report when a demanded part is not on, else ``None``."""
    for part in sorted(require):
        state = posture.get(part, "off: unknown to this version of waspi")
        if state.startswith("off"):
            return LockdownError(
                f"the configuration requires {part}, but here it is {state}; use a kernel that has it, or require less"
            )
    return None


@dataclass(frozen=True, slots=True)
class Greeting:
    """What a worker says of itself."""

    posture: dict[str, str]
    """``{"seccomp": "on", "landlock": "off: <reason>", ...}``."""
    engine: str


class _Listener:
    """Owner of the one child: notes what happens."""

    def __init__(self) -> None:
        self.up = False
        self.lost: str | None = None

    def came_up(self, _child: Supervisor) -> None:
        self.up = True

    def answered(self, _child: Supervisor, _kind: int, _body: memoryview) -> Callable[[], None]:
        raise WorkerError("it answered what it was not asked")

    def gone(self, child: Supervisor) -> None:
        self.lost = child.reason


def probe(settings: PoolSettings) -> Greeting:
    """Start a worker, read its greeting, end it. Blocks for about 60 ms, ``settings.start_ms`` at most.

    Raises ``WorkerError`` when it does not come up, ``LockdownError`` when it lacks what the settings require.
    """
    listener = _Listener()
    give_up = time.monotonic() + settings.start_ms / 1000
    command = (*settings.worker_command, str(settings.worker_address_space_bytes))
    with selectors.DefaultSelector() as selector:
        child = Supervisor(selector, command, listener, time.monotonic, start_s=settings.start_ms / 1000)
        try:
            while not listener.up and listener.lost is None:
                for key, _ in selector.select(max(give_up - time.monotonic(), 0)):
                    key.data()
                child.tick(time.monotonic())
        finally:
            child.close()
    if listener.lost is not None:
        raise WorkerError(f"a worker {listener.lost} before it came up")
    lacking = missing_parts(child.posture, settings.require)
    if lacking is not None:
        raise lacking
    return Greeting(child.posture, child.greeting.get("engine", ""))
