"""What became of a job."""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum

from waspi.errors import Fault
from waspi.model.state import JobState
from waspi.model.value import value


class ModuleOrigin(StrEnum):
    """How the worker came by the compiled module."""

    WARM = "warm"
    """Already loaded in the worker."""
    AOT = "aot"
    """Loaded from the device's artifact cache."""
    COMPILED = "compiled"
    """Compiled for this job."""


@value
class Usage:
    """What a run used; zeros where the job never ran."""

    fuel: int = 0
    memory_bytes: int = 0
    """Peak linear memory."""
    run_us: int = 0
    """Microseconds inside the engine, all inputs together."""
    queue_us: int = 0
    """Microseconds from receipt to start."""
    module: ModuleOrigin | None = None


@value
class JobError:
    """Why a job did not succeed."""

    fault: Fault
    kind: str
    """A ``kind`` of :mod:`waspi.errors`."""
    message: str
    function: str | None = None
    offset: int | None = None


@value
class Result:
    """The final word on a job."""

    id: str
    device: str
    state: JobState
    outputs: tuple[bytes, ...] = ()
    batch: bool = False
    error: JobError | None = None
    log: bytes = b""
    usage: Usage = field(default_factory=Usage)
    attempt: int = 1
    module: str | None = None
    """Which module ran: ``sha256:<hex>`` or ``name@version``; with ``name@version (trial)`` while in its trial."""
