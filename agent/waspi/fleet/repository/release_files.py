"""What people keep beside a module, as TOML files: its golden pairs, and the limits of a run.

::

    [[golden]]
    input = "The input string"
    output = "The input string<---- This is your string"

    [[golden]]
    input_base64 = "AAEC"
    output_base64 = "AgEA"

Limits have the keys of :class:`waspi.model.limits.Limits`.
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from waspi.errors import ConfigError, EnvelopeError
from waspi.model.limits import DEFAULT_LIMITS, Limits
from waspi.model.release import GoldenPair
from waspi.protocol.terms import limits_of
from waspi.toml_file import read_toml

_SUFFIX = "_base64"
_HALVES = ("input", "output")
_KEYS = frozenset((*_HALVES, *(half + _SUFFIX for half in _HALVES)))


def load_golden(path: Path | None) -> tuple[GoldenPair, ...]:
    """Read golden pairs; none for ``None``. Raises :class:`ConfigError` that names the file and the pair."""
    if path is None:
        return ()
    document = read_toml(path, "the golden pairs")
    tables = document.get("golden")
    if set(document) != {"golden"} or not isinstance(tables, list) or not tables:
        raise ConfigError(f"{path} holds no golden pairs: tables [[golden]] with input and output are expected")
    return tuple(_pair(table, f"{path}: golden pair {number}") for number, table in enumerate(tables, 1))


def dump_golden(pairs: Iterable[GoldenPair]) -> str:
    """Give the file's text: plain where a half is text that reads well, base64 else."""
    tables = []
    for pair in pairs:
        halves = [_line(half, getattr(pair, half)) for half in _HALVES]
        tables.append("\n".join(["[[golden]]", *halves]))
    return "\n\n".join(tables) + "\n"


def load_limits(path: Path | None) -> Limits:
    """Read ``path``, keys at its top level or in a table ``[limits]``; no limits of its own for ``None``.

    Raises :class:`ConfigError` that names the file and the key.
    """
    if path is None:
        return Limits()
    document = read_toml(path, "the limits")
    try:
        return limits_of(document.get("limits", document), str(path))
    except EnvelopeError as error:
        raise ConfigError(error.message) from error


def run_limits(limits: Limits) -> Limits:
    """What a run gets on a device that grants the default: no more than that."""
    return limits.capped_by(DEFAULT_LIMITS)


def _pair(table: object, where: str) -> GoldenPair:
    if not isinstance(table, Mapping):
        raise ConfigError(f"{where} must be a table")
    unknown = sorted(set(table) - _KEYS)
    if unknown:
        raise ConfigError(f"{where}: unknown key {unknown[0]!r}; known are {', '.join(sorted(_KEYS))}")
    return GoldenPair(*(_half(table, half, where) for half in _HALVES))


def _half(table: Mapping[str, object], half: str, where: str) -> bytes:
    stated = [key for key in (half, half + _SUFFIX) if key in table]
    if len(stated) != 1 or not isinstance(value := table[stated[0]], str):
        raise ConfigError(f"{where}: give {half} or {half}{_SUFFIX}, as text")
    if stated[0] == half:
        return value.encode()
    try:
        return binascii.a2b_base64(value, strict_mode=True)
    except ValueError as error:
        raise ConfigError(f"{where}: {half}{_SUFFIX} is no base64: {error}") from error


def _line(half: str, data: bytes) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = "\0"
    if text.isprintable():
        # Of printable text a JSON string is a TOML basic string too (TOML 1.0, "String").
        return f"{half} = {json.dumps(text, ensure_ascii=False)}"
    return f'{half}{_SUFFIX} = "{binascii.b2a_base64(data, newline=False).decode("ascii")}"'
