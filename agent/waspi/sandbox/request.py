"""Packing of a run's request: the parent's side of :mod:`waspi.sandbox.frame`."""

from __future__ import annotations

from functools import lru_cache
from struct import error as struct_error
from typing import TYPE_CHECKING

from waspi.errors import EnvelopeError
from waspi.sandbox import frame

if TYPE_CHECKING:
    from waspi.model.abi import Abi
    from waspi.model.limits import Limits
    from waspi.sandbox.task import Task

_JOIN = 16 * 1024
"""Bytes of input up to which one buffer is made of all: two vectors cost more than copying."""


def pack_run(
    task: Task, *, load: bool, unload: str | None, time_ms: int, answer_bytes: int, log_bytes: int
) -> tuple[bytes, ...]:
    """The body of a RUN request, in pieces so that large inputs are not copied.

    ``load``: the artifact's descriptor comes along; ``unload``: a digest that the worker shall forget before.
    Raises ``EnvelopeError``: a number or a name that no run can have.
    """
    inputs = task.inputs
    flags = (frame.FLAG_LOAD if load else 0) | (frame.FLAG_TRACE if task.trace else 0)
    head = _head(task.digest, unload, flags, task.abi, task.limits, len(inputs), time_ms, answer_bytes, log_bytes)
    if len(inputs) == 1:
        (data,) = inputs
        head += frame.SIZE.pack(len(data))
        return (head + data,) if len(data) <= _JOIN else (head, data)
    return (head + b"".join([frame.SIZE.pack(len(data)) for data in inputs]), *inputs)


@lru_cache(maxsize=64)
def _head(
    digest: str,
    unload: str | None,
    flags: int,
    abi: Abi,
    limits: Limits,
    count: int,
    time_ms: int,
    answer_bytes: int,
    log_bytes: int,
) -> bytes:
    """All but the inputs and their sizes: the same for most jobs of a module."""
    names = [name.encode("utf-8", "surrogateescape") for name in (abi.memory, abi.alloc, abi.entry)]
    try:
        head = frame.RUN_HEAD.pack(
            bytes.fromhex(digest),
            bytes.fromhex(unload) if unload else frame.NO_DIGEST,
            flags,
            *map(len, names),
            abi.headroom,
            count,
            answer_bytes,
            _wire(limits.fuel),
            _wire(limits.memory_bytes),
            time_ms,
            _wire(limits.output_bytes),
            log_bytes,
        )
    except struct_error as error:
        raise EnvelopeError("a number or a name in the job's ABI or limits is out of range") from error
    return b"".join((head, *names))


def _wire(limit: int | None) -> int:
    return frame.NO_LIMIT if limit is None else limit
