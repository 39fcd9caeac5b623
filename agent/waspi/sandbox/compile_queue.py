"""Compiling modules once per digest: one compiler process at a time, which leaves after its one module."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from waspi.errors import CompileError, WaspiError, WorkerError
from waspi.model.result import JobError
from waspi.sandbox import frame
from waspi.sandbox.answer import parse_failure
from waspi.sandbox.handle import ChildHandle
from waspi.sandbox.posture import missing_parts

if TYPE_CHECKING:
    from collections.abc import Callable
    from selectors import BaseSelector

    from waspi.sandbox.cache import ModuleCache
    from waspi.sandbox.settings import PoolSettings

_REMEMBERED: Final = 64
"""Failed modules that are remembered."""
_LEAVE_S: Final = 2.0


def as_job_error(error: WaspiError) -> JobError:
    """An error of this process as it travels in a result."""
    return JobError(error.fault, error.kind, error.message, error.function, error.offset)


class CompileQueue:
    """Digests that wait for their artifact, in order of arrival."""

    def __init__(
        self,
        selector: BaseSelector,
        cache: ModuleCache,
        settings: PoolSettings,
        clock: Callable[[], float],
        on_compiled: Callable[[str, JobError | None], None],
    ) -> None:
        """``on_compiled`` gets digest and error; with ``None`` the artifact is in the cache."""
        self._selector = selector
        self._cache = cache
        self._settings = settings
        self._clock = clock
        self._on_compiled = on_compiled
        self._waiting: dict[str, None] = {}
        self._failed: dict[str, tuple[JobError, float]] = {}
        self._handle: ChildHandle | None = None
        self._digest: str | None = None

    def verdict(self, digest: str) -> JobError | None:
        """Why the module did not compile a moment ago, so that a bomb costs one compilation and not one per job."""
        known = self._failed.get(digest)
        if known is None:
            return None
        error, until = known
        if self._clock() >= until:
            del self._failed[digest]
            return None
        return error

    def request(self, digest: str) -> None:
        """Have the module compiled; ``on_compiled`` follows once, from the loop or from the next :meth:`tick`."""
        if digest != self._digest:
            self._waiting[digest] = None
        if self._handle is not None:
            return
        self._next()

    def withdraw(self, digest: str) -> None:
        """Nobody waits for this module any more. A compilation under way is ended."""
        self._waiting.pop(digest, None)
        if digest == self._digest and self._handle is not None:
            self._digest = None
            self._handle.kill("was not needed any more")

    def next_deadline(self) -> float | None:
        """When :meth:`tick` has to be called (seconds on the clock), or ``None``."""
        if self._handle is not None:
            return self._handle.deadline
        return self._clock() if self._waiting else None

    def tick(self, now: float) -> None:
        """End an overdue compiler; start the next one."""
        if self._handle is not None:
            self._handle.tick(now)
        elif self._waiting:
            self._next()

    def close(self) -> None:
        """End the compiler and forget what waits; nothing is called back."""
        self._waiting.clear()
        if self._handle is not None:
            self._handle.close()
            self._handle = None

    # Owner of the child

    def came_up(self, handle: ChildHandle) -> None:
        """It is locked down: give it the module."""
        lacking = missing_parts(handle.posture, self._settings.require)
        if lacking is not None:
            self._finish(as_job_error(lacking))
            handle.kill("is not locked down")
            return
        digest = self._digest
        if digest is None:
            handle.leave(deadline=self._clock() + _LEAVE_S)
            return
        try:
            fd = self._cache.open_module(digest)
        except WaspiError as error:
            self._finish(as_job_error(error))
            handle.leave(deadline=self._clock() + _LEAVE_S)
            return
        bounds = {
            "module_bytes": str(self._settings.module_bytes),
            "memory_bytes": str(self._settings.module_memory_bytes),
        }
        handle.ask(
            frame.COMPILE,
            (frame.pack_table(bounds),),
            max_answer=frame.ARTIFACT_HEAD.size + self._settings.artifact_bytes,
            fd=fd,
            within_s=self._settings.compile_ms / 1000,
        )

    def answered(self, handle: ChildHandle, kind: int, body: memoryview) -> Callable[[], None]:
        """An artifact, or what is wrong with the module."""
        if kind == frame.FAILURE:
            error = parse_failure(body, log_bytes=0).error
            return lambda: self._refused(handle, error)
        if kind != frame.ARTIFACT or len(body) <= frame.ARTIFACT_HEAD.size:
            raise WorkerError("the compiler's answer is none")
        (compiled,) = frame.ARTIFACT_HEAD.unpack_from(body)
        if compiled.hex() != self._digest:
            raise WorkerError("the compiler compiled another module than it was given")
        return lambda: self._compiled(handle, body[frame.ARTIFACT_HEAD.size :])

    def _refused(self, handle: ChildHandle, error: JobError) -> None:
        handle.leave(deadline=self._clock() + _LEAVE_S)
        if self._digest is not None:
            self._remember(self._digest, error)
        self._finish(error)

    def _compiled(self, handle: ChildHandle, artifact: memoryview) -> None:
        handle.leave(deadline=self._clock() + _LEAVE_S)
        error = None
        if self._digest is not None:
            try:
                self._cache.put_artifact(self._digest, artifact)
            except WaspiError as failed:
                error = as_job_error(failed)
        self._finish(error)

    def recalled(self, handle: ChildHandle, count: int) -> None:
        """Never: it gets one request."""

    def gone(self, handle: ChildHandle) -> None:
        """It left, or it died over the module."""
        self._handle = None
        if self._digest is not None:
            error = self._why(handle)
            if handle.was_busy:
                self._remember(self._digest, error)
            self._finish(error)
        if self._waiting and self._handle is None:
            self._next()

    def _why(self, handle: ChildHandle) -> JobError:
        if not handle.started:
            return as_job_error(WorkerError(f"the compiler {handle.reason} before it came up"))
        if handle.timed_out:
            limit = self._settings.compile_ms
            return as_job_error(
                CompileError(f"compiling took longer than {limit} ms; simplify the module or raise the device's bound")
            )
        return as_job_error(
            CompileError(f"the compiler {handle.reason}; the module may need more memory or time than it is granted")
        )

    def _next(self) -> None:
        digest = next(iter(self._waiting))
        del self._waiting[digest]
        self._digest = digest
        settings = self._settings
        command = (
            *settings.compiler_command,
            str(settings.compile_address_space_bytes),
            str(settings.compile_cpu_s),
            str(settings.artifact_bytes),
        )
        try:
            self._handle = ChildHandle(self._selector, command, self, self._clock, start_s=settings.start_ms / 1000)
        except WorkerError as error:
            self._finish(as_job_error(error))

    def _finish(self, error: JobError | None) -> None:
        digest, self._digest = self._digest, None
        if digest is not None:
            self._on_compiled(digest, error)

    def _remember(self, digest: str, error: JobError) -> None:
        while len(self._failed) >= _REMEMBERED:
            del self._failed[next(iter(self._failed))]
        self._failed[digest] = (error, self._clock() + self._settings.forget_failed_s)
