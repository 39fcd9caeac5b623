"""ABI descriptions as people write them: a mapping, or a TOML file with the same keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from enum import StrEnum
from os import PathLike
from pathlib import Path
from typing import Final, TypeVar

from waspi.errors import ConfigError
from waspi.model.abi import DEFAULT_ABI, SCRIPT_ABI, Abi, Encoding, ModuleFormat
from waspi.model.module import SCRIPT_FILES
from waspi.toml_file import read_toml

AbiSource = Abi | Mapping[str, object] | str | PathLike[str] | None
"""An :class:`Abi`, a mapping with its keys, the path of a TOML file, or ``None`` for the reference ABI."""

Word = TypeVar("Word", bound=StrEnum)
_OF_MEMORY: Final = frozenset(("memory", "alloc", "headroom"))
"""Keys by which the host finds its way in a guest's memory; a script's engine has its own."""

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
    form = _word(mapping, "format", ModuleFormat, where) or ModuleFormat.WASM
    encoding = _word(mapping, "encoding", Encoding, where)
    if form is ModuleFormat.WASM and encoding is not None:
        raise ConfigError(f"{where}: 'encoding' is for scripts; say format = \"javascript\" or leave it out")
    strange = sorted(mapping.keys() & _OF_MEMORY) if form is not ModuleFormat.WASM else []
    if strange:
        raise ConfigError(f"{where}: {strange[0]!r} is for WebAssembly; a script has none: leave it out")
    return Abi(
        memory=_name(mapping, "memory", DEFAULT_ABI.memory, where),
        alloc=_name(mapping, "alloc", DEFAULT_ABI.alloc, where),
        entry=_name(mapping, "entry", (DEFAULT_ABI if form is ModuleFormat.WASM else SCRIPT_ABI).entry, where),
        headroom=headroom,
        input=_note(mapping, "input", where),
        output=_note(mapping, "output", where),
        format=form,
        encoding=encoding,
    )


def abi_for_file(source: AbiSource, name: str) -> Abi | None:
    """The description for the content of a file of that name: one that ends in ``.js`` is a script.

    ``source``: what was stated, as for :func:`abi_from`; ``None`` stays ``None`` unless the file is a script. The entry
    of a script is ``default`` unless another was stated.
    """
    abi = None if source is None else abi_from(source)
    if not name.endswith(SCRIPT_FILES) or (abi is not None and abi.format is not ModuleFormat.WASM):
        return abi
    if abi is None:
        return SCRIPT_ABI
    entry = SCRIPT_ABI.entry if abi.entry == DEFAULT_ABI.entry else abi.entry
    return replace(SCRIPT_ABI, entry=entry, input=abi.input, output=abi.output)


def _word(mapping: Mapping[str, object], key: str, words: type[Word], where: str) -> Word | None:
    value = mapping.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or value not in list(words):
        raise ConfigError(f"{where}: '{key}' is {value!r}; known are {', '.join(words)}")
    return words(value)


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
