"""Compiling modules once per digest: one compiler process at a time, which leaves after its one module."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Final

from waspi.errors import CompileError, StorageError, WaspiError, WorkerError
from waspi.model.abi import SCRIPT_ABI
from waspi.sandbox import frame
from waspi.sandbox.background import Background
from waspi.sandbox.messages import as_job_error, parse_failure
from waspi.sandbox.posture import missing_parts
from waspi.sandbox.settings import ModuleBounds
from waspi.sandbox.supervisor import Supervisor
from waspi.sandbox.task import code_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from selectors import BaseSelector

    from waspi.model.result import JobError
    from waspi.sandbox.cache import ModuleCache
    from waspi.sandbox.settings import PoolSettings

_REMEMBERED: Final = 64
"""Failed modules that are remembered."""
_LEAVE_S: Final = 2.0
_ENGINE_S: Final = 600
"""Seconds that compiling the engine for scripts may take: 2 on a desktop, and on a board once in its life."""


class CompileQueue:
    """Digests that wait for their artifact, in order of arrival.

    A compiler may have been taken over by its module. So nothing that it says is about another one: an artifact is kept
    for the module that was asked for, whatever it claims, and carries the hash of its own module inside, which a worker
    compares before it runs anything.
    """

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
        self._background = Background(selector)
        self._waiting: dict[str, None] = {}
        self._failed: dict[str, tuple[JobError, float]] = {}
        self._child: Supervisor | None = None
        self._digest: str | None = None
        """What the compiler is at."""
        self._settling: set[str] = set()
        """What it has answered for, while the disk is asked."""

    def failure(self, digest: str) -> JobError | None:
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
        if digest != self._digest and digest not in self._settling:
            self._waiting[digest] = None
        if self._child is None and self._waiting:
            self._next()

    def withdraw(self, digest: str) -> None:
        """Nobody waits for this module any more. A compilation under way is ended."""
        self._waiting.pop(digest, None)
        if digest == self._digest and self._child is not None:
            self._digest = None
            self._child.kill("was not needed any more")

    def next_deadline(self) -> float | None:
        """When :meth:`tick` has to be called (seconds on the clock), or ``None``."""
        if self._child is not None:
            return self._child.deadline
        return self._clock() if self._waiting else None

    def tick(self, now: float) -> None:
        """End an overdue compiler; start the next one."""
        if self._child is not None:
            self._child.tick(now)
        elif self._waiting:
            self._next()

    def close(self) -> None:
        """End the compiler and forget what waits; nothing is called back."""
        self._waiting.clear()
        if self._child is not None:
            self._child.close()
            self._child = None
        self._background.close()

    # Owner of the child

    def came_up(self, child: Supervisor) -> None:
        """It is locked down: give it the module."""
        lacking = missing_parts(child.posture, self._settings.require)
        if lacking is not None:
            self._finish(self._taken(), as_job_error(lacking))
            child.kill("is not locked down")
            return
        digest = self._digest
        if digest is None:
            child.leave(deadline=self._clock() + _LEAVE_S)
            return
        try:
            fd = self._cache.open_module(digest)
        except WaspiError as error:
            self._finish(self._taken(), as_job_error(error))
            child.leave(deadline=self._clock() + _LEAVE_S)
            return
        granted = self._bounds(digest)
        bounds = {name: str(bound) for name, bound in asdict(granted).items()}
        bounds["memory_bytes"] = str(self._settings.module_memory_bytes)
        child.ask(
            frame.COMPILE,
            (frame.pack_table(bounds),),
            max_answer=frame.ARTIFACT_HEAD.size + self._settings.artifact_bytes,
            fd=fd,
            within_s=granted.compile_ms / 1000,
        )

    def answered(self, child: Supervisor, kind: int, body: memoryview) -> Callable[[], None]:
        """An artifact, or what is wrong with the module."""
        if kind == frame.FAILURE:
            return partial(self._refused, child, parse_failure(body, log_bytes=0).error)
        if kind != frame.ARTIFACT or len(body) <= frame.ARTIFACT_HEAD.size:
            raise WorkerError("the compiler's answer is none")
        (compiled,) = frame.ARTIFACT_HEAD.unpack_from(body)
        if compiled.hex() != self._digest:
            error = CompileError("the compiler compiled another module than it was given; its artifact is dropped")
            return partial(self._refused, child, as_job_error(error))
        return partial(self._compiled, child, body[frame.ARTIFACT_HEAD.size :])

    def _refused(self, child: Supervisor, error: JobError) -> None:
        """No artifact: the module is at fault, or the disk, if its file is not what it was."""
        child.leave(deadline=self._clock() + _LEAVE_S)
        digest = self._taken()
        if digest is None:
            return

        def read(intact: bool | None, failed: Exception | None) -> None:
            if failed is not None:
                raise failed
            if intact:
                self._remember(digest, error)
                self._finish(digest, error)
                return
            self._cache.drop(digest)
            damaged = StorageError(f"stored module {digest} was damaged and is dropped; push it again")
            self._finish(digest, as_job_error(damaged))

        self._background.do(lambda: self._cache.is_intact(digest), read)

    def _compiled(self, child: Supervisor, artifact: memoryview) -> None:
        child.leave(deadline=self._clock() + _LEAVE_S)
        digest = self._taken()
        if digest is None:
            return

        def stored(error: WaspiError | None) -> None:
            self._finish(digest, None if error is None else as_job_error(error))

        try:
            self._cache.put_artifact(digest, artifact, self._background, stored)
        except WaspiError as error:
            self._finish(digest, as_job_error(error))

    def gone(self, child: Supervisor) -> None:
        """It left, or it died over the module."""
        self._child = None
        digest = self._taken()
        if digest is not None:
            error = self._why(child)
            if child.was_busy:
                self._remember(digest, error)
            self._finish(digest, error)
        if self._waiting and self._child is None:
            self._next()

    def _why(self, child: Supervisor) -> JobError:
        if not child.started:
            return as_job_error(WorkerError(f"the compiler {child.reason} before it came up"))
        if child.timed_out:
            limit = self._settings.bounds.compile_ms
            return as_job_error(
                CompileError(f"compiling took longer than {limit} ms; simplify the module or raise the device's bound")
            )
        return as_job_error(
            CompileError(f"the compiler {child.reason}; the module may need more memory or time than it is granted")
        )

    def _next(self) -> None:
        digest = next(iter(self._waiting))
        del self._waiting[digest]
        self._digest = digest
        settings = self._settings
        command = (
            *settings.compiler_command,
            str(settings.compile_address_space_bytes),
            str(_ENGINE_S if self._is_engine(digest) else settings.compile_cpu_s),
            str(settings.artifact_bytes),
        )
        try:
            self._child = Supervisor(self._selector, command, self, self._clock, start_s=settings.start_ms / 1000)
        except WorkerError as error:
            self._finish(self._taken(), as_job_error(error))

    def _bounds(self, digest: str) -> ModuleBounds:
        """The device's; the engine for scripts is waspi's own, and a slow board takes long to compile it."""
        return ModuleBounds(compile_ms=_ENGINE_S * 1000) if self._is_engine(digest) else self._settings.bounds

    @staticmethod
    def _is_engine(digest: str) -> bool:
        return digest == code_of("", SCRIPT_ABI)

    def _taken(self) -> str | None:
        """The module that the compiler was at, which it is no more."""
        digest, self._digest = self._digest, None
        if digest is not None:
            self._settling.add(digest)
        return digest

    def _finish(self, digest: str | None, error: JobError | None) -> None:
        if digest is not None:
            self._settling.discard(digest)
            self._on_compiled(digest, error)

    def _remember(self, digest: str, error: JobError) -> None:
        while len(self._failed) >= _REMEMBERED:
            del self._failed[next(iter(self._failed))]
        self._failed[digest] = (error, self._clock() + self._settings.forget_failed_s)
