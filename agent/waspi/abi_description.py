"""ABI descriptions as people write them: a mapping, or a TOML file with the same keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from os import PathLike
from pathlib import Path

from waspi.errors import ConfigError
from waspi.model.abi import DEFAULT_ABI, Abi
from waspi.toml_file import read_toml

AbiSource = Abi | Mapping[str, object] | str | PathLike[str] | None
"""An :class:`Abi`, a mapping with its keys, the path of a TOML file, or ``None`` for the reference ABI."""

MAX_HEADROOM = 2**31 - 1
"""The guest's ``alloc`` takes a signed 32-bit size."""


def abi_from(source: AbiSource) -> Abi:
    """Read the ABI description that ``source`` states; keys that it leaves out have :class:`Abi`'s defaults.

    A TOML file holds the keys at its top level or in a table ``[abi]``. Raises :class:`ConfigError` that names the file
    and the key.
    """
    if source is None:
        return DEFAULT_ABI
    if isinstance(source, Abi):
        return source
    if isinstance(source, Mapping):
        return _from_mapping(source, "ABI description")
    path = Path(source)
    document = read_toml(path, "the ABI description")
    table = document.get("abi", document)
    if not isinstance(table, Mapping):
        raise ConfigError(f"{path}: 'abi' must be a table")
    return _from_mapping(table, str(path))


def _from_mapping(mapping: Mapping[str, object], where: str) -> Abi:
    known = {field.name for field in fields(Abi)}
    unknown = sorted(str(key) for key in mapping if key not in known)
    if unknown:
        raise ConfigError(f"{where}: unknown key {unknown[0]!r}; known are {', '.join(sorted(known))}")
    headroom = mapping.get("headroom", DEFAULT_ABI.headroom)
    if not isinstance(headroom, int) or isinstance(headroom, bool) or not 0 <= headroom <= MAX_HEADROOM:
        raise ConfigError(f"{where}: 'headroom' must be a number of bytes from 0 to {MAX_HEADROOM}, not {headroom!r}")
    return Abi(
        memory=_name(mapping, "memory", DEFAULT_ABI.memory, where),
        alloc=_name(mapping, "alloc", DEFAULT_ABI.alloc, where),
        entry=_name(mapping, "entry", DEFAULT_ABI.entry, where),
        headroom=headroom,
        input=_note(mapping, "input", where),
        output=_note(mapping, "output", where),
    )


def _name(mapping: Mapping[str, object], key: str, default: str, where: str) -> str:
    value = mapping.get(key, default)
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{where}: '{key}' must be the name of an export, not {value!r}")
    return value


def _note(mapping: Mapping[str, object], key: str, where: str) -> str | None:
    value = mapping.get(key)
    if value is not None and not isinstance(value, str):
        raise ConfigError(f"{where}: '{key}' must be text, not {value!r}")
    return value
