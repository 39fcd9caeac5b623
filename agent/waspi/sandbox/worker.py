"""The program of a worker process: runs guests, one job after another, and has no rights.

Order at its start: all imports, then the lock-down, then the greeting; so no byte of a guest is there before the rights
are gone. It is started with an empty environment, socket and control socket as descriptors 3 and 4 and stderr as a pipe
to the agent. Imports are few on purpose: a worker's start is part of the first job's latency.
"""

from __future__ import annotations

import _thread
import os
from functools import lru_cache
from time import monotonic

from waspi import _wasmer
from waspi.errors import ArtifactError, DeviceError, OutputLimitError, TimeLimitError, WaspiError
from waspi.sandbox import frame
from waspi.sandbox.program import CONTROL_FD, SOCKET_FD, Receiver, greet, lower_priority, read_fd, refuse, send

TYPE_CHECKING = False  # not typing's: importing that would cost every worker 8 ms of its start
if TYPE_CHECKING:
    from waspi._wasmer import Module, Outcome

_THREAD_STACK = 256 * 1024
"""Bytes of stack of the thread that hears the agent; the default of 8 MiB would count against RLIMIT_AS."""


class Runner:
    """Loaded modules and the run that is under way."""

    def __init__(self) -> None:
        self._modules: dict[bytes, Module] = {}
        self._scripts: dict[bytes, Module] = {}
        """Engines with a script, by the script's key; the agent says when they go."""
        self._control = _thread.allocate_lock()
        """Guards what the second thread writes: whichever comes second sees what the first one wrote."""
        self._begun = 0
        self._canceller = _wasmer.Canceller()
        self._canceled: set[int] = set()

    def hear_control(self) -> None:
        """Body of the second thread: stop what a cancel names, or note that it is not to be begun."""
        size = frame.HEADER.size
        while len(note := os.read(CONTROL_FD, size)) == size:
            _magic, _kind, seq, _size = frame.HEADER.unpack(note)
            with self._control:
                if self._begun == seq:
                    self._canceller.cancel()
                elif self._begun < seq:
                    self._canceled.add(seq)

    def begin(self, seq: int) -> None:
        """From now on a cancel of this number stops the run; one that came before lets it end at once."""
        canceller = _wasmer.Canceller()
        with self._control:
            self._begun = seq
            self._canceller = canceller
            if seq in self._canceled:
                self._canceled.discard(seq)
                canceller.cancel()

    def run(self, body: memoryview, artifact: int | None) -> tuple[bytes, ...]:
        """One job, which has begun; the pieces of its ANSWER's body. Raises what the run raised."""
        canceller = self._canceller
        job = frame.RUN_HEAD
        (
            digest, unload, flags, memory_size, alloc_size, entry_size, key_size, environment_size,
            headroom, count, script_size, answer_bytes, fuel, memory_bytes, time_ms, output_bytes, log_bytes,
        ) = job.unpack_from(body)  # fmt: skip
        end = job.size + memory_size + alloc_size + entry_size
        names = _abi_names(bytes(body[job.size : end]), memory_size, alloc_size)
        at = end + key_size
        key, environment = bytes(body[end:at]), bytes(body[at : at + environment_size])
        script = body[at + environment_size : at + environment_size + script_size]
        at += environment_size + script_size
        sizes = [size for (size,) in frame.SIZE.iter_unpack(body[at : at + 4 * count])]
        at += 4 * count
        self._let_go(unload, scripts=bool(flags & frame.FLAG_FORGET))
        module = self._module(digest, artifact)
        module = self._with_script(module, key, script if flags & frame.FLAG_SCRIPT else None) if key else module

        started = monotonic() if count > 1 else 0.0
        fuel_left = None if fuel < 0 else fuel
        log_left = log_bytes
        time_left = time_ms
        spent_fuel = spent_us = peak = produced = 0
        outputs: list[bytes] = []
        log: list[bytes] = []
        for size in sizes:
            try:
                outcome = module.run(
                    body[at : at + size],
                    memory=names[0],
                    alloc=names[1],
                    entry=names[2],
                    headroom=headroom,
                    fuel=fuel_left,
                    memory_bytes=None if memory_bytes < 0 else memory_bytes,
                    time_ms=time_left,
                    output_bytes=None if output_bytes < 0 else output_bytes,
                    log_bytes=log_left,
                    canceller=canceller,
                    trace=bool(flags & frame.FLAG_TRACE),
                    environment=environment,
                )
            except WaspiError as error:
                error.log = b"".join((*log, error.log))[: log_bytes + frame.TRACE_BYTES]
                error.fuel += spent_fuel
                error.run_us += spent_us
                error.memory_bytes = max(error.memory_bytes, peak)
                raise
            if count == 1 and outcome.trace is None and len(outcome.output) <= answer_bytes:  # the most frequent
                return _answer_of(outcome)
            at += size
            spent_fuel += outcome.fuel
            spent_us += outcome.run_us
            peak = max(peak, outcome.memory_bytes)
            produced += len(outcome.output)
            if produced > answer_bytes:
                raise OutputLimitError(f"the outputs of one job exceed {answer_bytes} bytes; send fewer inputs per job")
            outputs.append(outcome.output)
            if outcome.trace is not None:
                log.append(trace_line(outcome.trace))
            log.append(outcome.log)
            if len(outputs) < count:
                if fuel_left is not None:
                    fuel_left = max(fuel_left - outcome.fuel, 0)
                log_left = max(log_left - len(outcome.log), 0)
                time_left = time_ms - int((monotonic() - started) * 1000)
                if time_left <= 0:
                    raise TimeLimitError(f"the job's inputs together took longer than {time_ms} ms")
        text = b"".join(log)[: log_bytes + frame.TRACE_BYTES]
        return (
            frame.ANSWER_HEAD.pack(spent_fuel, peak, spent_us, len(text), len(outputs)),
            *(frame.SIZE.pack(len(output)) for output in outputs),
            text,
            *outputs,
        )

    def _let_go(self, digest: bytes, *, scripts: bool) -> None:
        if digest != frame.NO_DIGEST:
            self._modules.pop(digest, None)
        if scripts:
            self._scripts.clear()

    def _module(self, digest: bytes, artifact: int | None) -> Module:
        if artifact is not None:
            module = _wasmer.Module.load(read_fd(artifact))
            if module.sha256 != digest.hex():
                raise ArtifactError("the artifact was made from another module")
            self._modules[digest] = module
        loaded = self._modules.get(digest)
        if loaded is None:
            raise ArtifactError("the module is not loaded in this worker")
        return loaded

    def _with_script(self, engine: Module, key: bytes, script: memoryview | None) -> Module:
        """The engine with a script, which came along unless it did before."""
        if script is not None:
            self._scripts[key] = engine.with_script(key[frame.SCRIPT_DIGEST :] + bytes(script))
        known = self._scripts.get(key)
        if known is None:
            raise ArtifactError("the script is not loaded in this worker")
        return known


