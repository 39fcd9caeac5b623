"""The keys that sign a repository's metadata: :class:`KeyFile` on disk, securesystemslib's signers in memory."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from securesystemslib.signer import CryptoSigner, SSlibKey

from waspi.errors import KeyFileError
from waspi.fleet.key_file import KeyFile

if TYPE_CHECKING:
    from collections.abc import Iterable


class Role(StrEnum):
    """TUF's top-level roles (TUF 1.0.33, 2.1)."""

    ROOT = "root"
    """Says which keys the others have. Its own keys are used once a year: keep them offline."""
    TARGETS = "targets"
    """Says which modules and deployments there are."""
    SNAPSHOT = "snapshot"
    """Says which metadata belongs together."""
    TIMESTAMP = "timestamp"
    """Says what is newest."""


def public_key(file: KeyFile) -> SSlibKey:
    """The public half as TUF knows it; its key id is the hash of the key. Raises :class:`KeyFileError`."""
    return SSlibKey.from_crypto(Ed25519PublicKey.from_public_bytes(file.public_bytes()))


def signer_of(file: KeyFile) -> CryptoSigner:
    """The private half, ready to sign. Raises :class:`KeyFileError`."""
    return CryptoSigner(Ed25519PrivateKey.from_private_bytes(file.seed()))


class KeyRing:
    """The private keys that are at hand: those of a folder, and single files (a stick with a root key)."""

    def __init__(self, folder: Path, extra: Iterable[Path] = ()) -> None:
        self.folder = folder
        self._signers: dict[str, CryptoSigner] = {}
        files = [KeyFile.find(folder, str(path)) for path in extra]
        for file in [*KeyFile.all(folder), *files]:
            if file.private:
                signer = signer_of(file)
                self._signers[signer.public_key.keyid] = signer

    def create(self, role: Role) -> CryptoSigner:
        """Make the next key of ``role``, ``<role>-<n>``. Raises :class:`KeyFileError`."""
        number = 1
        while any((self.folder / f"{role}-{number}{suffix}").exists() for suffix in (".key", ".pub")):
            number += 1
        signer = signer_of(KeyFile.create(self.folder, f"{role}-{number}"))
        self._signers[signer.public_key.keyid] = signer
        return signer

    def signers(self, key_ids: Iterable[str]) -> list[CryptoSigner]:
        """Those of ``key_ids`` that are at hand."""
        return [self._signers[key_id] for key_id in key_ids if key_id in self._signers]

    def signer(self, role: str, key_ids: Iterable[str]) -> CryptoSigner:
        """One of ``key_ids``; raises :class:`KeyFileError` when none is at hand."""
        found = self.signers(key_ids)
        if not found:
            raise KeyFileError(
                f"no private key of the role {role} in {self.folder}; name the folder with --keys, or, if the key is "
                f"lost, make a new one with: waspi repo rotate --role {role}"
            )
        return found[0]

    def name_of(self, key_id: str) -> str:
        """The file's id of a key, or the beginning of the key id when its file is not here."""
        for file in KeyFile.all(self.folder):
            if public_key(file).keyid == key_id:
                return file.id
        return key_id[:12]
