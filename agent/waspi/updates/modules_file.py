"""The lives of all modules on the disk: one small JSON document, replaced as a whole."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from waspi.errors import EnvelopeError, StorageError
from waspi.journal.durable import write_durably
from waspi.model.abi import DEFAULT_ABI
from waspi.model.limits import Limits
from waspi.model.module_state import ModuleState
from waspi.model.release import Release
from waspi.protocol import field, json_document, terms
from waspi.protocol.ids import is_digest, is_version, shown
from waspi.protocol.release_custom import MAX_MODULE_BYTES
from waspi.updates.lifecycle import Life, ModuleRecord

FILE: Final = "modules.json"
_MAX_BYTES: Final = 4 * 1024 * 1024
_MAX_MODULES: Final = 1024
_MAX_LIVES: Final = 16
_KEYS: Final = frozenset(("v", "modules"))
_LIFE_KEYS: Final = frozenset(
    (
        "version",
        "sha256",
        "length",
        "abi",
        "limits",
        "state",
        "reason",
        "group",
        "serial",
        "retry",
        "barred",
        "failures",
        "proven",
    )
)

_log = logging.getLogger(__name__)


class ModulesFile:
    """Every module's record; :meth:`put` returns when it is on the disk."""

    def __init__(self, folder: Path) -> None:
        """Read the file in ``folder``; a damaged one is set aside, and the next check fetches anew.

        Raises ``StorageError`` when it cannot be read or set aside.
        """
        self._path = folder / FILE
        self._records: dict[str, ModuleRecord] = {}
        self._written = b""
        try:
            self._written = self._path.read_bytes()
            self._records = decode_modules(self._written)
        except FileNotFoundError:
            self._written = encode_modules({})  # which need not be written
        except EnvelopeError as error:
            aside = self._path.with_suffix(".damaged")
            _log.error("%s: %s; it is set aside as %s", self._path, error.message, aside.name)
            self._rename(aside)
        except OSError as error:
            raise StorageError(f"cannot read {self._path}: {error.strerror}") from error

    def __getitem__(self, name: str) -> ModuleRecord:
        """The record of module ``name``, an empty one when there is none."""
        return self._records.get(name) or ModuleRecord(name)

    def __iter__(self) -> Iterator[ModuleRecord]:
        """The records, by name."""
        return iter([self._records[name] for name in sorted(self._records)])

    def put(self, record: ModuleRecord) -> None:
        """Replace a module's record; what is not different on the disk is not written. Raises ``StorageError``."""
        records = {**self._records, record.name: record}
        if not record.lives:
            del records[record.name]
        data = encode_modules(records)
        if data != self._written:
            write_durably(self._path, data)
            self._written = data
        self._records = records

    def _rename(self, aside: Path) -> None:
        try:
            self._path.replace(aside)
        except OSError as error:
            raise StorageError(f"cannot set {self._path} aside: {error.strerror}") from error


def encode_modules(records: Mapping[str, ModuleRecord]) -> bytes:
    """As JSON; the same records give the same bytes."""
    return json_document.encode_document(
        {"v": field.VERSION, "modules": {name: [*map(_life_fields, records[name].lives)] for name in sorted(records)}}
    )


def decode_modules(data: bytes) -> dict[str, ModuleRecord]:
    """Records by module name; raises :class:`EnvelopeError`, and nothing else, for whatever bytes."""
    what = "modules file"
    fields = field.envelope(json_document.decode_document(data, what, max_bytes=_MAX_BYTES), what, _KEYS)
    modules = fields.get("modules")
    if type(modules) is not dict or len(modules) > _MAX_MODULES:
        raise EnvelopeError(f"{what}: 'modules' must be an object with up to {_MAX_MODULES} keys")
    return {
        field.identifier({"name": name}, "name", what): ModuleRecord(
            name, tuple(_life(name, each) for each in field.items(lives, f"{what}: {shown(name)}", most=_MAX_LIVES))
        )
        for name, lives in modules.items()
    }


def read_modules(state_dir: Path) -> dict[str, ModuleRecord]:
    """The records of a device whose agent may be running; empty when it never had an update.

    Raises ``StorageError`` when the file cannot be read, :class:`EnvelopeError` when it is damaged.
    """
    path = state_dir / FOLDER / FILE
    try:
        return decode_modules(path.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}; are you allowed to?") from error


FOLDER: Final = "updates"
"""Below the device's state folder: everything of this package."""


def _life_fields(life: Life) -> dict[str, object]:
    release = life.release
    fields: dict[str, object] = {
        "version": release.version,
        "sha256": release.sha256,
        "length": release.length,
        "state": life.state.value,
        "group": life.group,
        "serial": life.serial,
    }
    if release.abi != DEFAULT_ABI:
        fields["abi"] = terms.abi_fields(release.abi)
    if release.limits != Limits():
        fields["limits"] = terms.limits_fields(release.limits)
    optional = {key: getattr(life, key) for key in ("reason", "retry", "barred", "failures", "proven")}
    return {**fields, **{key: value for key, value in optional.items() if value}}


def _life(name: str, value: object) -> Life:
    what = f"modules file: {name}"
    fields = field.closed(value, what, _LIFE_KEYS)
    version, sha256 = fields.get("version"), fields.get("sha256")
    if type(version) is not str or not is_version(version) or type(sha256) is not str or not is_digest(sha256):
        raise EnvelopeError(f"{what}: a version and a SHA-256 are expected, not {shown(version)} and {shown(sha256)}")
    release = Release(
        name=name,
        version=version,
        sha256=sha256,
        length=field.integer(fields.get("length"), f"{what}: 'length'", most=MAX_MODULE_BYTES),
        abi=terms.abi_of(fields["abi"], what) if "abi" in fields else DEFAULT_ABI,
        limits=terms.limits_of(fields["limits"], what) if "limits" in fields else Limits(),
    )
    return Life(
        release,
        ModuleState(field.member(fields.get("state"), f"{what}: 'state'", tuple(ModuleState))),
        reason=field.text(fields.get("reason", ""), f"{what}: 'reason'"),
        group=field.text(fields.get("group"), f"{what}: 'group'", longest=63),
        serial=field.integer(fields.get("serial"), f"{what}: 'serial'"),
        retry=field.integer(fields.get("retry", 0), f"{what}: 'retry'"),
        barred=field.boolean(fields.get("barred", False), f"{what}: 'barred'"),
        failures=field.integer(fields.get("failures", 0), f"{what}: 'failures'"),
        proven=field.boolean(fields.get("proven", False), f"{what}: 'proven'"),
    )
