"""How an operator names a module: its bytes, a file, a digest, or a name."""

from __future__ import annotations

from os import PathLike, fspath
from pathlib import Path

from waspi.abi_description import AbiSource, abi_for_file
from waspi.errors import InvalidModuleError, OperatorError, UsageError
from waspi.model.abi import Abi
from waspi.model.module import (
    BYTECODE,
    SCRIPT_FILES,
    DigestModule,
    InlineModule,
    ModuleRef,
    NamedModule,
    is_text,
)
from waspi.protocol.ids import is_digest, is_id, is_version

ModuleSource = ModuleRef | bytes | str | PathLike[str]
"""A reference as it is; bytes of a module; a path; or text: ``sha256:<hex>``, ``name``, ``name@version``, a file."""

_FILE_SUFFIXES = (".wasm", ".wat", ".wast", *SCRIPT_FILES)
_DIGEST_PREFIX = "sha256:"


def module_from(source: ModuleSource) -> ModuleRef:
    """Give the reference that ``source`` states.

    Text is a digest when it begins with ``sha256:``, a file when it looks like a path (a slash, or a name that ends in
    ``.wasm``, ``.wat`` or ``.js``), else a name. Raises :class:`OperatorError` for a file that cannot be read, and
    :class:`UsageError` for text that is nothing of it, :class:`InvalidModuleError` for a file that is no module.
    """
    if isinstance(source, InlineModule | DigestModule | NamedModule):
        return source
    if isinstance(source, bytes):
        return InlineModule(source)
    if isinstance(source, str) and not _looks_like_file(source):
        return _named(source)
    return InlineModule(_read(Path(fspath(source))))


def abi_for(source: ModuleSource, abi: AbiSource) -> Abi | None:
    """The description that a job with this module states: what was given, or that its file is a script."""
    is_file = isinstance(source, PathLike) or (isinstance(source, str) and _looks_like_file(source))
    return abi_for_file(abi, fspath(source) if is_file and isinstance(source, str | PathLike) else "")


def _looks_like_file(text: str) -> bool:
    return not text.startswith(_DIGEST_PREFIX) and ("/" in text or text.endswith(_FILE_SUFFIXES))


def _named(text: str) -> ModuleRef:
    if text.startswith(_DIGEST_PREFIX):
        digest = text.removeprefix(_DIGEST_PREFIX).lower()
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
