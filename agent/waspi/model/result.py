"""What became of a job."""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum
from typing import Self

from waspi.errors import Fault, UsageError, told_error
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

    @property
    def output(self) -> bytes:
        """The output of a job that succeeded.

        Raises what :meth:`raise_for_state` does, and :class:`UsageError` for a batch, which has :attr:`outputs`.
        """
        self.raise_for_state()
        if self.batch:
            raise UsageError(f"job {self.id} is a batch: it has outputs, one for each input")
        return self.outputs[0]

    def raise_for_state(self) -> Self:
        """Raise unless the job succeeded; returns the result itself.

        The exception is the class of :mod:`waspi.errors` that says what the device met (:class:`FuelLimitError`,
        :class:`UnknownModuleError`, ...), with function, offset, log and usage where they are known.
        """
        if self.state is JobState.SUCCEEDED:
            return self
        where = f"job {self.id} on {self.device}: {self.state}"
        if self.error is None:
            raise told_error(Fault.DEVICE, "internal", where)
        error = told_error(self.error.fault, self.error.kind, f"{where}: {self.error.message}")
        error.function, error.offset, error.log = self.error.function, self.error.offset, self.log
        usage = self.usage
        error.fuel, error.memory_bytes, error.run_us = usage.fuel, usage.memory_bytes, usage.run_us
        raise error
