"""How an operator names a module: its bytes, a file, a digest, or a name."""

from __future__ import annotations

from os import PathLike, fspath
from pathlib import Path

from waspi.abi_description import AbiSource, abi_for_file
from waspi.errors import InvalidModuleError, OperatorError, UsageError
from waspi.model.abi import Abi
from waspi.model.module import (
    BYTECODE,
    DIGEST_PREFIX,
    SCRIPT_FILES,
    DigestModule,
    InlineModule,
    ModuleRef,
    NamedModule,
    TextIs,
    is_text,
    text_is,
)
from waspi.protocol.ids import is_digest, is_id, is_version

ModuleSource = ModuleRef | bytes | str | PathLike[str]
"""A reference as it is; bytes of a module; a path; or text, as :func:`waspi.model.module.text_is` tells it apart."""


def module_from(source: ModuleSource) -> ModuleRef:
    """Give the reference that ``source`` states.

    Raises :class:`OperatorError` for a file that cannot be read, :class:`UsageError` for text that is nothing of what
    :class:`waspi.model.module.TextIs` names, :class:`InvalidModuleError` for a file or text that is no module.
    """
    if isinstance(source, InlineModule | DigestModule | NamedModule):
        return source
    if isinstance(source, bytes):
        return InlineModule(source)
    kind = text_is(source) if isinstance(source, str) else TextIs.FILE
    if kind is TextIs.FILE:
        return InlineModule(_read(Path(fspath(source))))
    text = str(source)
    if kind is TextIs.SOURCE:
        from waspi.engine import wasm_from  # noqa: PLC0415 - only text needs the native module on the operator's side

        return InlineModule(wasm_from(text))
    return _named(text, kind)


def abi_for(source: ModuleSource, abi: AbiSource) -> Abi | None:
    """The description that a job with this module states: what was given, or that its file is a script."""
    is_file = isinstance(source, PathLike) or (isinstance(source, str) and text_is(source) is TextIs.FILE)
    return abi_for_file(abi, fspath(source) if is_file and isinstance(source, str | PathLike) else "")


def _named(text: str, kind: TextIs) -> ModuleRef:
    if kind is TextIs.DIGEST:
        digest = text.removeprefix(DIGEST_PREFIX).lower()
        if not is_digest(digest):
            raise UsageError(f"{text!r} is no digest: sha256: is followed by 64 hexadecimal digits")
        return DigestModule(digest)
    name, at, version = text.partition("@")
    if not is_id(name) or (at and not is_version(version)):
        raise UsageError(f"{text!r} is no module: give a file (./{text}), sha256:<digest>, or name[@version]")
    return NamedModule(name, version or None)


def _read(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise OperatorError(f"cannot read the module {path}: {error.strerror}") from error
    if content.startswith(BYTECODE) or path.name.endswith(SCRIPT_FILES):
        return content
    if is_text(content, path.name):
        from waspi.engine import wasm_from  # noqa: PLC0415 - only text needs the native module on the operator's side

        return wasm_from(path)
    raise InvalidModuleError(
        f"{path} is no WebAssembly, neither bytecode nor text, and no script (.js); build it anew or name another file"
    )
