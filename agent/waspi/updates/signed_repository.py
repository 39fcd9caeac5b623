"""The update repository as far as its signatures vouch for it: python-tuf's client and what it leaves to its user."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tuf.api.exceptions import DownloadError, DownloadHTTPError, DownloadLengthMismatchError
from tuf.api.exceptions import RepositoryError as TufError
from tuf.api.metadata import Metadata, Root, TargetFile
from tuf.ngclient import Updater

from waspi.errors import ConfigError, EnvelopeError, NoAnswerError, RepositoryError, StorageError, WaspiError
from waspi.journal.durable import remove_durably, sync_folder
from waspi.model.deployment import Deployment
from waspi.protocol.deployment_document import MAX_BYTES, decode_deployment
from waspi.protocol.issued import issued_of
from waspi.protocol.repository_path import METADATA, deployment_target, target_path
from waspi.protocol.wanted import check_serial
from waspi.updates.partial_file import PartialFile
from waspi.updates.seen import Seen, read_seen, write_seen
from waspi.updates.source import Source, SourceFetcher

HASH: Final = "sha256"
_ROLES: Final = ("timestamp", "snapshot", "targets")


class SignedRepository:
    """One look at the repository; ``folder`` is the updater's, ``now`` Unix seconds not before the clock's floor."""

    def __init__(self, folder: Path, root: Path, source: Source, *, range_bytes: int, now: float) -> None:
        """Begin from what is trusted. Raises ``ConfigError``, ``StorageError``, ``RepositoryError``."""
        self._folder = folder
        self._source = source
        self._range_bytes = range_bytes
        self._now = now
        self._metadata = folder / "metadata"
        self._seen = self._read_seen()
        try:
            trusted = root.read_bytes()
        except OSError as error:
            raise ConfigError(f"updates.root: cannot read {root}: {error.strerror}") from error
        try:
            for each in (self._metadata, folder / "deployments", folder / "download", folder / "releases"):
                each.mkdir(mode=0o700, exist_ok=True)
            self._updater = Updater(
                str(self._metadata), METADATA, fetcher=SourceFetcher(source, range_bytes), bootstrap=trusted
            )
        except OSError as error:
            raise StorageError(f"cannot use {folder}: {error.strerror}") from error
        except (TufError, ValueError) as error:
            raise ConfigError(f"updates.root: {root} is no root metadata of a repository: {error}") from error

    def refresh(self) -> None:
        """Bring in the newest metadata, and refuse what is older than anything seen, expired or not signed.

        Raises ``RepositoryError``, ``NoAnswerError``, ``StorageError``; what was accepted before stays in force.
        """
        try:
            self._updater.refresh()
            signed = {role: self._read(role) for role in ("root", *_ROLES)}
        except DownloadError as error:
            raise _translated(error) from error
        except TufError as error:
            raise RepositoryError(f"the update repository is refused: {_said(error)}") from error
        except OSError as error:
            raise StorageError(f"cannot write {self._metadata}: {error.strerror}") from error
        self._accept(signed)

    @property
    def seen(self) -> Seen:
        """The newest of everything, this look included."""
        return self._seen

    def deployments(self, groups: Iterable[str]) -> dict[str, Deployment]:
        """The newest deployment of each group that has one. Raises as :meth:`refresh`."""
        found: dict[str, Deployment] = {}
        for group in groups:
            target = deployment_target(group)
            info = self._updater.get_targetinfo(target)
            before = self._seen.serials.get(group, 0)
            if info is None:
                if before:
                    raise RepositoryError(f"group {group} had a deployment and has none; publish an empty one instead")
                continue
            if info.length > MAX_BYTES:
                raise RepositoryError(f"{target} has {info.length} bytes: {MAX_BYTES} are allowed")
            path = self._folder / "deployments" / f"{group}.json"
            self.fetch(info, path)
            try:
                found[group] = check_serial(decode_deployment(path.read_bytes()), group=group, seen=before)
            except EnvelopeError as error:
                raise RepositoryError(f"the update repository is refused: {error.message}") from error
            except OSError as error:
                raise StorageError(f"cannot read {path}: {error.strerror}") from error
        serials = {**self._seen.serials, **{group: each.serial for group, each in found.items()}}
        self._note(Seen(self._seen.versions, serials, self._seen.floor, self._seen.timestamp))
        return found

    def target(self, path: str) -> TargetFile | None:
        """What is signed of a target; ``None`` when there is none."""
        return self._updater.get_targetinfo(path)

    def fetch(self, info: TargetFile, path: Path) -> bool:
        """Have a target's bytes at ``path``, checked; whether anything had to be fetched.

        Raises ``NoAnswerError``; ``RepositoryError`` when what came is not what was signed; ``StorageError``.
        """
        if self._updater.find_cached_target(info, str(path)) is not None:
            return False
        digest = digest_of(info)
        partial = self._folder / "download" / f"{digest}.part"
        with PartialFile(partial, info.length, self._range_bytes) as file:
            self._fill(file, target_path(info.path, digest), info.length)
            if self._updater.find_cached_target(info, str(partial)) is None:
                file.discard()
                raise RepositoryError(f"the bytes that came for {info.path} are not those that were signed")
            file.finish(path)
        return True

    def _fill(self, file: PartialFile, path: str, length: int) -> None:
        missing = file.missing
        if not missing:
            return
        try:
            for piece in self._source.pieces(path, missing):
                if piece.total != length:
                    raise RepositoryError(f"{path} is said to have {piece.total} bytes, signed are {length}")
                file.put(piece.offset, piece.data)
        except DownloadError as error:
            raise _translated(error) from error

    # --- what python-tuf leaves to its user ---------------------------------------------------------------------------

    def _accept(self, signed: dict[str, Metadata[Any]]) -> None:
        root = signed["root"].signed
        reference = datetime.fromtimestamp(self._now, UTC)
        versions = dict(self._seen.versions)
        current = {}
        for role, metadata in signed.items():
            # python-tuf looks at the clock, which on some boards stands in 1970; this one has a floor.
            if metadata.signed.is_expired(reference):
                raise RepositoryError(f"the update repository is refused: {role} metadata has expired")
            mark = role
            if role != "root" and isinstance(root, Root):
                keys = [*root.roles[role].keyids]
                if role == "targets":  # its version stands in the snapshot: TUF 1.0.33, 5.5.5 compares snapshots
                    keys += root.roles["snapshot"].keyids
                mark = f"{role}/{_fingerprint(keys)}"
            if metadata.signed.version < versions.get(mark, 0):
                raise RepositoryError(
                    f"the update repository is refused: {role} metadata of version {metadata.signed.version}, and "
                    f"{versions[mark]} was seen before"
                )
            current[mark] = metadata.signed.version
        try:
            issued = issued_of(signed["timestamp"].signed.unrecognized_fields)
        except EnvelopeError as error:
            raise RepositoryError(f"the update repository is refused: {error.message}") from error
        try:
            digest = hashlib.sha256((self._metadata / "timestamp.json").read_bytes()).hexdigest()
            if digest != self._seen.timestamp:
                self._sync()
        except OSError as error:
            raise StorageError(f"cannot write {self._metadata}: {error.strerror}") from error
        self._note(Seen(current, self._seen.serials, max(self._seen.floor, issued), digest))

    def _read(self, role: str) -> Metadata[Any]:  # Any: one of the four roles' types
        """Metadata that python-tuf has checked and stored a moment ago."""
        return Metadata[Any].from_file(str(self._metadata / f"{role}.json"))

    def _note(self, seen: Seen) -> None:
        if seen != self._seen:
            write_seen(self._folder, seen)
            self._seen = seen

    def _read_seen(self) -> Seen:
        try:
            return read_seen(self._folder)
        except EnvelopeError as error:
            raise StorageError(
                f"{self._folder / 'seen.json'} is damaged, and without it old metadata could pass for new; delete it "
                f"to begin anew: {error.message}"
            ) from error

    def _sync(self) -> None:
        for path in (*self._metadata.glob("*.json"), *self._metadata.glob("root_history/*.json")):
            with path.open("rb") as file:
                os.fsync(file.fileno())
        sync_folder(self._metadata)

    def clear(self, keep: Iterable[str]) -> None:
        """Delete what was half fetched, and files of releases, other than those of the digests and labels ``keep``."""
        kept = frozenset(keep)
        for path in (self._folder / "download").iterdir():
            if path.name.partition(".")[0] not in kept:
                remove_durably(path)
        for path in (self._folder / "releases").iterdir():
            if path.name.removesuffix(".json") not in kept:
                remove_durably(path)


def digest_of(info: TargetFile) -> str:
    """SHA-256 of a target, lower-case hexadecimal. Raises ``RepositoryError`` when the metadata does not state it."""
    digest = info.hashes.get(HASH)
    if digest is None:
        stated = ", ".join(sorted(info.hashes))
        raise RepositoryError(
            f"target {info.path} is signed with {stated} alone. TUF allows that; waspi asks for a SHA-256, by which "
            "it names the file: sign the target with sha256, too"
        )
    return digest


def _fingerprint(key_ids: Iterable[str]) -> str:
    """The keys of a role, in short."""
    return hashlib.sha256(" ".join(sorted(key_ids)).encode()).hexdigest()[:16]


def _translated(error: DownloadError) -> WaspiError:
    if isinstance(error, DownloadHTTPError | DownloadLengthMismatchError):
        return RepositoryError(f"the update repository is refused: {_said(error)}")
    return NoAnswerError(_said(error))


def _said(error: BaseException) -> str:
    """What happened, with the cause that python-tuf has wrapped."""
    cause = f": {error.__cause__}" if error.__cause__ is not None else ""
    return " ".join(f"{error}{cause}".split())[:400] or type(error).__name__
