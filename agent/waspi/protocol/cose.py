"""Signed jobs: COSE_Sign1 (RFC 9052, 4.2) with Ed25519 (RFC 8032, RFC 9053 2.2) around a job's bytes.

To the byte: tag 18 in its one-byte form ``0xd2``, then an array of four: a byte string with the protected header, an
empty map (no unprotected header), the payload, the signature of 64 bytes; every head in its shortest form. The
protected header is a map of ``1: -8`` (alg EdDSA) and ``4: kid`` (byte string, the key id's ASCII); no other label is
understood, and ``crit`` can therefore only name something unknown. What is signed is ``Sig_structure = ["Signature1",
protected, h'', payload]``, encoded deterministically (RFC 9052, 4.4).

The form is unique on purpose: whoever changes a byte outside the signature's reach (a longer head, an unprotected
header) would otherwise make another body, and so another hash, of a job that is signed for.

``cryptography`` is imported inside the functions: a device whose policy asks for no signatures never loads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from waspi.errors import ConfigError, EnvelopeError, KeyFileError, SignatureError
from waspi.extras import how_to_add
from waspi.protocol import cbor
from waspi.protocol.ids import check_id, is_id, shown
from waspi.protocol.trust import KEY_BYTES, TrustedKey

HEAD: Final = 0xD2
"""First byte of a signed message: tag 18. No unsigned envelope begins with it; those begin with the head of a map."""
OVERHEAD: Final = 160
"""Bytes that a signature adds to a job, at most."""

_ALG, _KID = 1, 4
_ALGORITHMS: Final = (-8, -19)
"""EdDSA, which is sent, and its fully specified successor Ed25519 (RFC 9864): with these keys they are the same."""
_SIGNATURE_BYTES: Final = 64
_MAX_PROTECTED: Final = 96
_PARTS: Final = 4
_MAX_ITEMS: Final = 32
"""More than the 5 that are allowed, so that a message with a wrong header is told what is wrong with it."""


def is_signed(message: bytes) -> bool:
    """Whether a message claims to be a signed one."""
    return len(message) > 0 and message[0] == HEAD


def sign(payload: bytes, *, seed: bytes, kid: str) -> bytes:
    """``payload`` signed with the Ed25519 private key ``seed`` (32 bytes), which the verifier knows as ``kid``.

    Raises :class:`KeyFileError` for a seed of another length, :class:`TopicError` for a wrong key id and
    :class:`ConfigError` without the package ``cryptography``.
    """
    if len(seed) != KEY_BYTES:
        raise KeyFileError(f"an Ed25519 private key has {KEY_BYTES} bytes, not {len(seed)}")
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 - lazy, see above
    except ImportError as error:
        raise ConfigError(f"signatures need a package: {how_to_add('signed')}") from error
    protected = cbor.encode({_ALG: _ALGORITHMS[0], _KID: check_id(kid, "key").encode()})
    signature = Ed25519PrivateKey.from_private_bytes(seed).sign(_to_be_signed(protected, payload))
    return _message(protected, payload, signature)


def public_key(seed: bytes) -> bytes:
    """The Ed25519 public key (32 bytes) of the private key ``seed`` (32 bytes); raises as :func:`sign`."""
    if len(seed) != KEY_BYTES:
        raise KeyFileError(f"an Ed25519 private key has {KEY_BYTES} bytes, not {len(seed)}")
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 - lazy, see above
    except ImportError as error:
        raise ConfigError(f"signatures need a package: {how_to_add('signed')}") from error
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def verify(message: bytes, keys: Mapping[str, TrustedKey], *, max_bytes: int) -> tuple[bytes, TrustedKey]:
    """The payload of a signed message and the key of ``keys`` (by key id) that signed it. The payload is not decoded.

    Raises :class:`SignatureError` for anything that is not wholly in order, whatever bytes, and :class:`ConfigError`
    without the package ``cryptography``.
    """
    protected, payload, signature = _taken_apart(message, max_bytes)
    kid = _key_id(protected)
    key = keys.get(kid)
    if key is None:
        raise SignatureError(f"signed with key {kid}, which this device does not trust")
    try:
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - lazy, see above
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415 - lazy, see above
    except ImportError as error:
        raise ConfigError(f"signatures need a package: {how_to_add('signed')}") from error
    try:
        Ed25519PublicKey.from_public_bytes(key.public_key).verify(signature, _to_be_signed(protected, payload))
    except InvalidSignature as error:
        raise SignatureError(
            f"the signature is not that of key {kid}: signed with another key, or changed since"
        ) from error
    return payload, key


def _taken_apart(message: bytes, max_bytes: int) -> tuple[bytes, bytes, bytes]:
    if not is_signed(message):
        raise SignatureError("not signed: a COSE_Sign1 message (RFC 9052) with its tag is expected")
    try:
        parts = cbor.decode(message[1:], max_bytes=max_bytes, max_items=_MAX_ITEMS, max_depth=3)
    except EnvelopeError as error:
        raise SignatureError(f"no COSE_Sign1 message: {error.message}") from error
    if type(parts) is not list or len(parts) != _PARTS:
        raise SignatureError("no COSE_Sign1 message: an array of four is expected")
    protected, unprotected, payload, signature = parts
    if unprotected != {}:
        raise SignatureError(
            "COSE: the unprotected header must be empty: put kid into the protected one, which is signed for"
        )
    if type(protected) is not bytes or type(payload) is not bytes or type(signature) is not bytes:
        raise SignatureError("COSE: header, payload and signature must be byte strings")
    if len(protected) > _MAX_PROTECTED or len(signature) != _SIGNATURE_BYTES:
        raise SignatureError(
            f"COSE: header of {len(protected)} and signature of {len(signature)} bytes are not allowed"
        )
    # No head can be shorter than its shortest form, so the sum tells whether all are that short, without a copy.
    if len(message) != 1 + 1 + _string_bytes(protected) + 1 + _string_bytes(payload) + _string_bytes(signature):
        raise SignatureError("COSE: lengths are not in their shortest form")
    return protected, payload, signature


def _key_id(protected: bytes) -> str:
    try:
        header = cbor.decode(protected, max_bytes=_MAX_PROTECTED, max_items=8, max_depth=2)
    except EnvelopeError as error:
        raise SignatureError(f"COSE: protected header: {error.message}") from error
    if type(header) is not dict or {_ALG, _KID} - header.keys():
        raise SignatureError("COSE: the protected header must hold alg (1) and kid (4)")
    for label in header:
        # bool and float labels equal integers in Python; they are no labels of COSE.
        if type(label) is not int or label not in (_ALG, _KID):
            raise SignatureError(f"COSE: header label {shown(label)} is not understood here")
    algorithm, kid = header[_ALG], header[_KID]
    if type(algorithm) is not int or algorithm not in _ALGORITHMS:
        raise SignatureError(f"COSE: algorithm {shown(algorithm)} is not EdDSA (-8)")
    if type(kid) is not bytes or not kid.isascii() or not is_id(kid.decode("ascii")):
        raise SignatureError(f"COSE: key id {shown(kid)} must be the ASCII of an id")
    return kid.decode("ascii")


def _to_be_signed(protected: bytes, payload: bytes) -> bytes:
    return cbor.encode(["Signature1", protected, b"", payload])


def _string_bytes(string: bytes) -> int:
    """Bytes of ``string`` with its shortest head (RFC 8949, 3)."""
    size = len(string)
    return size + (1 if size < 24 else 2 if size < 2**8 else 3 if size < 2**16 else 5)  # noqa: PLR2004 - RFC 8949, 3


def _message(protected: bytes, payload: bytes, signature: bytes) -> bytes:
    return bytes((HEAD,)) + cbor.encode([protected, {}, payload, signature])
