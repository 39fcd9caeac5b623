"""What the pool is asked to do, and what became of it."""

from __future__ import annotations

from dataclasses import field

from waspi import javascript
from waspi.errors import DeviceError
from waspi.model.abi import DEFAULT_ABI, Abi, ModuleFormat
from waspi.model.limits import DEFAULT_LIMITS, Limits
from waspi.model.result import JobError, Usage
from waspi.model.state import JobState
from waspi.model.value import value


def code_of(digest: str, abi: Abi) -> str:
    """Digest of what is compiled and loaded for a module: itself, or the engine that runs a script."""
    if abi.format is ModuleFormat.WASM:
        return digest
    try:
        return javascript.engine().sha256
    except DeviceError:
        return ""  # nobody has that: providing it says what is missing


@value
class Task:
    """One job, ready to run: its module is in the cache under ``digest``."""

    job_id: str
    digest: str
    """SHA-256 of the module's bytes, Wasm or a script, 64 lower-case hexadecimal digits."""
    abi: Abi = DEFAULT_ABI
    limits: Limits = DEFAULT_LIMITS
    """Already capped by the device's. ``fuel``, ``time_ms`` and ``log_bytes`` are the job's, all inputs together;
    ``memory_bytes`` and ``output_bytes`` hold for each input."""
    inputs: tuple[bytes, ...] = (b"",)
    """Each runs on an instance of its own, in order; the first that fails ends the job."""
    trace: bool = False
    """Whether lines about pointers, sizes and addresses precede the guest's log."""
    priority: int = 0
    """Of the tasks that wait in the pool, for a worker or for their module, the highest goes first."""
    publisher: str = ""
    """Whose job this is, in words that only the caller understands (a signing key's id): jobs of different publishers
    share no worker, unless the settings' isolation says ``shared`` or ``module``."""
    own_terms: bool = False
    """Whether the publisher brought an ABI description or limits of its own: what fails under them says nothing about
    the module."""
    asked: Limits | None = None
    """The limits that were asked for, where the device's are lower: a result says so when such a limit ends the run."""
    environment: bytes = b""
    """What the guest is told about the run: see :func:`waspi.model.abi.environment_block`."""

    @property
    def is_script(self) -> bool:
        """Whether its module is source that an engine runs."""
        return self.abi.format is not ModuleFormat.WASM


@value
class Done:
    """The end of a task. ``state`` is ``SUCCEEDED``, ``FAILED``, ``TIMED_OUT`` or ``CANCELED``."""

    job_id: str
    outputs: tuple[bytes, ...]
    """One for each input on success, else empty."""
    error: JobError | None
    """``None`` exactly when ``state`` is ``SUCCEEDED``."""
    state: JobState
    log: bytes = b""
    usage: Usage = field(default_factory=Usage)
    """``queue_us`` is left at 0: the caller knows when the job came."""
    blames_module: bool = False
    """Whether the failure may be held against the module: its guest failed, or brought down a worker in which nothing
    but this module ever ran, under the module's own terms."""
