"""waspi's binding to the WebAssembly engine.

One call does a whole run (instantiate, ``_initialize``, alloc, copy, call, read, dealloc), so that nothing crosses the
border per byte; the GIL is released for its length. Every failure is raised as a class of :mod:`waspi.errors`; an error
that ended a run carries ``log``, ``fuel``, ``memory_bytes`` and ``run_us``, a trap also ``function`` and ``offset``.

On 64-bit targets the engine is Wasmer with Cranelift, on 32-bit ARM it is wasmi behind the same API.
"""

from types import TracebackType
from typing import Final, Literal, final

from typing_extensions import Buffer  # in collections.abc only from Python 3.12

__all__ = [
    "ENGINE",
    "FINGERPRINT",
    "TARGET",
    "TARGETS",
    "Bounds",
    "Canceller",
    "Instance",
    "Module",
    "Outcome",
    "locate",
    "lockdown",
    "posture",
    "seal",
    "strip",
    "wat2wasm",
]

ENGINE: Final[str]
"""Name and version of the engine, for example ``wasmer 7.2.1`` or ``wasmi 1.1.0``."""
TARGET: Final[str]
"""Target triple that this binary runs on, for example ``aarch64-unknown-linux-gnu``."""
TARGETS: Final[tuple[str, ...]]
"""Targets that :meth:`Module.compile` takes: those whose back end is built in, none where the engine is wasmi."""
FINGERPRINT: Final[str]
"""What an AOT artifact made here is bound to: engine, crate version, triple, CPU features. One line of text."""

@final
class Bounds:
    """What a module may declare before it is compiled; the defaults suit a board with 512 MiB.

    They make compile time and memory bounded: a module beyond one of them raises ``ModuleTooLargeError``, which names
    what was found and the bound. More of them are fixed (types, imports, exports, tables, sections, branch targets,
    locals times branches: ``agent/native/src/bounds.rs``).
    """

    def __new__(
        cls,
        *,
        module_bytes: int = 16_777_216,
        functions: int = 20_000,
        body_bytes: int = 262_144,
        locals: int = 4_096,
        params: int = 128,
        memory_bytes: int = 67_108_864,
        table_elements: int = 65_536,
        nesting: int = 4_096,
        globals: int = 4_096,
        data_segments: int = 100_000,
        code_bytes: int = 4_194_304,
        compile_ms: int = 60_000,
    ) -> Bounds:
        """All counts are of what the binary declares.

        ``module_bytes``: the binary, custom sections included. ``functions``: imported ones included. ``body_bytes``,
        ``locals``: of one function. ``params``: of one function type. ``memory_bytes``: initial linear memory.
        ``table_elements``: initial elements of all tables, and elements of one segment. ``nesting``: blocks within
        blocks of one function. ``data_segments``: data or element segments. ``code_bytes``: all function bodies.
        ``compile_ms``: milliseconds after which compiling is given up with ``CompileError``, looked at after each
        function.
        """
    @property
    def module_bytes(self) -> int: ...
    @property
    def functions(self) -> int: ...
    @property
    def body_bytes(self) -> int: ...
    @property
    def locals(self) -> int: ...
    @property
    def params(self) -> int: ...
    @property
    def memory_bytes(self) -> int: ...
    @property
    def table_elements(self) -> int: ...
    @property
    def nesting(self) -> int: ...
    @property
    def globals(self) -> int: ...
    @property
    def data_segments(self) -> int: ...
    @property
    def code_bytes(self) -> int: ...
    @property
    def compile_ms(self) -> int: ...

@final
class Canceller:
    """Stops runs from another thread. One canceller may serve one run after another, and several at once."""

    def __new__(cls) -> Canceller: ...
    def cancel(self) -> None:
        """Make the runs that hold this canceller raise ``CanceledError``, and every later one until :meth:`reset`.

        Returns at once; the guest stops at its next branch, or wakes from its sleep. Idempotent.
        """
    def reset(self) -> None:
        """Forget an earlier ``cancel()``."""

