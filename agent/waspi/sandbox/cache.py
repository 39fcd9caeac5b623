"""Modules on disk by the hash of their bytes, each with its compiled artifact; least recently used first out.

Layout of the folder: ``<sha256>.wasm`` and ``<sha256>.aot``, flat. A file is written whole or not at all, so that
nothing but bit rot damages one; a module is hashed by its compiler, an artifact by the engine at every load (it carries
its own hash and the fingerprint of the engine). Damaged files are dropped and count as absent.

What waits for the disk is done by a :class:`~waspi.sandbox.background.Background`, in whose thread only files are
touched: the cache's own state belongs to the loop's thread.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from waspi.errors import StorageError, UnknownModuleError, WaspiError
from waspi.journal.durable import remove_leftovers, sync_folder, write_durably

if TYPE_CHECKING:
    from collections.abc import Callable

    from waspi.sandbox.background import Background

log = logging.getLogger(__name__)

RECENCY_S: Final = 600.0
"""A use is written to the disk (as the file's mtime) at most this often, to spare SD cards."""

_NAME: Final = re.compile(r"([0-9a-f]{64})\.(wasm|aot)")
_CHUNK: Final = 256 * 1024


@dataclass(slots=True)
class _Entry:
    module_bytes: int
    artifact_bytes: int
    used: float
    """Unix seconds that the disk knows as the last use."""
    verified: bool = False
    """Whether this process has seen that the module's bytes are what their name says."""

    @property
    def total(self) -> int:
        return self.module_bytes + self.artifact_bytes


class ModuleCache:
    """A folder of modules and artifacts, bounded in bytes. Not for more than one process."""

    def __init__(self, folder: Path | str, max_bytes: int, *, clock: Callable[[], float] = time.time) -> None:
        """Open the cache, make its folder where there is none and clear away what a power cut left.

        ``max_bytes`` bounds modules and artifacts together; ``clock`` gives Unix seconds. Raises ``StorageError``.
        """
        self._folder = Path(folder)
        self._max_bytes = max_bytes
        self._clock = clock
        self._pins: Counter[str] = Counter()
        # In order of use, the oldest first.
        self._entries: dict[str, _Entry] = {}
        self._bytes = 0
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            remove_leftovers(self._folder)
            self._scan()  # evicts nothing: what is pinned is told only later
        except OSError as error:
            raise StorageError(f"module cache {self._folder} cannot be used: {error.strerror or error}") from error

    def put(self, wasm: bytes) -> str:
        """Store a module durably; returns its digest (64 hexadecimal digits). Storing it again costs two hashes.

        For the start of the agent: it waits for the disk (:meth:`store` does not). Raises ``StorageError``: larger than
        the cache, no room because everything else is in use, or the disk failed.
        """
        digest = hashlib.sha256(wasm).hexdigest()
        if self._has_intact(digest):
            self.touch(digest)
            return digest
        self._make_room(len(wasm))
        write_durably(self._module_path(digest), wasm)
        self._take(digest, len(wasm))
        return digest

    def store(self, wasm: bytes, background: Background, then: Callable[[str, StorageError | None], None]) -> None:
        """Store a module durably without waiting for it: ``then`` gets its digest and, unless it is there, why not.

        A module that is here already is not written again.
        """

        def hashed(digest: str | None, error: Exception | None) -> None:
            if error is not None or digest is None:
                raise error or AssertionError
            if digest in self._entries:
                self.touch(digest)
                then(digest, None)
                return
            try:
                self._make_room(len(wasm))
            except StorageError as refused:
                then(digest, refused)
                return
            self._bytes += len(wasm)
            background.do(lambda: write_durably(self._module_path(digest), wasm), partial(written, digest))

        def written(digest: str, _: None, error: Exception | None) -> None:
            self._bytes -= len(wasm)
            if error is None and digest not in self._entries:  # else somebody else was faster
                self._take(digest, len(wasm))
            elif error is not None and not isinstance(error, StorageError):
                raise error
            then(digest, error)

        background.do(lambda: hashlib.sha256(wasm).hexdigest(), hashed)

    def adopt(self, path: Path, digest: str) -> None:
        """Take in a synced file of the same file system, whose bytes were checked to be those of ``digest``.

        It is renamed, not copied. Raises ``StorageError`` as :meth:`put`, and when the file is not there.
        """
        if self._has_intact(digest):
            self.touch(digest)
            return
        try:
            size = path.stat().st_size
            self._make_room(size)
            path.rename(self._module_path(digest))
            sync_folder(self._folder)
        except OSError as error:
            raise StorageError(f"module {digest} cannot be taken in: {error.strerror}") from error
        self._take(digest, size)

    @property
    def room(self) -> int:
        """Bytes that a module may have at most to find room, when all that is not pinned goes (``int``)."""
        return self._max_bytes - sum(self._entries[digest].total for digest in self._pins if digest in self._entries)

    def has(self, digest: str) -> bool:
        """Whether the module is here, as far as is known without reading it (``bool``)."""
        return digest in self._entries

    def has_artifact(self, digest: str) -> bool:
        """Whether there is a compiled artifact of the module (``bool``)."""
        entry = self._entries.get(digest)
        return entry is not None and entry.artifact_bytes > 0

    def open_module(self, digest: str) -> int:
        """A file descriptor (``int``, close-on-exec, to be closed by the caller) on the module's bytes, unchecked.

        Raises ``UnknownModuleError`` when it is not here, ``StorageError`` when its file cannot be read (and is gone).
        """
        if digest not in self._entries:
            raise UnknownModuleError(f"module {digest} is not on this device; push it with its bytes")
        self.touch(digest)
        try:
            return os.open(self._module_path(digest), os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            self.drop(digest)
            raise StorageError(f"stored module {digest} cannot be read: {error.strerror}; push it again") from error

    def open_artifact(self, digest: str) -> int | None:
        """A file descriptor on the compiled artifact, to be closed by the caller; ``None`` when there is none."""
        entry = self._entries.get(digest)
        if entry is None or not entry.artifact_bytes:
            return None
        try:
            fd = os.open(self._artifact_path(digest), os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            log.warning("artifact of module %s cannot be read (%s): it is rebuilt", digest, error.strerror)
            self.drop_artifact(digest)
            return None
        if os.fstat(fd).st_size != entry.artifact_bytes:
            os.close(fd)
            log.warning("artifact of module %s has the wrong length: it is rebuilt", digest)
            self.drop_artifact(digest)
            return None
        self.touch(digest)
        return fd

    def put_artifact(
        self,
        digest: str,
        artifact: bytes | memoryview,
        background: Background,
        then: Callable[[WaspiError | None], None],
    ) -> None:
        """Store a compiled artifact beside its module; ``then`` is told when it is there, or why not.

        Raises ``UnknownModuleError``, ``StorageError``: no room.
        """
        if digest not in self._entries:
            raise UnknownModuleError(f"module {digest} is not on this device any more; push it with its bytes")
        self.drop_artifact(digest)
        size = len(artifact)
        self.pin(digest)  # room for an artifact must not cost its own module
        try:
            self._make_room(size)
        except StorageError:
            self.unpin(digest)
            raise
        self._bytes += size

        def written(_: None, error: Exception | None) -> None:
            self.unpin(digest)
            entry = self._entries.get(digest)
            if error is None and entry is not None and not entry.artifact_bytes:
                entry.artifact_bytes = size
            else:
                self._bytes -= size
                if error is None:  # the module was damaged and dropped meanwhile
                    self._unlink(self._artifact_path(digest))
                    error = StorageError(f"module {digest} is not on this device any more; push it again")
            if error is not None and not isinstance(error, WaspiError):
                raise error
            then(error)

        background.do(lambda: write_durably(self._artifact_path(digest), artifact), written)

    def drop_artifact(self, digest: str) -> None:
        """Forget a compiled artifact: it is damaged or was made by another engine. No error when there is none."""
        entry = self._entries.get(digest)
        if entry is not None:
            self._bytes -= entry.artifact_bytes
            entry.artifact_bytes = 0
        self._unlink(self._artifact_path(digest))

    def touch(self, digest: str) -> None:
        """Count a use of the module. Written to the disk at most every ``RECENCY_S`` seconds."""
        entry = self._entries.pop(digest, None)
        if entry is None:
            return
        self._entries[digest] = entry
        now = self._clock()
        if abs(now - entry.used) < RECENCY_S:  # abs: a clock that was set back must not freeze the order on disk
            return
        entry.used = now
        try:
            os.utime(self._module_path(digest), (now, now))
        except OSError as error:
            log.warning("use of module %s could not be noted: %s", digest, error.strerror)

    def pin(self, digest: str) -> None:
        """Never evict this module until as many calls of :meth:`unpin`; it need not be here yet."""
        self._pins[digest] += 1

    def unpin(self, digest: str) -> None:
        """Take one pin back."""
        self._pins[digest] -= 1
        if self._pins[digest] <= 0:
            del self._pins[digest]

    def digests(self) -> tuple[str, ...]:
        """What is here, the least recently used first."""
        return tuple(self._entries)

    def _module_path(self, digest: str) -> Path:
        return self._folder / f"{digest}.wasm"

    def _artifact_path(self, digest: str) -> Path:
        return self._folder / f"{digest}.aot"

    def _scan(self) -> None:
        found: dict[str, dict[str, os.stat_result]] = {}
        for item in os.scandir(self._folder):
            name = _NAME.fullmatch(item.name)
            if name and item.is_file(follow_symlinks=False):
                found.setdefault(name[1], {})[name[2]] = item.stat(follow_symlinks=False)
        for digest, files in sorted(found.items(), key=lambda pair: max(file.st_mtime for file in pair[1].values())):
            module, artifact = files.get("wasm"), files.get("aot")
            if module is None or not module.st_size:
                self._unlink(self._module_path(digest))
                self._unlink(self._artifact_path(digest))
                continue
            entry = _Entry(module.st_size, artifact.st_size if artifact else 0, module.st_mtime)
            self._entries[digest] = entry
            self._bytes += entry.total

    def is_intact(self, digest: str) -> bool:
        """Whether the module's file holds what its name says (``bool``). Reads it all; any thread may ask."""
        actual = hashlib.sha256()
        try:
            with self._module_path(digest).open("rb") as file:
                while chunk := file.read(_CHUNK):
                    actual.update(chunk)
        except OSError as error:
            log.warning("stored module %s cannot be read: %s", digest, error.strerror)
            return False
        return actual.hexdigest() == digest

    def _has_intact(self, digest: str) -> bool:
        """Whether the module is here and whole; one that is damaged is dropped. Reads it once in this process."""
        entry = self._entries.get(digest)
        if entry is None:
            return False
        entry.verified = entry.verified or self.is_intact(digest)
        if not entry.verified:
            log.warning("stored module %s is damaged and dropped", digest)
            self.drop(digest)
        return entry.verified

    def _take(self, digest: str, size: int) -> None:
        """The module's file is there."""
        self._entries[digest] = _Entry(size, 0, self._clock(), verified=True)
        self._bytes += size

    def _make_room(self, wanted: int) -> None:
        if wanted > self._max_bytes:
            raise StorageError(
                f"{wanted} bytes do not fit the module cache of {self._max_bytes} bytes; raise its bound or push less"
            )
        for digest in list(self._entries):
            if self._bytes + wanted <= self._max_bytes:
                return
            if digest not in self._pins:
                log.info("evicting module %s from the cache", digest)
                self.drop(digest)
        if self._bytes + wanted > self._max_bytes:
            raise StorageError(
                f"the module cache is full: {self._bytes} of {self._max_bytes} bytes are in use; raise its bound"
            )

    def drop(self, digest: str) -> None:
        """Forget a module and its artifact."""
        entry = self._entries.pop(digest, None)
        if entry is not None:
            self._bytes -= entry.total
        # The artifact first: one without its module would be an orphan if power went between the two.
        self._unlink(self._artifact_path(digest))
        self._unlink(self._module_path(digest))

    @staticmethod
    def _unlink(path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"{path} cannot be removed: {error.strerror}") from error
