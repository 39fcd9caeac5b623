"""What the agent says to a child, and the strict reading of what it answers (:mod:`waspi.sandbox.frame`).

A child may have been taken over by its guest: nothing that comes from it is believed.
"""

from __future__ import annotations

from functools import lru_cache
from struct import error as struct_error
from typing import TYPE_CHECKING, Final

from waspi import errors
from waspi.errors import EnvelopeError, WaspiError, WorkerError
from waspi.model.abi import ENGINE_ABI, script_head
from waspi.model.result import JobError
from waspi.model.value import value
from waspi.sandbox import frame

if TYPE_CHECKING:
    from waspi.model.abi import Abi
    from waspi.model.limits import Limits
    from waspi.sandbox.task import Task

_JOIN: Final = 16 * 1024
"""Bytes of input up to which one buffer is made of all: two vectors cost more than copying."""


def pack_run(
    task: Task,
    code: str,
    *,
    load: bool,
    unload: str | None,
    forget: bool,
    script: bytes | None,
    time_ms: int,
    answer_bytes: int,
    log_bytes: int,
) -> tuple[bytes, ...]:
    """The body of a RUN request, in pieces so that large inputs are not copied.

    ``code``: digest of what runs; ``load``: its artifact's descriptor comes along; ``unload``: a digest that the worker
    shall forget before; ``forget``: all scripts, too; ``script``: the task's, ``None`` when the worker has it.
    Raises ``EnvelopeError``: a number or a name that no run can have.
    """
    inputs = task.inputs
    flags = (frame.FLAG_LOAD if load else 0) | (frame.FLAG_TRACE if task.trace else 0)
    flags |= (frame.FLAG_FORGET if forget else 0) | (frame.FLAG_SCRIPT if script is not None else 0)
    key = script_key(task) if task.is_script else b""
    abi = ENGINE_ABI if key else task.abi
    sizes = (len(task.environment), len(inputs), len(script or b""))
    head = _head(code, unload, flags, abi, key, task.limits, *sizes, time_ms, answer_bytes, log_bytes)
    head += task.environment
    if script:
        head += script
    if len(inputs) == 1:
        (data,) = inputs
        head += frame.SIZE.pack(len(data))
        return (head + data,) if len(data) <= _JOIN else (head, data)
    return (head + b"".join([frame.SIZE.pack(len(data)) for data in inputs]), *inputs)


@lru_cache(maxsize=64)
def _key(digest: str, abi: Abi) -> bytes:
    return bytes.fromhex(digest) + script_head(abi)


def script_key(task: Task) -> bytes:
    """Under what a worker keeps the task's script: its digest and how it is called."""
    return _key(task.digest, task.abi)


@lru_cache(maxsize=64)
def _head(
    digest: str,
    unload: str | None,
    flags: int,
    abi: Abi,
    key: bytes,
    limits: Limits,
    environment: int,
    count: int,
    script: int,
    time_ms: int,
    answer_bytes: int,
    log_bytes: int,
) -> bytes:
    """All but what differs from job to job: environment, script, inputs and their sizes."""
    names = [name.encode("utf-8", "surrogateescape") for name in (abi.memory, abi.alloc, abi.entry)]
    try:
        head = frame.RUN_HEAD.pack(
            bytes.fromhex(digest),
            bytes.fromhex(unload) if unload else frame.NO_DIGEST,
            flags,
            *map(len, names),
            len(key),
            environment,
            abi.headroom,
            count,
            script,
            answer_bytes,
            _wire(limits.fuel),
            _wire(limits.memory_bytes),
            time_ms,
            _wire(limits.output_bytes),
            log_bytes,
        )
    except struct_error as error:
        raise EnvelopeError("a number or a name in the job's ABI or limits is out of range") from error
    return b"".join((head, *names, key))


def _wire(limit: int | None) -> int:
    return frame.NO_LIMIT if limit is None else limit


_LOG_MARK: Final = 256
"""Bytes by which a log may pass its bound: the engine marks a cut."""


@value
class Spent:
    """What a run used, as the child says."""

    fuel: int
    memory_bytes: int
    run_us: int


@value
class Answer:
    """A run that succeeded."""

    spent: Spent
    outputs: tuple[bytes, ...]
    log: bytes


@value
class Failure:
    """A run or a compilation that failed."""

    spent: Spent
    error: JobError
    log: bytes