@final
class Outcome:
    """What a run gave."""

    @property
    def output(self) -> bytes:
        """The result's bytes."""
    @property
    def log(self) -> bytes:
        """What the guest wrote to stdout and stderr, in order.

        Beyond ``log_bytes`` it is cut, and a line at its end, within ``log_bytes``, says so.
        """
    @property
    def fuel(self) -> int:
        """Metered operators that were executed."""
    @property
    def memory_bytes(self) -> int:
        """Peak size of the linear memory."""
    @property
    def run_us(self) -> int:
        """Microseconds from before the instantiation (or the call, on a warm instance) to after the result."""
    @property
    def trace(self) -> dict[str, int | str] | None:
        """With ``trace=True`` what happened in memory, else ``None``.

        ``pointer``, ``input_size``, ``buffer_size``, ``memory_address`` (host address of the
        memory's base), ``buffer_address`` (host address of the buffer), ``new_size``, ``result_pointer``,
        ``memory_bytes``.
        """

@final
class Instance:
    """A module that is instantiated once and called many times: guest state survives between the calls.

    A context manager, which closes it.
    """

    def run(self, input: Buffer) -> Outcome:
        """Run once; fuel, time, output and log limits hold for each call.

        After any failure the instance is spent and every further call raises a plain ``GuestError`` that says so. Calls
        from several threads wait for each other. Raises what :meth:`Module.run` raises, and ``UsageError`` after
        :meth:`close`.
        """
    def close(self) -> None:
        """Let the guest's memory go, after a call that is under way in another thread. Idempotent."""
    def __enter__(self) -> Instance: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

@final
class Module:
    """A compiled module, free of guest state; may be shared between threads."""

    @staticmethod
    def compile(
        wasm: Buffer,
        *,
        bounds: Bounds | None = None,
        target: str | None = None,
        abi: tuple[str, str, str] | None = None,
    ) -> Module:
        """Check the bounds, validate, link, strip custom sections and compile.

        Raises ``InvalidModuleError``, ``UnsupportedFeatureError``, ``ModuleTooLargeError``, ``LinkError`` (an import
        that the host does not offer), ``CompileError``. Wants one thread for the compiler.

        With ``abi``, the names of memory, alloc and entry, it also raises what :meth:`check_abi` raises, before it
        compiles anything.

        With ``target``, one of :data:`TARGETS`, the code is for another machine: ``aarch64-unknown-linux-gnu`` or
        ``x86_64-unknown-linux-gnu``, with no processor features beyond those that every such board has (``neon``, that
        is Armv8.0-A; x86-64-v2). Such a module can only be serialized; running it raises ``ArtifactError``, also when
        this machine is one of that kind. ``UsageError`` for any other target.
        """
    @staticmethod
    def load(artifact: Buffer) -> Module:
        """Load what :meth:`serialize` gave, on the same engine and kind of machine only.

        Checks magic, length, fingerprint and SHA-256 before the engine sees a byte; raises ``ArtifactError``. Of the
        fingerprint, engine, crate version and triple must be this machine's; the processor may have more features than
        the code asks for.
        """
    def with_script(self, script: Buffer) -> Module:
        """This module with a script: a run gives it to ``load(ptr, size)`` after ``_initialize``, before its input.

        The buffer comes from the guest's ``alloc`` and is the guest's from then on. A run raises ``MissingExportError``
        or ``WrongSignatureError`` where the module has no such ``load``. The code is shared, the script is copied.
        """
    def serialize(self) -> bytes:
        """The ahead-of-time artifact: header with fingerprint and hash, then native code. Trust it like code."""
    @property
    def sha256(self) -> str:
        """SHA-256 of the Wasm bytes that :meth:`compile` was given, 64 lower-case hexadecimal digits."""
    @property
    def image_bytes(self) -> int | None:
        """Bytes that are kept of what start-up made of memory, ``None`` as long as none are.

        What ``_initialize`` and the loading of a script do is kept by the first run and not done again: the next ones
        start from a copy, and pay the same fuel. Nothing is kept of a start-up that asked for clock, random numbers or
        environment, logged, was refused memory or changed more than 16 MiB, and of a module that has a start function
        or changes its tables.
        """
    @property
    def exports(self) -> list[tuple[str, str]]:
        """``(name, type)``; a type reads like ``func (i32, i32) -> i32``, ``memory 17..``, ``global i32``."""
    @property
    def imports(self) -> list[tuple[str, str, str]]:
        """``(module, name, type)``."""
    def run(
        self,
        input: Buffer,
        *,
        memory: str = "memory",
        alloc: str = "alloc",
        entry: str = "append",
        headroom: int = 30,
        fuel: int | None = None,
        memory_bytes: int | None = None,
        time_ms: int | None = None,
        output_bytes: int | None = None,
        log_bytes: int | None = None,
        canceller: Canceller | None = None,
        trace: bool = False,
        environment: bytes | None = None,
    ) -> Outcome:
        """One run on a fresh instance.

        In order: start function, ``_initialize``, ``alloc(len(input) + headroom)``, copy, entry, read, and ``dealloc``
        where the guest exports it as ``(i32, i32) -> ()``: of the buffer, and of a packed result that lies elsewhere.

        ``environment``: what ``environ_get`` gives, as strings ``NAME=value`` each ended by a NUL.

        Limits of ``None`` fall back to: fuel unlimited, memory 4 GiB, no deadline, output as large as memory, log
        64 KiB. A ``memory.grow`` beyond ``memory_bytes`` gives the guest -1.

        Raises ``MissingExportError``, ``WrongSignatureError``, ``MemoryLimitError``, ``InputTooLargeError`` before the
        guest runs; ``Trap`` and its subclasses, ``FuelLimitError``, ``TimeLimitError``, ``OutputLimitError``,
        ``CanceledError``, ``PointerError``, ``OverrunError`` after; ``OverflowError`` for a negative limit.
        """
    def instantiate(
        self,
        *,
        memory: str = "memory",
        alloc: str = "alloc",
        entry: str = "append",
        headroom: int = 30,
        fuel: int | None = None,
        memory_bytes: int | None = None,
        time_ms: int | None = None,
        output_bytes: int | None = None,
        log_bytes: int | None = None,
        canceller: Canceller | None = None,
        trace: bool = False,
        environment: bytes | None = None,
    ) -> Instance:
        """An instance for many calls; see :class:`Instance`. The limits hold for its initialization, too."""
    def check_abi(self, *, memory: str = "memory", alloc: str = "alloc", entry: str = "append") -> None:
        """Raise ``MissingExportError`` or ``WrongSignatureError`` that a run would raise."""

