"""Packing of a run's request: the parent's side of :mod:`waspi.sandbox.frame`."""

from __future__ import annotations

from struct import error as struct_error
from typing import TYPE_CHECKING

from waspi.errors import EnvelopeError
from waspi.sandbox import frame

if TYPE_CHECKING:
    from waspi.sandbox.task import Task


def pack_run(
    task: Task, *, load: bool, unload: str | None, time_ms: int, answer_bytes: int, log_bytes: int
) -> tuple[bytes, ...]:
    """The body of a RUN request, in pieces so that large inputs are not copied.

    ``load``: the artifact's descriptor comes along; ``unload``: a digest that the worker shall forget before.
    Raises ``EnvelopeError``: a number or a name that no run can have.
    """
    abi, limits = task.abi, task.limits
    names = [name.encode("utf-8", "surrogateescape") for name in (abi.memory, abi.alloc, abi.entry)]
    try:
        head = frame.RUN_HEAD.pack(
            bytes.fromhex(task.digest),
            bytes.fromhex(unload) if unload else frame.NO_DIGEST,
            (frame.FLAG_LOAD if load else 0) | (frame.FLAG_TRACE if task.trace else 0),
            *map(len, names),
            abi.headroom,
            len(task.inputs),
            answer_bytes,
            _wire(limits.fuel),
            _wire(limits.memory_bytes),
            time_ms,
            _wire(limits.output_bytes),
            log_bytes,
        )
    except struct_error as error:
        raise EnvelopeError("a number or a name in the job's ABI or limits is out of range") from error
    sizes = b"".join(frame.SIZE.pack(len(data)) for data in task.inputs)
    return (b"".join((head, *names, sizes)), *task.inputs)


def _wire(limit: int | None) -> int:
    return frame.NO_LIMIT if limit is None else limit
