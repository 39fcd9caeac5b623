"""Asking a worker for its posture without running anything."""

from __future__ import annotations

import selectors
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from waspi.errors import WorkerError
from waspi.sandbox.handle import ChildHandle
from waspi.sandbox.posture import missing_parts

if TYPE_CHECKING:
    from collections.abc import Callable

    from waspi.sandbox.settings import PoolSettings


@dataclass(frozen=True, slots=True)
class Greeting:
    """What a worker says of itself."""

    posture: dict[str, str]
    """``{"seccomp": "on", "landlock": "off: <reason>", ...}``."""
    engine: str
    target: str
    fingerprint: str


class _Listener:
    """Owner of the one child: notes what happens."""

    def __init__(self) -> None:
        self.up = False
        self.lost: str | None = None

    def came_up(self, _handle: ChildHandle) -> None:
        self.up = True

    def answered(self, _handle: ChildHandle, _kind: int, _body: memoryview) -> Callable[[], None]:
        raise WorkerError("it answered what it was not asked")

    def recalled(self, _handle: ChildHandle, _count: int) -> None:
        raise WorkerError("it gave back what it never got")

    def gone(self, handle: ChildHandle) -> None:
        self.lost = handle.reason


def probe(settings: PoolSettings) -> Greeting:
    """Start a worker, read its greeting, end it. Blocks for about 60 ms, ``settings.start_ms`` at most.

    Raises ``WorkerError`` when it does not come up, ``LockdownError`` when it lacks what the settings require.
    """
    listener = _Listener()
    give_up = time.monotonic() + settings.start_ms / 1000
    command = (*settings.worker_command, str(settings.worker_address_space_bytes))
    with selectors.DefaultSelector() as selector:
        handle = ChildHandle(selector, command, listener, time.monotonic, start_s=settings.start_ms / 1000)
        try:
            while not listener.up and listener.lost is None:
                for key, _ in selector.select(max(give_up - time.monotonic(), 0)):
                    key.data()
                handle.tick(time.monotonic())
        finally:
            handle.close()
    if listener.lost is not None:
        raise WorkerError(f"a worker {listener.lost} before it came up")
    lacking = missing_parts(handle.posture, settings.require)
    if lacking is not None:
        raise lacking
    said = handle.greeting
    return Greeting(handle.posture, said.get("engine", ""), said.get("target", ""), said.get("fingerprint", ""))
