"""The metadata files of a repository's folder: read and checked, written durably."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from tuf.api.exceptions import RepositoryError as TufError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, Targets, Timestamp
from tuf.api.serialization import DeserializationError
from tuf.api.serialization.json import JSONSerializer

from waspi.errors import RepositoryError
from waspi.fleet.repository.settings import PUBLIC_MODE
from waspi.journal.durable import write_durably
from waspi.protocol.repository_path import METADATA, metadata_path

if TYPE_CHECKING:
    from pathlib import Path

_ROOT_NAME = re.compile(r"([1-9][0-9]{0,8})\.root\.json").fullmatch
_Signed = TypeVar("_Signed", Root, Targets, Snapshot, Timestamp)
RoleMetadata = Metadata[Timestamp] | Metadata[Snapshot] | Metadata[Targets]
AnyMetadata = Metadata[Root] | RoleMetadata


@dataclass(slots=True)
class MetadataSet:
    """What is published: one version of each role, belonging together."""

    root: Metadata[Root]
    timestamp: Metadata[Timestamp]
    snapshot: Metadata[Snapshot]
    targets: Metadata[Targets]
    outdated: frozenset[str]
    """Roles whose metadata was signed by keys that the newest root has replaced: to be signed anew."""


class MetadataStore:
    """``metadata/`` of a repository."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self) -> MetadataSet:
        """Read the newest of each role, checked from the root down. Raises :class:`RepositoryError`."""
        roots = self.roots()
        timestamp = self._read(metadata_path("timestamp"), Timestamp)
        snapshot_info = timestamp.signed.snapshot_meta
        snapshot = self._read(metadata_path("snapshot", snapshot_info.version), Snapshot, snapshot_info)
        targets_info = snapshot.signed.meta["targets.json"]
        targets = self._read(metadata_path("targets", targets_info.version), Targets, targets_info)
        loaded: tuple[RoleMetadata, ...] = (timestamp, snapshot, targets)
        outdated = {each.signed.type for each in loaded if not self._check(each, roots)}
        return MetadataSet(roots[0], timestamp, snapshot, targets, frozenset(outdated))

    def roots(self) -> list[Metadata[Root]]:
        """Every root, the newest first, each checked by the one before. Raises :class:`RepositoryError`."""
        folder = self._folder / METADATA
        found = (_ROOT_NAME(path.name) for path in folder.glob("*.root.json"))
        newest = max((int(match[1]) for match in found if match), default=0)
        if not newest:
            raise RepositoryError(f"{folder} has no root metadata; make a repository with: waspi repo init")
        roots: list[Metadata[Root]] = []
        for version in range(1, newest + 1):
            root = self._read(metadata_path("root", version), Root)
            earlier = roots[-1] if roots else root
            for authority in (earlier, root):
                if not _signed_by(authority.signed, root):
                    raise RepositoryError(
                        f"{folder / f'{version}.root.json'} does not bear the signatures that it needs; put the "
                        "repository back from a copy"
                    )
            roots.append(root)
        return roots[::-1]

    def write(self, role: str, version: int | None, metadata: AnyMetadata) -> bytes:
        """Write durably, and return the bytes; ``version`` is ``None`` for the timestamp. Raises ``StorageError``."""
        data = metadata.to_bytes(JSONSerializer(compact=True))
        write_durably(self._folder / metadata_path(role, version), data, mode=PUBLIC_MODE)
        return data

    def _read(self, name: str, kind: type[_Signed], info: MetaFile | None = None) -> Metadata[_Signed]:
        path = self._folder / name
        try:
            data = path.read_bytes()
            if info is not None:
                info.verify_length_and_hashes(data)
            metadata: Metadata[_Signed] = Metadata.from_bytes(data)
        except OSError as error:
            raise RepositoryError(f"cannot read {path}: {error.strerror}") from error
        except (TufError, DeserializationError) as error:
            raise RepositoryError(f"{path} is damaged: {error}; put the repository back from a copy") from error
        if not isinstance(metadata.signed, kind):
            raise RepositoryError(f"{path} is no {kind.type} metadata; put the repository back from a copy")
        return metadata

    def _check(self, metadata: RoleMetadata, roots: list[Metadata[Root]]) -> bool:
        """Whether the newest root vouches for it; raises :class:`RepositoryError` when no root ever did."""
        for age, root in enumerate(roots):
            if _signed_by(root.signed, metadata):
                return age == 0
        raise RepositoryError(
            f"{metadata.signed.type} metadata in {self._folder} bears no signature of this repository's keys; put the "
            "repository back from a copy"
        )


def _signed_by(root: Root, metadata: AnyMetadata) -> bool:
    role = metadata.signed.type
    return root.get_verification_result(role, metadata.signed_bytes, metadata.signatures).verified
