"""New roots: keys replaced, signed by as many keys as the old root and the new one ask for.

Root keys are offline and in several hands. So a new root that lacks signatures waits in ``root.pending.json`` until
``waspi repo sign`` was run with enough of them; only then it becomes the next root that devices see.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tuf.api.metadata import Metadata, Root
from tuf.api.metadata import Role as TufRole
from tuf.api.serialization import DeserializationError

from waspi.errors import RepositoryError
from waspi.fleet.repository.key_ring import KeyRing, Role
from waspi.fleet.repository.settings import PUBLIC_MODE, Lifetimes
from waspi.journal.durable import remove_durably, write_durably

if TYPE_CHECKING:
    from securesystemslib.signer import Key

FILE = "root.pending.json"


@dataclass(frozen=True, slots=True)
class RootChange:
    """A root that is to follow the present one."""

    metadata: Metadata[Root]
    missing: int
    """Signatures that are still needed; 0: it may be published."""
    may_sign: tuple[str, ...]
    """Key ids that have not signed and whose signature would count."""


def first_root(keys: KeyRing, root_keys: Iterable[Key], threshold: int, lifetimes: Lifetimes, now: datetime) -> Root:
    """The first root of a repository, with a new key for each of the other roles. Raises :class:`KeyFileError`."""
    root = Root(expires=lifetimes.expiry(Role.ROOT, now), consistent_snapshot=True)
    for key in root_keys:
        root.add_key(key, Role.ROOT)
    root.roles[Role.ROOT].threshold = threshold
    for role in (Role.TARGETS, Role.SNAPSHOT, Role.TIMESTAMP):
        root.add_key(keys.create(role).public_key, role)
    return root


def replace_key(root: Root, role: Role, old: str, new: Key) -> None:
    """Let ``new`` stand where the key id ``old`` stood."""
    root.revoke_key(old, role)
    root.add_key(new, role)


def set_root_threshold(root: Root, threshold: int) -> None:
    """Ask for ``threshold`` signatures from the next root on; raises :class:`RepositoryError` for more than keys."""
    holders = root.roles[Role.ROOT].keyids
    if not 1 <= threshold <= len(holders):
        raise RepositoryError(f"a threshold of {threshold} does not go with {len(holders)} root keys")
    root.roles[Role.ROOT] = TufRole(holders, threshold)


def sign(metadata: Metadata[Root], previous: Root | None, keys: KeyRing | None) -> RootChange:
    """Add the signatures of all keys at hand that count (none with ``None``), and see what is missing."""
    holders = dict.fromkeys(metadata.signed.roles[Role.ROOT].keyids)
    if previous is not None:
        holders.update(dict.fromkeys(previous.roles[Role.ROOT].keyids))
    unsigned = [key_id for key_id in holders if key_id not in metadata.signatures]
    for signer in keys.signers(unsigned) if keys is not None else ():
        metadata.sign(signer, append=True)
    payload, signatures = metadata.signed_bytes, metadata.signatures
    result = metadata.signed.get_root_verification_result(previous, payload, signatures)
    missing = max(result.first.missing, result.second.missing)
    return RootChange(metadata, missing, tuple(sorted(result.unsigned)))


def load_pending(folder: Path) -> Metadata[Root] | None:
    """The root that waits for signatures; raises :class:`RepositoryError` when it is damaged."""
    path = folder / FILE
    try:
        metadata: Metadata[Root] = Metadata.from_bytes(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, DeserializationError) as error:
        raise RepositoryError(f"cannot read {path}: {error}; delete it and run waspi repo rotate again") from error
    if not isinstance(metadata.signed, Root):
        raise RepositoryError(f"{path} is no root metadata; delete it and run waspi repo rotate again")
    return metadata


def save_pending(folder: Path, metadata: Metadata[Root]) -> Path:
    """Keep a root that waits for signatures; raises :class:`StorageError`."""
    path = folder / FILE
    write_durably(path, metadata.to_bytes(), mode=PUBLIC_MODE)
    return path


def drop_pending(folder: Path) -> None:
    """Forget the root that waits; raises :class:`StorageError`."""
    remove_durably(folder / FILE)