def strip(wasm: Buffer) -> bytes:
    """The module without its custom sections (names, debug information, producers)."""

def locate(wasm: Buffer, function: int, offset: int) -> tuple[str, int]:
    """Find a place of the stripped module in ``wasm``, which is the module before :func:`strip`.

    Returns the name of the function with this index, or ``func[index]``, and the byte offset.
    """

def wat2wasm(text: Buffer) -> bytes:
    """Translate WebAssembly text; raises ``InvalidModuleError`` with line and column."""

def lockdown(
    role: Literal["worker", "compiler"],
    *,
    address_space_bytes: int = 0,
    cpu_seconds: int = 0,
    keep_fds: list[int] = ...,
) -> dict[str, str]:
    """Give up every right that the role does not need; there is no way back.

    In this order: closes descriptors other than ``keep_fds`` (a standard one that is not kept becomes ``/dev/null``),
    empties the environment, rlimits (AS, CPU, FSIZE=0, NPROC, CORE=0, NOFILE), capabilities, death with the parent's
    thread, no dumps, no-new-privs, Landlock, seccomp. 0 leaves a limit alone. ``CPU`` counts over the process's life.
    Call it before starting threads: seccomp reaches those that run already, Landlock (below ABI 8) and capabilities do
    not. Import before it whatever will be needed.

    Returns the posture: ``{"seccomp": "on", "landlock": "abi 4", "no_new_privs": "on", "rlimits": "on", ...}``, with
    the further keys ``descriptors``, ``environment``, ``capabilities``, ``parent_death`` and ``undumpable``; a part
    that the kernel lacks reads ``"off: <reason>"``; the caller decides whether that will do.

    After it, a system call outside the role's list fails with ``EPERM``, and one that nobody makes by accident
    (``execve``, ``ptrace``, ``mount``, ``bpf``, ...) ends the process with SIGSYS.

    Raises ``LockdownError``, with nothing changed: unknown role, a descriptor in ``keep_fds`` that is not open, a
    second call.
    """

def seal() -> str:
    """Start no thread any more: the watchdog's is started, then seccomp denies ``clone`` to all threads of the process.

    For a worker, after :func:`lockdown` and the threads of its own. Returns ``"on"`` or ``"off: <reason>"``.
    """

def posture() -> dict[str, str]:
    """What :func:`lockdown` could switch on here, without doing it: same keys."""
