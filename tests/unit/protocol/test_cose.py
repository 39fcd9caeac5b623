from __future__ import annotations

import subprocess
import sys

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from pycose.algorithms import EdDSA
from pycose.headers import KID, Algorithm
from pycose.keys import OKPKey
from pycose.keys.curves import Ed25519
from pycose.messages import Sign1Message

from waspi.errors import KeyFileError, SignatureError, TopicError
from waspi.protocol import cbor, cose
from waspi.protocol.trust import TrustedKey, key_id

SEED, OTHER_SEED = bytes(range(32)), bytes(range(1, 33))
PUBLIC = cose.public_key(SEED)
KEYS = {"k1": TrustedKey("k1", PUBLIC), "k2": TrustedKey("k2", cose.public_key(OTHER_SEED))}
LIMIT = 1 << 20


def verify(message: bytes) -> bytes:
    return cose.verify(message, KEYS, max_bytes=LIMIT)[0]


def signed(
    protected: bytes, payload: object = b"job", *, unprotected: object = None, context: str = "Signature1"
) -> bytes:
    """A message with a good signature over whatever header: only the header can be what is wrong with it."""
    to_be_signed = cbor2.dumps([context, protected, b"", payload])
    signature = Ed25519PrivateKey.from_private_bytes(SEED).sign(to_be_signed)
    return cbor2.dumps(cbor2.CBORTag(18, [protected, {} if unprotected is None else unprotected, payload, signature]))


def header(**labels: object) -> bytes:
    return cbor2.dumps({int(label[1:]): value for label, value in labels.items()})


GOOD_HEADER = header(_1=-8, _4=b"k1")


@given(st.binary(max_size=300))
def test_round_trip(payload: bytes) -> None:
    message = cose.sign(payload, seed=SEED, kid="k1")
    assert cose.is_signed(message)
    assert cose.verify(message, KEYS, max_bytes=LIMIT) == (payload, KEYS["k1"])
    assert len(message) <= len(payload) + cose.OVERHEAD
    assert message == cose.sign(payload, seed=SEED, kid="k1")


@pytest.mark.parametrize("size", [0, 23, 24, 255, 256, 65_535, 65_536])
def test_every_length_of_head(size: int) -> None:
    assert verify(cose.sign(bytes(size), seed=SEED, kid="k1")) == bytes(size)


@given(st.binary(min_size=1, max_size=300))
def test_pycose_makes_the_same_bytes(payload: bytes) -> None:
    theirs = Sign1Message(phdr={Algorithm: EdDSA, KID: b"k1"}, uhdr={}, payload=payload)
    theirs.key = OKPKey(crv=Ed25519, d=SEED, x=PUBLIC)
    encoded = theirs.encode()
    assert encoded == cose.sign(payload, seed=SEED, kid="k1")
    assert verify(encoded) == payload


@given(st.binary(min_size=1, max_size=300))
def test_pycose_verifies_ours(payload: bytes) -> None:
    # pycose 1.1 asks for a list where cbor2 6 gives a tuple, hence not Sign1Message.decode.
    protected, unprotected, body, signature = cbor2.loads(cose.sign(payload, seed=SEED, kid="k1")).value
    message = Sign1Message.from_cose_obj(
        [protected, dict(unprotected), body, signature], allow_unknown_attributes=False
    )
    message.key = OKPKey(crv=Ed25519, x=PUBLIC)
    assert message.verify_signature()
    message.key = OKPKey(crv=Ed25519, x=cose.public_key(OTHER_SEED))
    assert not message.verify_signature()


