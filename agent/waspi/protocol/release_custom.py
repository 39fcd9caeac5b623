"""Releases in the signed metadata: the ``custom`` of a target <-> :class:`waspi.model.release.Release`.

Under TUF's ``custom`` (TUF 1.0.33, 4.5) stands, below the key ``waspi``: ``{"v": 1, "abi"?: {…}, "limits"?: {…},
"golden"?: [{"input": base64, "output": base64}]}``. Name and version are the target's path, length and SHA-256 its own.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from typing import Final

from waspi.errors import EnvelopeError
from waspi.model.abi import DEFAULT_ABI
from waspi.model.limits import Limits
from waspi.model.release import GoldenPair, Release
from waspi.protocol import field, terms
from waspi.protocol.ids import is_digest, shown
from waspi.protocol.repository_path import module_of

KEY: Final = "waspi"
MAX_MODULE_BYTES: Final = 16 * 1024 * 1024
"""Longest module of a release: the default bound of the compiler."""
MAX_GOLDEN: Final = 32
"""Golden pairs of a release."""
MAX_GOLDEN_BYTES: Final = 64 * 1024
"""Bytes of all inputs and outputs of a release's golden pairs: every device of the fleet reads them."""

_KEYS: Final = frozenset(("v", "abi", "limits", "golden"))
_PAIR_KEYS: Final = frozenset(("input", "output"))


def custom_of(release: Release) -> dict[str, object]:
    """The ``custom`` of a release's target; raises :class:`EnvelopeError` for one that would not be read again."""
    fields: dict[str, object] = {"v": field.VERSION}
    if release.abi != DEFAULT_ABI:
        fields["abi"] = terms.abi_fields(release.abi)
    if release.limits != Limits():
        fields["limits"] = terms.limits_fields(release.limits)
    if release.golden:
        fields["golden"] = [{"input": _text(pair.input), "output": _text(pair.output)} for pair in release.golden]
    _check_golden(release.golden, release.label)
    return {KEY: fields}


def release_of(target: str, length: int, sha256: str, custom: Mapping[str, object] | None) -> Release:
    """Read a release from its target's path, length, SHA-256 and ``custom``.

    Raises :class:`EnvelopeError`, and nothing else: no module's target, a length beyond MAX_MODULE_BYTES, ``custom``
    that is missing or wrong. Signed metadata may still come from somebody careless.
    """
    named = module_of(target)
    if named is None:
        raise EnvelopeError(f"target {shown(target)} is no module: modules/<name>/<version>.wasm is expected")
    what = f"release {named[0]}@{named[1]}"
    if not is_digest(sha256):
        raise EnvelopeError(f"{what}: {shown(sha256)} is no SHA-256")
    fields = field.envelope((custom or {}).get(KEY), what, _KEYS)
    golden = _golden(fields["golden"], what) if "golden" in fields else ()
    _check_golden(golden, what)
    return Release(
        name=named[0],
        version=named[1],
        sha256=sha256,
        length=field.integer(length, f"{what}: length", least=1, most=MAX_MODULE_BYTES),
        abi=terms.abi_of(fields["abi"], what) if "abi" in fields else DEFAULT_ABI,
        limits=terms.limits_of(fields["limits"], what) if "limits" in fields else Limits(),
        golden=golden,
    )


def _golden(value: object, what: str) -> tuple[GoldenPair, ...]:
    pairs = []
    for item in field.items(value, f"{what}: 'golden'", most=MAX_GOLDEN):
        pair = field.closed(item, f"{what}: each of 'golden'", _PAIR_KEYS)
        octets = [_octets(pair.get(key), f"{what}: 'golden.{key}'") for key in ("input", "output")]
        pairs.append(GoldenPair(*octets))
    return tuple(pairs)


def _check_golden(golden: tuple[GoldenPair, ...], what: str) -> None:
    size = sum(len(pair.input) + len(pair.output) for pair in golden)
    if len(golden) > MAX_GOLDEN or size > MAX_GOLDEN_BYTES:
        raise EnvelopeError(
            f"{what}: {len(golden)} golden pairs of {size} bytes: {MAX_GOLDEN} pairs of {MAX_GOLDEN_BYTES} bytes "
            "together are allowed, since every device reads them"
        )


def _text(octets: bytes) -> str:
    return binascii.b2a_base64(octets, newline=False).decode("ascii")


def _octets(value: object, name: str) -> bytes:
    # No MAX_TEXT here: what counts are the bytes of all pairs, which _check_golden bounds.
    if type(value) is not str:
        raise EnvelopeError(f"{name} must be text in base64")
    try:
        return binascii.a2b_base64(value, strict_mode=True)
    except ValueError as error:
        raise EnvelopeError(f"{name} is no base64: {error}") from error
