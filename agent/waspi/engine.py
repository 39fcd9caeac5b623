"""Running modules in this process: the public API over the native module.

What runs here runs on a device: the same engine, the same ABI and, unless told otherwise, the same limits. What a
device adds is the sandbox of a worker process; in this process a guest has the engine's isolation only.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypedDict, Unpack

from waspi import _wasmer
from waspi._wasmer import Bounds, Canceller, Instance, Outcome
from waspi.abi_description import AbiSource, abi_from
from waspi.errors import OperatorError, UsageError
from waspi.model.limits import DEFAULT_LIMITS, Limits
from waspi.model.module import is_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from typing_extensions import Buffer


__all__ = ["Bounds", "Canceller", "Instance", "Module", "Outcome", "run", "wasm_from"]

_LARGEST = (1 << 63) - 1


class RunOptions(TypedDict, total=False):
    """Keywords that every way of running takes."""

    limits: Limits | None
    """``None``: :data:`waspi.DEFAULT_LIMITS`, what a device grants. ``Limits()``: none at all."""
    canceller: Canceller | None
    """Stops the run from another thread."""
    trace: bool
    """Fill :attr:`Outcome.trace`."""


def wasm_from(source: Buffer | str | PathLike[str]) -> bytes:
    """Give the bytes of a module.

    ``source`` is the bytes themselves (bytes-like), WebAssembly text (``str``) or a file (``os.PathLike``) that holds
    either. Raises :class:`OperatorError` when the file cannot be read, :class:`InvalidModuleError` for wrong text,
    :class:`UsageError` for a name in place of a file.
    """
    if isinstance(source, str):
        if "(" not in source:
            raise UsageError(f"{source[:80]!r} is no WebAssembly text; if it names a file, give pathlib.Path of it")
        return _wasmer.wat2wasm(source.encode())
    if not isinstance(source, PathLike):
        return bytes(memoryview(source))
    path = Path(source)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise OperatorError(f"cannot read the module {path}: {error.strerror}") from error
    return _wasmer.wat2wasm(content) if is_text(content, path.name) else content


def run(
    module: Buffer | str | PathLike[str] | Module,
    input: Buffer,  # noqa: A002 - the ABI's own word, the same in every part of waspi
    *,
    abi: AbiSource = None,
    limits: Limits | None = None,
    canceller: Canceller | None = None,
    trace: bool = False,
) -> Outcome:
    """Run a module once on a fresh instance.

    ``module``: bytes of a Wasm module, its text (``str``), a file (``os.PathLike``) or a compiled :class:`Module`.
    ``input``: any bytes-like object. ``abi``: an :class:`Abi`, a mapping, the path of a TOML file or ``None`` for the
    reference ABI (``guests/ABI.md``). ``limits``: ``None`` for :data:`waspi.DEFAULT_LIMITS`.

    Raises :class:`ModuleError` (cannot be loaded), :class:`AbiError`, :class:`Trap`, :class:`LimitError`,
    :class:`CanceledError`; :class:`OperatorError` for a file that cannot be read or a wrong description.
    """
    compiled = module if isinstance(module, Module) else Module.compile(module)
    return compiled.run(input, abi=abi, limits=limits, canceller=canceller, trace=trace)


class Module:
    """A compiled module; free of guest state, may be shared between threads, a context manager."""

    __slots__ = ("_native", "abi")

    def __init__(self, native: _wasmer.Module, abi: AbiSource = None) -> None:
        self._native: _wasmer.Module | None = native
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

        Raises a :class:`ModuleError` or :class:`CompileError`; custom sections (debug information) are dropped first.

        ``target``: triple of another kind of machine, for example ``aarch64-unknown-linux-gnu``; the module can then
        only be serialized, for :meth:`load` there. Raises :class:`UsageError` for one that it cannot compile for.
        """
        description = abi_from(abi)
        return cls(_wasmer.Module.compile(wasm_from(source), bounds=bounds, target=target), description)

    @classmethod
    def load(cls, artifact: Buffer | PathLike[str], *, abi: AbiSource = None) -> Self:
        """Load what :meth:`serialize` gave, as bytes or as a file. It is native code: load only what you made.

        Raises :class:`ArtifactError` when it is damaged or was made by another engine or for another processor.
        """
        content = wasm_from(artifact)
        return cls(_wasmer.Module.load(content), abi)

    @property
    def native(self) -> _wasmer.Module:
        """The native module; raises :class:`UsageError` after :meth:`close`."""
        if self._native is None:
            raise UsageError("this module was closed; compile it again")
        return self._native

    @property
    def sha256(self) -> str:
        """Digest of the Wasm bytes, 64 lower-case hexadecimal digits: the module's name on devices."""
        return self.native.sha256

    @property
    def exports(self) -> Sequence[tuple[str, str]]:
        """``(name, type)``, for example ``("append", "func (i32, i32) -> i32")``."""
        return self.native.exports

    @property
    def imports(self) -> Sequence[tuple[str, str, str]]:
        """``(module, name, type)``."""
        return self.native.imports

    def serialize(self) -> bytes:
        """Give the compiled code, to be loaded again by :meth:`load` on the same engine and kind of processor."""
        return self.native.serialize()

    def check_abi(self, abi: AbiSource = None) -> None:
        """Raise the :class:`AbiError` or :class:`LinkError` that a run would raise before the guest's first step."""
        description = self.abi if abi is None else abi_from(abi)
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
    ) -> _RunArguments:
        description = self.abi if abi is None else abi_from(abi)
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
        )

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


def _out_of_range(arguments: _RunArguments) -> UsageError:
    """Name the number that the engine could not take, which are 64 bits without a sign."""
    numbers = {name: value for name, value in arguments.items() if isinstance(value, int)}
    worst = max(numbers, key=lambda name: abs(numbers[name]) if numbers[name] >= 0 else 1 << 65)
    return UsageError(f"{worst} cannot be {numbers[worst]}; give a number from 0 to {_LARGEST}")
