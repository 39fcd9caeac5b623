"""What a repository holds: releases and deployments, as signed, with the draft's changes upon them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from waspi.errors import EnvelopeError, RepositoryError
from waspi.fleet.repository.draft import Draft
from waspi.journal.durable import write_durably
from waspi.protocol.deployment_document import MAX_BYTES, decode_deployment
from waspi.protocol.release_custom import release_of
from waspi.protocol.repository_path import group_of, module_of, target_path

if TYPE_CHECKING:
    from tuf.api.metadata import TargetFile, Targets

    from waspi.model.deployment import Deployment
    from waspi.model.release import Release

HASH = "sha256"
"""The one hash of every target: its digest is part of the file's name."""


@dataclass(frozen=True, slots=True)
class Contents:
    """Releases by name and version, deployments by group."""

    releases: dict[tuple[str, str], Release]
    deployments: dict[str, Deployment]

    def release(self, name: str, version: str) -> Release:
        """Raises :class:`RepositoryError` that lists what there is."""
        found = self.releases.get((name, version))
        if found is None:
            known = ", ".join(sorted(each for named, each in self.releases if named == name)) or "none"
            raise RepositoryError(
                f"no release {name}@{version}; versions of {name} here: {known}; add it with: waspi repo add"
            )
        return found

    def users_of(self, name: str, version: str) -> list[str]:
        """The groups whose deployment names the release."""
        return [
            group
            for group, deployment in sorted(self.deployments.items())
            if (entry := deployment.entry(name)) is not None and version in {entry.version, entry.base}
        ]


def contents_of(folder: Path, targets: Targets, draft: Draft) -> Contents:
    """Read the contents; raises :class:`RepositoryError` for a target that is damaged."""
    releases: dict[tuple[str, str], Release] = {}
    deployments: dict[str, Deployment] = {}
    for target, entry in {**targets.targets, **draft.modules}.items():
        if target in draft.removed:
            continue
        try:
            if module_of(target) is not None:
                release = release_of(target, entry.length, entry.hashes.get(HASH, ""), entry.custom)
                releases[release.name, release.version] = release
            elif (group := group_of(target)) is not None:
                deployments[group] = decode_deployment(_read_target(folder, entry))
        except EnvelopeError as error:
            raise RepositoryError(f"{folder}: {error.message}") from error
    deployments.update(draft.deployments)
    return Contents(releases, deployments)


def path_of(folder: Path, entry: TargetFile) -> Path:
    """Where the bytes of a target lie."""
    return folder / target_path(entry.path, entry.hashes[HASH])


def write_target(folder: Path, target: str, data: bytes, mode: int) -> None:
    """Put the bytes of a target to where its hash says; raises :class:`StorageError`."""
    path = folder / target_path(target, hashlib.sha256(data).hexdigest())
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    write_durably(path, data, mode=mode)


def check_target(folder: Path, entry: TargetFile) -> None:
    """Raise :class:`RepositoryError` when the bytes of a target are not those that its entry says."""
    path = path_of(folder, entry)
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, HASH).hexdigest()
    except OSError as error:
        raise RepositoryError(f"cannot read {path}: {error.strerror}; add it again") from error
    if digest != entry.hashes[HASH]:
        raise RepositoryError(f"{path} has other bytes than were added; add it again")


def _read_target(folder: Path, entry: TargetFile) -> bytes:
    check_target(folder, entry)
    data = path_of(folder, entry).read_bytes()
    if len(data) > MAX_BYTES:
        raise RepositoryError(f"{entry.path} has {len(data)} bytes; {MAX_BYTES} are allowed")
    return data