def test_the_successor_algorithm_is_understood() -> None:
    """RFC 9864: Ed25519 (-19), the fully specified EdDSA."""
    assert verify(signed(header(_1=-19, _4=b"k1"))) == b"job"


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (b"", "not signed"),
        (b"\xa0", "not signed"),
        (b"\xd2", "empty"),
        (b"\xd2\xd2\x80", "tag"),
        (b"\xd2\x80", "array of four"),
        (b"\xd2\xa0", "array of four"),
        (b"\xd2\x84\x40\xa0\x40\x40", "header of 0"),
        (signed(GOOD_HEADER) + b"\0", "after the end"),
        (b"\xd8\x12" + signed(GOOD_HEADER)[1:], "not signed"),
        (signed(GOOD_HEADER, unprotected={4: b"k1"}), "unprotected"),
        (signed(GOOD_HEADER, unprotected=[]), "unprotected"),
        (signed(GOOD_HEADER, payload=None), "byte strings"),
        (signed(GOOD_HEADER, payload="job"), "byte strings"),
        (signed(b""), "header of 0|protected header|empty"),
        (signed(b"\xa0"), "must hold"),
        (signed(b"\x80"), "must hold"),
        (signed(b"\x9f\xff"), "indefinite"),
        (signed(header(_4=b"k1")), "must hold"),
        (signed(header(_1=-8)), "must hold"),
        (signed(header(_1=-7, _4=b"k1")), "EdDSA"),
        (signed(header(_1="EdDSA", _4=b"k1")), "EdDSA"),
        (signed(header(_1=-8.0, _4=b"k1")), "EdDSA"),
        (signed(header(_1=None, _4=b"k1")), "EdDSA"),
        (signed(header(_1=-8, _4="k1")), "ASCII"),
        (signed(header(_1=-8, _4=b"K1")), "ASCII"),
        (signed(header(_1=-8, _4=b"k\xff")), "ASCII"),
        (signed(header(_1=-8, _4=b"k9")), "k9, which this device does not trust"),
        (signed(header(_1=-8, _4=b"k2")), "not that of key k2"),
        (signed(header(_1=-8, _2=[1], _4=b"k1")), "label 2"),
        (signed(header(_1=-8, _3="application/cbor", _4=b"k1")), "label 3"),
        (signed(cbor2.dumps({1.0: -8, 4: b"k1"})), "label 1.0"),
        (signed(cbor2.dumps({True: -8, 4: b"k1"})), "label True"),
        (signed(cbor2.dumps({1: -8, 4: b"k1", "x": 1})), "label 'x'"),
        (signed(b"\xa3\x01\x27\x01\x27\x04\x42k1"), "Duplicate"),
        (signed(header(_1=-8, _4=b"k1", _7=b"x" * 100)), "header of 1"),
        (signed(GOOD_HEADER, context="Signature"), "not that of key k1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_fault_15_messages_that_are_not_in_order(message: bytes, says: str) -> None:
    with pytest.raises(SignatureError, match=says):
        verify(message)


def test_fault_15_longer_heads_are_refused() -> None:
    """The same signature in another encoding would be another body of the same job."""
    good = signed(GOOD_HEADER)
    parts = cbor2.loads(good).value
    assert verify(good) == b"job"
    for malleated in (
        b"\xd2\x98\x04" + good[2:],
        good.replace(b"\x43job", b"\x58\x03job"),
        good.replace(b"\x43job", b"\x5b" + bytes(7) + b"\x03job"),
        good[:2] + b"\x58" + bytes((len(parts[0]),)) + good[3:],
        good.replace(b"\xa0\x43job", b"\xb8\x00\x43job"),
        good.replace(b"\x58\x40", b"\x59\x00\x40"),
    ):
        assert malleated != good
        assert cbor2.loads(malleated).value[2:] == parts[2:]
        with pytest.raises(SignatureError, match="shortest"):
            verify(malleated)


@given(st.data())
def test_fault_15_no_changed_byte_passes(data: st.DataObject) -> None:
    message = bytearray(cose.sign(b"the job", seed=SEED, kid="k1"))
    where = data.draw(st.integers(0, len(message) - 1))
    message[where] ^= data.draw(st.integers(1, 255))
    with pytest.raises(SignatureError):
        verify(bytes(message))


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_nothing_else(data: bytes) -> None:
    for message in (data, b"\xd2" + data, b"\xd2\x84" + data):
        with pytest.raises(SignatureError):
            verify(message)


def test_size_is_capped_before_anything_else() -> None:
    with pytest.raises(SignatureError, match="are allowed"):
        cose.verify(cose.sign(bytes(1000), seed=SEED, kid="k1"), KEYS, max_bytes=1000)


def test_the_payload_is_not_decoded() -> None:
    assert verify(cose.sign(b"\x81" * 1000, seed=SEED, kid="k1")) == b"\x81" * 1000


def test_wrong_keys_to_sign_with() -> None:
    with pytest.raises(KeyFileError, match="32 bytes, not 31"):
        cose.sign(b"", seed=bytes(31), kid="k1")
    with pytest.raises(KeyFileError, match="32 bytes, not 0"):
        cose.public_key(b"")
    with pytest.raises(TopicError, match="key id"):
        cose.sign(b"", seed=SEED, kid="#")


def test_vector_of_rfc_8032() -> None:
    """RFC 8032, 7.1, test 1: the public key of a known seed."""
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert cose.public_key(seed).hex() == public
    assert len(key_id(bytes.fromhex(public))) == 16


def test_sig_structure_is_that_of_rfc_9052() -> None:
    message = cbor2.loads(cose.sign(b"job", seed=SEED, kid="k1")).value
    to_be_signed = cbor.encode(["Signature1", message[0], b"", message[2]])
    assert to_be_signed.hex() == "846a5369676e61747572653147a2012704426b3140436a6f62"
    Ed25519PrivateKey.from_private_bytes(SEED).public_key().verify(message[3], to_be_signed)


_WITHOUT = """
import sys
sys.modules["cryptography"] = None
from waspi.protocol import cose, trust
from waspi.errors import ConfigError
message = bytes.fromhex(sys.argv[1])
for call in (
    lambda: cose.sign(b"", seed=bytes(32), kid="k1"),
    lambda: cose.public_key(bytes(32)),
    lambda: cose.verify(message, {"k1": trust.TrustedKey("k1", bytes(32))}, max_bytes=1000),
):
    try:
        call()
    except ConfigError as error:
        print(error.message)
"""


def test_without_cryptography_the_error_says_what_to_install() -> None:
    message = cose.sign(b"job", seed=SEED, kid="k1").hex()
    done = subprocess.run([sys.executable, "-c", _WITHOUT, message], capture_output=True, text=True, check=True)
    assert done.stdout.count("-m pip install cryptography\n") == 3
