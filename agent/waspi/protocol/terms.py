"""The terms on which a guest is run, as fields of a decoded message: ABI description and limits.

The same in a job (CBOR) and in the metadata of a release (JSON).
"""

from __future__ import annotations

from typing import Final

from waspi.model.abi import DEFAULT_ABI, SCRIPT_ABI, Abi, Encoding, ModuleFormat
from waspi.model.limits import Limits
from waspi.protocol import field

MAX_HEADROOM: Final = 2**31 - 1
"""The guest's ``alloc`` takes a signed 32-bit size."""

# In deterministic order (RFC 8949, 4.2.1: shorter first, then by bytes), see cbor.encode_sorted.
_ABI_ORDER: Final = ("alloc", "entry", "input", "format", "memory", "output", "encoding", "headroom")
_ABI_KEYS: Final = frozenset(_ABI_ORDER)
_LIMIT_ORDER: Final = ("fuel", "time_ms", "log_bytes", "memory_bytes", "output_bytes")
_LIMIT_KEYS: Final = frozenset(_LIMIT_ORDER)


def abi_fields(abi: Abi) -> dict[str, object]:
    """An ABI description in full: it replaces another one as a whole. ``format`` is left out for WebAssembly."""
    fields = {key: value for key in _ABI_ORDER if (value := getattr(abi, key)) is not None}
    if abi.format is ModuleFormat.WASM:
        del fields["format"]
    return {key: str(value) if isinstance(value, str) else value for key, value in fields.items()}


def abi_of(value: object, what: str) -> Abi:
    """Read an ABI description; ``what`` names the message in the :class:`EnvelopeError` for a wrong one."""
    fields = field.closed(value, f"{what}: 'abi'", _ABI_KEYS)

    def export(key: str, default: str) -> str:
        return field.text(fields[key], f"{what}: 'abi.{key}'", shortest=1, longest=256) if key in fields else default

    def note(key: str) -> str | None:
        return field.text(fields[key], f"{what}: 'abi.{key}'") if key in fields else None

    def word(key: str, words: type[ModuleFormat | Encoding]) -> str | None:
        return field.member(fields[key], f"{what}: 'abi.{key}'", words) if key in fields else None

    form = ModuleFormat(word("format", ModuleFormat) or ModuleFormat.WASM)
    encoding = word("encoding", Encoding)
    return Abi(
        memory=export("memory", DEFAULT_ABI.memory),
        alloc=export("alloc", DEFAULT_ABI.alloc),
        entry=export("entry", (DEFAULT_ABI if form is ModuleFormat.WASM else SCRIPT_ABI).entry),
        headroom=(
            field.integer(fields["headroom"], f"{what}: 'abi.headroom'", most=MAX_HEADROOM)
            if "headroom" in fields
            else DEFAULT_ABI.headroom
        ),
        input=note("input"),
        output=note("output"),
        format=form,
        encoding=Encoding(encoding) if encoding is not None else None,
    )


def limits_fields(limits: Limits) -> dict[str, object]:
    """The limits that are stated."""
    return {key: value for key in _LIMIT_ORDER if (value := getattr(limits, key)) is not None}


def limits_of(value: object, what: str) -> Limits:
    """Read limits; ``what`` names the message in the :class:`EnvelopeError` for wrong ones."""
    fields = field.closed(value, f"{what}: 'limits'", _LIMIT_KEYS)

    def limit(key: str, least: int = 1) -> int | None:
        return field.integer(fields[key], f"{what}: 'limits.{key}'", least=least) if key in fields else None

    return Limits(
        fuel=limit("fuel"),
        memory_bytes=limit("memory_bytes"),
        time_ms=limit("time_ms"),
        output_bytes=limit("output_bytes", least=0),
        log_bytes=limit("log_bytes", least=0),
    )
