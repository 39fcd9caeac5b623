"""Modules on disk by the hash of their bytes, each with its compiled artifact; least recently used first out.

Layout of the folder: ``<sha256>.wasm`` and ``<sha256>.aot``, flat. A file is written whole or not at all, so that
nothing but bit rot damages one; a module is hashed before its first use in each process, an artifact by the engine at
every load (it carries its own hash and the fingerprint of the engine). Damaged files are dropped and count as absent.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from waspi.errors import StorageError, UnknownModuleError
from waspi.journal.durable import remove_leftovers, sync_folder, write_durably

if TYPE_CHECKING:
    from collections.abc import Callable

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


@dataclass(frozen=True, slots=True)
class CacheStats:
    """What the cache holds, for reported state."""

    modules: int
    artifacts: int
    bytes: int
    max_bytes: int
    pinned: int
    """Modules that cannot be evicted now."""


class ModuleCache:
    """A folder of modules and artifacts, bounded in bytes. Not for more than one thread or process."""

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
        """Store a module durably; returns its digest (64 hexadecimal digits). Storing it again costs one hash.

        Raises ``StorageError``: larger than the cache, no room because everything else is in use, or the disk failed.
        """
        digest = hashlib.sha256(wasm).hexdigest()
        entry = self._entries.get(digest)
        if entry is not None and self._intact(digest, entry):
            self.touch(digest)
            return digest
        self._make_room(len(wasm))
        write_durably(self._module_path(digest), wasm)
        self._entries[digest] = _Entry(len(wasm), 0, self._clock(), verified=True)
        self._bytes += len(wasm)
        return digest

    def adopt(self, path: Path, digest: str) -> None:
        """Take in a synced file of the same file system, whose bytes were checked to be those of ``digest``.

        It is renamed, not copied. Raises ``StorageError`` as :meth:`put`, and when the file is not there.
        """
        entry = self._entries.get(digest)
        if entry is not None and self._intact(digest, entry):
            self.touch(digest)
            return
        try:
            size = path.stat().st_size
            self._make_room(size)
            path.rename(self._module_path(digest))
            sync_folder(self._folder)
        except OSError as error:
            raise StorageError(f"module {digest} cannot be taken in: {error.strerror}") from error
        # Checked once more by the compiler, which names the hash of what it compiled.
        self._entries[digest] = _Entry(size, 0, self._clock(), verified=True)
        self._bytes += size

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
        """A file descriptor (``int``, close-on-exec, to be closed by the caller) on the module's bytes.

        Raises ``UnknownModuleError`` when it is not here, ``StorageError`` when its file was damaged (and is now gone).
        """
        entry = self._entries.get(digest)
        if entry is None:
            raise UnknownModuleError(f"module {digest} is not on this device; push it with its bytes")
        if not self._intact(digest, entry):
            raise StorageError(f"stored module {digest} was damaged and is dropped; push it again")
        self.touch(digest)
        try:
            return os.open(self._module_path(digest), os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            self._drop(digest)
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

    def put_artifact(self, digest: str, artifact: bytes | bytearray | memoryview) -> None:
        """Store a compiled artifact beside its module. Raises ``UnknownModuleError``, ``StorageError``."""
        entry = self._entries.get(digest)
        if entry is None:
            raise UnknownModuleError(f"module {digest} is not on this device any more; push it with its bytes")
        self.drop_artifact(digest)
        self.pin(digest)  # room for an artifact must not cost its own module
        try:
            self._make_room(len(artifact))
        finally:
            self.unpin(digest)
        write_durably(self._artifact_path(digest), bytes(artifact))
        entry.artifact_bytes = len(artifact)
        self._bytes += len(artifact)

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

    def stats(self) -> CacheStats:
        """Counts and bytes, for reported state."""
        return CacheStats(
            modules=len(self._entries),
            artifacts=sum(1 for entry in self._entries.values() if entry.artifact_bytes),
            bytes=self._bytes,
            max_bytes=self._max_bytes,
            pinned=sum(1 for digest in self._pins if digest in self._entries),
        )

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

    def _intact(self, digest: str, entry: _Entry) -> bool:
        """Hash the module's file once in this process; a damaged one is dropped."""
        if entry.verified:
            return True
        try:
            with self._module_path(digest).open("rb") as file:
                actual = hashlib.sha256()
                while chunk := file.read(_CHUNK):
                    actual.update(chunk)
            entry.verified = actual.hexdigest() == digest
        except OSError as error:
            log.warning("stored module %s cannot be read: %s", digest, error.strerror)
        if not entry.verified:
            log.warning("stored module %s is damaged and dropped", digest)
            self._drop(digest)
        return entry.verified

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
                self._drop(digest)
        if self._bytes + wanted > self._max_bytes:
            raise StorageError(
                f"the module cache is full: {self._bytes} of {self._max_bytes} bytes are in use; raise its bound"
            )

    def _drop(self, digest: str) -> None:
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