def _tree(base: type[WaspiError]) -> dict[str, type[WaspiError]]:
    found = {base.kind: base}
    for sub in base.__subclasses__():
        found.update(_tree(sub))
    return found


_KINDS: Final = _tree(errors.GuestError) | {
    error.kind: error
    for error in (
        errors.BadInputError,
        errors.WaspiError,
        errors.CanceledError,
        errors.DeviceError,
        errors.ArtifactError,
        errors.CompileError,
        errors.WorkerError,
        errors.InputTooLargeError,
    )
}
"""What a child may accuse somebody of; the party at fault follows from the kind, not from the child."""


def parse_answer(body: memoryview, *, inputs: int, answer_bytes: int, log_bytes: int) -> Answer:
    """The body of an ANSWER to a request of that many inputs. Raises ``WorkerError``: it is not an answer."""
    head = frame.ANSWER_HEAD
    if len(body) < head.size:
        raise WorkerError("the worker's answer is truncated")
    fuel, memory_bytes, run_us, log_size, count = head.unpack_from(body)
    spent = _spent(fuel, memory_bytes, run_us)
    if count != inputs or log_size > log_bytes + frame.TRACE_BYTES + _LOG_MARK:
        raise WorkerError("the worker's answer does not belong to the question")
    at = head.size + count * frame.SIZE.size
    if count == 1 and len(body) >= at:  # the most frequent
        (size,) = frame.SIZE.unpack_from(body, head.size)
        if size > answer_bytes or at + log_size + size != len(body):
            raise WorkerError("the worker's answer has outputs of the wrong size")
        output = at + log_size
        return Answer(spent, (bytes(body[output:]),), bytes(body[at:output]))
    if len(body) < at + log_size:
        raise WorkerError("the worker's answer is truncated")
    sizes = [size for (size,) in frame.SIZE.iter_unpack(body[head.size : at])]
    if sum(sizes) > answer_bytes or at + log_size + sum(sizes) != len(body):
        raise WorkerError("the worker's answer has outputs of the wrong size")
    log = bytes(body[at : at + log_size])
    at += log_size
    outputs = []
    for size in sizes:
        outputs.append(bytes(body[at : at + size]))
        at += size
    return Answer(spent, tuple(outputs), log)


def parse_failure(body: memoryview, *, log_bytes: int) -> Failure:
    """The body of a FAILURE. Raises ``WorkerError``: it is not one, or it names a kind that a child cannot know."""
    head = frame.FAILURE_HEAD
    if len(body) < head.size:
        raise WorkerError("the child's failure is truncated")
    fuel, memory_bytes, run_us, offset, *sizes, log_size = head.unpack_from(body)
    bounds = (frame.MAX_KIND, frame.MAX_FUNCTION, frame.MAX_MESSAGE, log_bytes + frame.TRACE_BYTES + _LOG_MARK)
    if any(size > bound for size, bound in zip((*sizes, log_size), bounds, strict=True)):
        raise WorkerError("the child's failure is larger than one can be")
    if head.size + sum(sizes) + log_size != len(body):
        raise WorkerError("the child's failure has the wrong size")
    at = head.size
    texts = []
    for size in sizes:
        texts.append(one_line(bytes(body[at : at + size])))
        at += size
    kind, function, message = texts
    if kind not in _KINDS:
        raise WorkerError("the child blames something that is not its to blame")
    error = JobError(
        fault=_KINDS[kind].fault,
        kind=kind,
        message=message or kind,
        function=function or None,
        offset=offset if offset >= 0 else None,
    )
    return Failure(_spent(fuel, memory_bytes, run_us), error, bytes(body[at:]))


def as_job_error(error: WaspiError) -> JobError:
    """An error of this process as it travels in a result."""
    return JobError(error.fault, error.kind, error.message, error.function, error.offset)


def _spent(fuel: int, memory_bytes: int, run_us: int) -> Spent:
    if min(fuel, memory_bytes, run_us) < 0:  # signed on the wire, so that what passes also fits the journal
        raise WorkerError("the child's usage is negative")
    return Spent(fuel, memory_bytes, run_us)


def one_line(raw: bytes) -> str:
    """Text from a child, fit for a log and a result: UTF-8, one line, no control characters."""
    text = raw.decode("utf-8", "replace")
    return "".join(char if char.isprintable() else " " for char in text).strip()
