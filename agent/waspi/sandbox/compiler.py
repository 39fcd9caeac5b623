"""The program of the compiler process: compiles one module, hands the artifact over and leaves.

A process of its own, because a compiler needs memory, threads and executable pages that a worker is better without, and
because whatever a hostile module does to it ends with it.
"""

from __future__ import annotations

import os
from contextlib import suppress

from waspi import _wasmer
from waspi.errors import CompileError, WaspiError
from waspi.sandbox import frame
from waspi.sandbox.program import CONTROL_FD, SOCKET_FD, Receiver, greet, lower_priority, read_fd, refuse, send

_NICE = 10
"""Jobs whose modules are compiled go before those that wait for it."""


def compile_module(body: memoryview, wasm_fd: int | None, artifact_bytes: int) -> tuple[bytes, bytes]:
    """The pieces of an ARTIFACT's body. Raises ``ModuleError``, ``CompileError``."""
    if wasm_fd is None:
        raise CompileError("no module came with the request; this is a fault in waspi, report it")
    bounds = {key: int(value) for key, value in frame.unpack_table(bytes(body)).items()}
    module = _wasmer.Module.compile(read_fd(wasm_fd), bounds=_wasmer.Bounds(**bounds))
    artifact = module.serialize()
    if len(artifact) > artifact_bytes:
        raise CompileError(
            f"the compiled module has {len(artifact)} bytes, the bound is {artifact_bytes}; simplify the module"
        )
    return frame.ARTIFACT_HEAD.pack(bytes.fromhex(module.sha256)), artifact


def main(arguments: list[str]) -> None:
    """Serve one request. ``arguments``: RLIMIT_AS in bytes, RLIMIT_CPU in seconds (0: none), bound of the artifact."""
    address_space_bytes, cpu_seconds, artifact_bytes = map(int, arguments)
    lower_priority()
    with suppress(OSError):  # a unit may forbid it; then it competes like any other
        os.nice(_NICE)
    receiver = Receiver()
    posture = _wasmer.lockdown(
        "compiler",
        address_space_bytes=address_space_bytes,
        cpu_seconds=cpu_seconds,
        keep_fds=[0, 1, 2, SOCKET_FD, CONTROL_FD],
    )
    greet(posture)
    request = receiver.next()
    if request is not None:
        _kind, seq, body, wasm_fd = request
        try:
            send(frame.ARTIFACT, seq, compile_module(body, wasm_fd, artifact_bytes))
        except WaspiError as error:
            refuse(seq, error)
        except MemoryError:
            refuse(seq, CompileError("compiling needs more memory than the compiler is granted; simplify the module"))
        except BaseException as error:  # noqa: BLE001 - a panic of the compiler is an answer too
            refuse(seq, CompileError(f"the compiler failed: {type(error).__name__}: {error}"))
    os._exit(0)