@lru_cache(maxsize=64)
def _abi_names(raw: bytes, memory_size: int, alloc_size: int) -> tuple[str, str, str]:
    """The three names of an ABI description, decoded once."""
    at = memory_size + alloc_size
    parts = (raw[:memory_size], raw[memory_size:at], raw[at:])
    memory, alloc, entry = (part.decode("utf-8", "surrogateescape") for part in parts)
    return memory, alloc, entry


def _answer_of(outcome: Outcome) -> tuple[bytes, ...]:
    """The pieces of an ANSWER with the one output of a run."""
    output, log = outcome.output, outcome.log
    head = frame.ANSWER_HEAD.pack(outcome.fuel, outcome.memory_bytes, outcome.run_us, len(log), 1)
    return head, frame.SIZE.pack(len(output)), log, output


def trace_line(trace: dict[str, int | str]) -> bytes:
    """One line for the job's log: what happened in memory."""
    return ("[waspi] " + ", ".join(f"{key}={value}" for key, value in trace.items()) + "\n").encode()


def main(arguments: list[str]) -> None:
    """Serve until the agent closes the socket. ``arguments``: RLIMIT_AS in bytes (0: none)."""
    lower_priority()
    receiver = Receiver()
    runner = Runner()
    posture = _wasmer.lockdown(
        "worker", address_space_bytes=int(arguments[0]), keep_fds=[0, 1, 2, SOCKET_FD, CONTROL_FD]
    )
    # After the lock-down, so that the thread is born into it (Landlock binds threads one by one).
    _thread.stack_size(_THREAD_STACK)
    _thread.start_new_thread(runner.hear_control, ())
    greet(posture | {"threads": _wasmer.seal()})
    while (request := receiver.next()) is not None:
        _kind, seq, body, artifact = request
        try:
            runner.begin(seq)
            send(frame.ANSWER, seq, runner.run(body, artifact))
        except WaspiError as error:
            refuse(seq, error)
        except MemoryError:
            refuse(seq, DeviceError("the worker ran out of memory; send less at once or grant it more"))
        except BaseException as error:  # noqa: BLE001 - a panic of the engine: say so on stderr, do not go on with its ruins
            os.write(2, f"the engine failed: {type(error).__name__}: {error}\n".encode("utf-8", "replace")[-4096:])
            os._exit(70)
        finally:
            if artifact is not None:
                os.close(artifact)
            del body
    os._exit(0)
