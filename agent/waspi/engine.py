"""Running modules in this process: the public API over the native module.

What runs here runs on a device: the same engine, the same ABI and, unless told otherwise, the same limits. What a
device adds is the sandbox of a worker process; in this process a guest has the engine's isolation only.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from functools import cache
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypedDict, Unpack

from waspi import _wasmer, javascript
from waspi._wasmer import Bounds, Canceller, Instance, Outcome
from waspi.abi_description import AbiSource, abi_for_file, abi_from
from waspi.errors import ArtifactError, OperatorError, StorageError, UsageError
from waspi.journal.durable import write_durably
from waspi.model.abi import DEFAULT_ABI, ENGINE_ABI, Abi, ModuleFormat, environment_block, script_head
from waspi.model.limits import DEFAULT_LIMITS, Limits
from waspi.model.module import SCRIPT_FILES, TextIs, is_text, text_is

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from typing_extensions import Buffer


__all__ = ["Bounds", "Canceller", "Instance", "Module", "Outcome", "run", "wasm_from"]

_LARGEST = (1 << 63) - 1
_ENGINE_MS = 600_000
"""Milliseconds that compiling the engine for scripts may take: 2 s on a desktop, once for a user."""


class RunOptions(TypedDict, total=False):
    """Keywords that every way of running takes."""

    limits: Limits | None
    """``None``: :data:`waspi.DEFAULT_LIMITS`, what a device grants. ``Limits()``: none at all."""
    canceller: Canceller | None
    """Stops the run from another thread."""
    trace: bool
    """Fill :attr:`Outcome.trace`."""
    environment: Mapping[str, str] | None
    """What WASI's ``environ_get`` gives, and a script's ``context``: ``WASPI_JOB``, ``WASPI_DEVICE``, ..."""


def wasm_from(source: Buffer | str | PathLike[str]) -> bytes:
    """Give the bytes of a module.

    ``source`` is the bytes themselves (bytes-like), a file (``os.PathLike``), or text (``str``): WebAssembly text or a
    file's path (:func:`waspi.model.module.text_is`). Raises :class:`OperatorError` when the file cannot be read,
    :class:`InvalidModuleError` for wrong text, :class:`UsageError` for the name or digest of a deployed module: here
    is none.
    """
    if isinstance(source, str):
        kind = text_is(source)
        if kind is TextIs.SOURCE:
            return _wasmer.wat2wasm(source.encode())
        if kind is not TextIs.FILE:
            raise UsageError(
                f"{source[:80]!r} names a module that is deployed on a device; here give a file (./{source[:80]})"
            )
        source = Path(source)
    if not isinstance(source, PathLike):
        return bytes(memoryview(source))
    content = _read(Path(source))
    return _wasmer.wat2wasm(content) if is_text(content, Path(source).name) else content


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise OperatorError(f"cannot read the module {path}: {error.strerror}") from error


def source_of(source: Buffer | str | PathLike[str]) -> bytes:
    """Give the bytes of a script, which are taken as they are: bytes, text (``str``) or a file (``os.PathLike``).

    Raises :class:`OperatorError` when the file cannot be read.
    """
    if isinstance(source, str):
        return source.encode("utf-8", "surrogatepass")
    return _read(Path(source)) if isinstance(source, PathLike) else bytes(memoryview(source))


@cache
def _script_engine() -> _wasmer.Module:
    """The JavaScript engine, compiled once for this user and this version of waspi, which takes some seconds.

    Its artifact is kept in ``$XDG_CACHE_HOME/waspi``, by default ``~/.cache/waspi``, where that can be written.
    Raises ``DeviceError``: this installation has no engine.
    """
    digest = javascript.engine().sha256
    of = hashlib.sha256(_wasmer.FINGERPRINT.encode()).hexdigest()[:16]
    kept: Path | None = None
    with suppress(RuntimeError):  # a user without a home
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "waspi"
        kept = folder / f"javascript-{digest[:16]}-{of}.aot"
    if kept is not None:
        with suppress(OSError, ArtifactError):
            loaded = _wasmer.Module.load(kept.read_bytes())
            if loaded.sha256 == digest:
                return loaded
    compiled = _wasmer.Module.compile(javascript.bytecode(), bounds=Bounds(compile_ms=_ENGINE_MS))
    if kept is not None:
        with suppress(OSError, StorageError):
            kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_durably(kept, compiled.serialize())
    return compiled


def run(
    module: Buffer | str | PathLike[str] | Module,
    input: Buffer,  # noqa: A002 - the ABI's own word, the same in every part of waspi
    *,
    abi: AbiSource = None,
    limits: Limits | None = None,
    canceller: Canceller | None = None,
    trace: bool = False,
    environment: Mapping[str, str] | None = None,
) -> Outcome:
    """Run a module once on a fresh instance.

    ``module``: bytes of a Wasm module, a file (``os.PathLike``, or its path as ``str``), WebAssembly text (``str``), or
    a compiled :class:`Module`; a function in JavaScript as a file that ends in ``.js``, or anything whose ``abi`` says
    ``format = "javascript"``. ``input``: any bytes-like object. ``abi``: an :class:`Abi`, a mapping, the path of a TOML
    file or ``None`` for the reference ABI (``guests/ABI.md``). ``limits``: ``None`` for :data:`waspi.DEFAULT_LIMITS`.
    ``environment``: what WASI and a script's ``context`` tell the guest about the run.

    Raises :class:`ModuleError` (cannot be loaded), :class:`AbiError`, :class:`Trap`, :class:`LimitError`,
    :class:`CanceledError`; :class:`OperatorError` for a file that cannot be read or a wrong description.
    """
    options = RunOptions(limits=limits, canceller=canceller, trace=trace, environment=environment)
    if isinstance(module, Module):
        return module.run(input, abi=abi, **options)
    return Module._compiled(module, abi, check=True).run(input, **options)  # noqa: SLF001 - its own module


class Module:
    """A compiled module; free of guest state, may be shared between threads, a context manager."""

    __slots__ = ("_native", "_script_sha256", "abi")

    def __init__(self, native: _wasmer.Module, abi: AbiSource = None, *, script_sha256: str | None = None) -> None:
        self._native: _wasmer.Module | None = native
        self._script_sha256 = script_sha256
        self.abi = abi_from(abi)

    @classmethod
    def compile(
        cls,
        source: Buffer | str | PathLike[str],
        *,
        abi: AbiSource = None,
        bounds: Bounds | None = None,
        target: str | None = None,
    ) -> Self:
        """Check, validate and compile; ``source`` as in :func:`run`, ``abi`` is kept for the runs.

        Raises a :class:`ModuleError` or :class:`CompileError`, and with an ``abi`` also an :class:`AbiError`, before
        anything is compiled; custom sections (debug information) are dropped first.

        ``target``: triple of another kind of machine, for example ``aarch64-unknown-linux-gnu``; the module can then
        only be serialized, for :meth:`load` there. Raises :class:`UsageError` for one that it cannot compile for.

        Of a script nothing is compiled: the first run says whether it parses. ``bounds`` are for Wasm.
        """
        return cls._compiled(source, abi, bounds=bounds, target=target, check=abi is not None)

    @classmethod
    def _compiled(
        cls,
        source: Buffer | str | PathLike[str],
        abi: AbiSource,
        *,
        check: bool,
        bounds: Bounds | None = None,
        target: str | None = None,
    ) -> Self:
        if isinstance(source, str) and source.endswith(SCRIPT_FILES) and text_is(source) is TextIs.FILE:
            source = Path(source)
        name = os.fspath(source) if isinstance(source, PathLike) else ""
        description = abi_for_file(abi, name) or DEFAULT_ABI
        if description.format is ModuleFormat.JAVASCRIPT:
            return cls._of_script(source_of(source), description, Path(name).name or "main.js")
        names = (description.memory, description.alloc, description.entry) if check else None
        native = _wasmer.Module.compile(wasm_from(source), bounds=bounds, target=target, abi=names)
        return cls(native, description)

    @classmethod
    def load(cls, artifact: Buffer | PathLike[str], *, abi: AbiSource = None) -> Self:
        """Load what :meth:`serialize` gave, as bytes or as a file. It is native code: load only what you made.

        Raises :class:`ArtifactError` when it is damaged or was made by another engine or for another processor.
        """
        content = wasm_from(artifact)
        return cls(_wasmer.Module.load(content), abi)

    @classmethod
    def _of_script(cls, script: bytes, abi: Abi, file: str) -> Self:
        native = _script_engine().with_script(script_head(abi, file) + script)
        return cls(native, abi, script_sha256=hashlib.sha256(script).hexdigest())

    @property
    def native(self) -> _wasmer.Module:
        """The native module; raises :class:`UsageError` after :meth:`close`."""
        if self._native is None:
            raise UsageError("this module was closed; compile it again")
        return self._native

    @property
    def sha256(self) -> str:
        """Digest of the Wasm bytes or the script, 64 lower-case hexadecimal digits: the module's name on devices."""
        return self._script_sha256 or self.native.sha256

    @property
    def exports(self) -> Sequence[tuple[str, str]]:
        """``(name, type)``, for example ``("append", "func (i32, i32) -> i32")``."""
        return self.native.exports

    @property
    def imports(self) -> Sequence[tuple[str, str, str]]:
        """``(module, name, type)``."""
        return self.native.imports

    def serialize(self) -> bytes:
        """Give the compiled code, to be loaded again by :meth:`load` on the same engine and kind of processor.

        Raises :class:`UsageError` for a script, of which there is none.
        """
        if self._script_sha256 is not None:
            raise UsageError("a script is not compiled: keep its source")
        return self.native.serialize()

    def check_abi(self, abi: AbiSource = None) -> None:
        """Raise the :class:`AbiError` or :class:`LinkError` that a run would raise before the guest's first step.

        A script is loaded once: raises what that raises.
        """
        description = self.abi if abi is None else abi_from(abi)
        if self._script_sha256 is not None:
            self.instantiate().close()
            return
        self.native.check_abi(memory=description.memory, alloc=description.alloc, entry=description.entry)

    def run(self, input: Buffer, *, abi: AbiSource = None, **options: Unpack[RunOptions]) -> Outcome:  # noqa: A002
        """Run once on a fresh instance; see :func:`run`."""
        arguments = self._arguments(abi, **options)
        try:
            return self.native.run(input, **arguments)
        except OverflowError as error:
            raise _out_of_range(arguments) from error

    def instantiate(self, *, abi: AbiSource = None, **options: Unpack[RunOptions]) -> Instance:
        """Make an instance for many calls; guest state survives between them, limits hold for each call."""
        arguments = self._arguments(abi, **options)
        try:
            return self.native.instantiate(**arguments)
        except OverflowError as error:
            raise _out_of_range(arguments) from error

    def _arguments(
        self,
        abi: AbiSource,
        limits: Limits | None = None,
        canceller: Canceller | None = None,
        trace: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> _RunArguments:
        description = self._engine_abi(abi)
        bounds = DEFAULT_LIMITS if limits is None else limits
        return _RunArguments(
            memory=description.memory,
            alloc=description.alloc,
            entry=description.entry,
            headroom=description.headroom,
            fuel=bounds.fuel,
            memory_bytes=bounds.memory_bytes,
            time_ms=bounds.time_ms,
            output_bytes=bounds.output_bytes,
            log_bytes=bounds.log_bytes,
            canceller=canceller,
            trace=trace,
            environment=environment_block(environment) if environment else None,
        )

    def _engine_abi(self, abi: AbiSource) -> Abi:
        """By which the native module is called."""
        if self._script_sha256 is None:
            return self.abi if abi is None else abi_from(abi)
        if abi is not None and abi_from(abi) != self.abi:
            raise UsageError("a script's description belongs to its loading: give it to Module.compile")
        return ENGINE_ABI

    def close(self) -> None:
        """Let the compiled code go; instances that are still open keep theirs. Idempotent."""
        self._native = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _RunArguments(TypedDict):
    memory: str
    alloc: str
    entry: str
    headroom: int
    fuel: int | None
    memory_bytes: int | None
    time_ms: int | None
    output_bytes: int | None
    log_bytes: int | None
    canceller: Canceller | None
    trace: bool
    environment: bytes | None


def _out_of_range(arguments: _RunArguments) -> UsageError:
    """Name the number that the engine could not take, which are 64 bits without a sign."""
    numbers = {name: value for name, value in arguments.items() if isinstance(value, int)}
    worst = max(numbers, key=lambda name: abs(numbers[name]) if numbers[name] >= 0 else 1 << 65)
    return UsageError(f"{worst} cannot be {numbers[worst]}; give a number from 0 to {_LARGEST}")
