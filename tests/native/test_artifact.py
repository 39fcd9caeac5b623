"""Ahead-of-time artifacts: nothing that was not made here reaches the engine."""

from __future__ import annotations

import hashlib
import random

import pytest

from tests.native.wat import compile_wat, guest
from waspi import _wasmer
from waspi.errors import ArtifactError

SEED = 20_260_101


def sealed(body: bytes) -> bytes:
    """An artifact's body with the hash that belongs to it, as a forger would make it."""
    return body + hashlib.sha256(body).digest()


def with_fingerprint(artifact: bytes, line: str) -> bytes:
    """The same code, said to be for another engine or machine."""
    ours = _wasmer.FINGERPRINT.encode()
    length = int.from_bytes(artifact[8:12], "little") - len(ours) + len(line.encode())
    head = artifact[:8] + length.to_bytes(4, "little") + artifact[12:24]
    return sealed(head + line.encode() + artifact[24 + len(ours) : -32])


@pytest.fixture(scope="module")
def artifact() -> bytes:
    return compile_wat(guest()).serialize()


def test_a_loaded_module_is_the_same(artifact: bytes) -> None:
    made, loaded = compile_wat(guest()), _wasmer.Module.load(artifact)
    assert loaded.run(b"abc").output == b"abc"
    assert loaded.run(b"abc").fuel == made.run(b"abc").fuel
    assert (loaded.sha256, loaded.exports, loaded.imports) == (made.sha256, made.exports, made.imports)
    assert loaded.serialize() == artifact
    loaded.check_abi()


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_is_loaded(artifact: bytes, kind: type[bytes]) -> None:
    assert _wasmer.Module.load(kind(artifact)).run(b"abc").output == b"abc"


def test_every_cut_is_refused(artifact: bytes) -> None:
    for end in [*range(64), *range(64, len(artifact), 97), len(artifact) - 1]:
        with pytest.raises(ArtifactError):
            _wasmer.Module.load(artifact[:end])
    with pytest.raises(ArtifactError, match="length"):
        _wasmer.Module.load(artifact + b"\0")


def test_every_flipped_bit_is_refused(artifact: bytes) -> None:
    """A sample of all bits, and all of the first hundred bytes."""
    chance = random.Random(SEED)  # noqa: S311 - repeatable, not secret
    print("seed", SEED)  # noqa: T201 - so that a failure can be repeated
    places = [*range(100), *(chance.randrange(len(artifact)) for _ in range(500))]
    for place in places:
        damaged = bytearray(artifact)
        damaged[place] ^= 1 << chance.randrange(8)
        with pytest.raises(ArtifactError):
            _wasmer.Module.load(damaged)


def test_a_foreign_engine_is_named(artifact: bytes) -> None:
    """With a hash that fits: the fingerprint alone has to stop it."""
    ours = _wasmer.FINGERPRINT
    engine, version = _wasmer.ENGINE.split()
    for foreign in (
        ours.replace("0.1.0", "0.0.9"),
        ours.replace(f"{engine} {version}", f"{engine} 0.0.1"),
        ours.replace("waspi", "wasp", 1),
        ours.replace("; ", ";", 1),
        ours + "; more; yet more",
        ours.partition(";")[0],
        "",
    ):
        with pytest.raises(ArtifactError, match="another engine"):
            _wasmer.Module.load(with_fingerprint(artifact, foreign))


def test_numbers_at_their_edges(artifact: bytes) -> None:
    for place in (8, 12, 16, 20):
        for value in (b"\xff\xff\xff\xff", b"\0\0\0\x80", b"\0\0\0\0"):
            body = artifact[:place] + value + artifact[place + 4 : -32]
            if body != artifact[:-32]:
                with pytest.raises(ArtifactError):
                    _wasmer.Module.load(sealed(body))


@pytest.mark.parametrize("junk", [b"", b"waspiAOT", b"\0asm\1\0\0\0", bytes(1_000), b"waspiAOT" + bytes(100)])
def test_junk_is_refused(junk: bytes) -> None:
    with pytest.raises(ArtifactError, match="compile the module again"):
        _wasmer.Module.load(junk)


def test_fingerprint_says_what_it_should() -> None:
    engine, target = _wasmer.ENGINE, _wasmer.TARGET
    assert engine in _wasmer.FINGERPRINT
    assert target in _wasmer.FINGERPRINT
    assert "\n" not in _wasmer.FINGERPRINT
