"""Ed25519 keys of publishers, as PEM files (RFC 8410) in a folder."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from waspi.errors import KeyFileError
from waspi.fleet.operator_file import PRIVATE, PUBLIC, make_folder
from waspi.protocol.ids import check_id

PRIVATE_SUFFIX = ".key"
PUBLIC_SUFFIX = ".pub"
_OTHERS = 0o077


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A key on disk: ``<id>.key`` (private, mode 0600) beside ``<id>.pub``; ``path`` is either of them."""

    id: str
    path: Path

    @classmethod
    def create(cls, folder: Path, key_id: str) -> KeyFile:
        """Make a new key in ``folder``.

        Raises :class:`KeyFileError` when there is one of that id (a key is never overwritten) or the folder cannot be
        written, :class:`TopicError` when the id breaks the grammar of ids.
        """
        check_id(key_id, "key")
        private = Ed25519PrivateKey.generate()
        path = folder / f"{key_id}{PRIVATE_SUFFIX}"
        public = path.with_suffix(PUBLIC_SUFFIX)
        make_folder(folder, 0o700)
        for each in (path, public):
            if each.exists():
                raise KeyFileError(f"{each} exists; choose another id, or move that key away")
        made = []
        try:
            for each, content, mode in (
                (public, _public_pem(private.public_key()), PUBLIC),
                (path, private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), PRIVATE),
            ):
                _write_new(each, content, mode)
                made.append(each)
        except OSError as error:
            for each in made:  # half a key would be found instead of the other's
                each.unlink()
            raise KeyFileError(f"cannot write the key {path}: {error.strerror}") from error
        return cls(key_id, path)

    @classmethod
    def find(cls, folder: Path, name: str) -> KeyFile:
        """Find a key by its id in ``folder``, or by the path of its file. Raises :class:`KeyFileError`."""
        tried = [Path(name), folder / f"{name}{PRIVATE_SUFFIX}", folder / f"{name}{PUBLIC_SUFFIX}"]
        for path in tried:
            if path.is_file():
                return cls(path.stem, path)
        raise KeyFileError(f"no key {name!r}, neither as a file nor in {folder}; waspi keys list shows the keys")

    @classmethod
    def all(cls, folder: Path) -> list[KeyFile]:
        """Give the keys in ``folder`` by id; private files go before public ones that stand alone."""
        found = {path.stem: path for path in sorted(folder.glob(f"*{PUBLIC_SUFFIX}"))}
        found |= {path.stem: path for path in sorted(folder.glob(f"*{PRIVATE_SUFFIX}"))}
        return [cls(key_id, path) for key_id, path in sorted(found.items())]

    @property
    def private(self) -> bool:
        """Whether this file holds the private half."""
        return self.path.suffix != PUBLIC_SUFFIX

    def seed(self) -> bytes:
        """Load the private key, 32 bytes (RFC 8032).

        Raises :class:`KeyFileError` when others may read it or it is of another kind.
        """
        if os.stat(self.path).st_mode & _OTHERS:  # noqa: PTH116 - one call, and errors name the file below
            raise KeyFileError(f"others may read {self.path}; run: chmod 600 {self.path}")
        key = self._load_private()
        if key is None:
            raise KeyFileError(f"{self.path} is no private Ed25519 key in PEM; make one with: waspi keys new")
        return key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())

    def public_bytes(self) -> bytes:
        """Give the public key, 32 bytes; raises :class:`KeyFileError`."""
        private = self._load_private() if self.private else None
        if private is not None:
            return private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        try:
            public = load_pem_public_key(self._read())
        except (ValueError, UnsupportedAlgorithm) as error:
            raise KeyFileError(f"{self.path} is no Ed25519 key in PEM") from error
        if not isinstance(public, Ed25519PublicKey):
            raise KeyFileError(f"{self.path} is no Ed25519 key; make one with: waspi keys new")
        return public.public_bytes(Encoding.Raw, PublicFormat.Raw)

    def toml(self) -> str:
        """Give the lines that make a device trust this key, for its configuration file."""
        public = base64.b64encode(self.public_bytes()).decode("ascii")
        return f'[[policy.keys]]\nid = "{self.id}"\npublic_key = "{public}"\n'

    def _load_private(self) -> Ed25519PrivateKey | None:
        try:
            key = load_pem_private_key(self._read(), None)
        except TypeError as error:
            raise KeyFileError(f"{self.path} is encrypted; waspi reads plain PEM with mode 0600") from error
        except (ValueError, UnsupportedAlgorithm):
            return None
        return key if isinstance(key, Ed25519PrivateKey) else None

    def _read(self) -> bytes:
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise KeyFileError(f"cannot read the key {self.path}: {error.strerror}") from error


def _public_pem(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _write_new(path: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)  # whatever the umask is
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
