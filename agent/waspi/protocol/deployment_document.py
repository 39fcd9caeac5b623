"""Deployments: ``deployments/<group>.json`` <-> :class:`waspi.model.deployment.Deployment`.

``{"v": 1, "group", "serial", "entries": [{"name", "version", "stage", "base"?, "retry"?, "devices"?}]}``. It tells
devices what to do: so unknown keys are refused, other than in presence and reported state. Which devices an entry takes
in, :mod:`waspi.protocol.wanted` says.
"""

from __future__ import annotations

from typing import Final

from waspi.errors import EnvelopeError
from waspi.model.deployment import Deployment, DeploymentEntry
from waspi.protocol import field, json_document
from waspi.protocol.ids import is_id, is_version, shown
from waspi.protocol.wanted import hundredths

MAX_BYTES: Final = 64 * 1024
MAX_ENTRIES: Final = 256
MAX_NAMED: Final = 64
"""Devices that one entry names: every device of the group reads them."""
MAX_SERIAL: Final = 2**53 - 1
"""What every JSON reader holds exactly."""

_KEYS: Final = frozenset(("v", "group", "serial", "entries"))
_ENTRY_KEYS: Final = frozenset(("name", "version", "stage", "base", "retry", "devices"))


def encode_deployment(deployment: Deployment) -> bytes:
    """Encode as JSON; the same value gives the same bytes.

    Raises :class:`EnvelopeError` for a deployment that :func:`decode_deployment` would refuse.
    """
    data = json_document.encode_document(
        {
            "v": field.VERSION,
            "group": deployment.group,
            "serial": deployment.serial,
            "entries": [_entry_fields(entry) for entry in deployment.entries],
        }
    )
    decode_deployment(data)
    return data


def decode_deployment(data: bytes) -> Deployment:
    """Decode; raises :class:`EnvelopeError`, and nothing else, for whatever bytes."""
    document = json_document.decode_document(data, "deployment", max_bytes=MAX_BYTES)
    fields = field.envelope(document, "deployment", _KEYS)
    entries = tuple(map(_entry, field.items(fields.get("entries"), "deployment: 'entries'", most=MAX_ENTRIES)))
    names = [entry.name for entry in entries]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise EnvelopeError(f"deployment: module {twice} is named twice")
    return Deployment(
        group=field.identifier(fields, "group", "deployment"),
        serial=field.integer(fields.get("serial"), "deployment: 'serial'", least=1, most=MAX_SERIAL),
        entries=entries,
    )


def _entry_fields(entry: DeploymentEntry) -> dict[str, object]:
    hundredths(entry.stage)
    whole = int(entry.stage) == entry.stage
    fields: dict[str, object] = {
        "name": entry.name,
        "version": entry.version,
        "stage": int(entry.stage) if whole else entry.stage,
    }
    if entry.base is not None:
        fields["base"] = entry.base
    if entry.retry:
        fields["retry"] = entry.retry
    if entry.devices:
        fields["devices"] = list(entry.devices)
    return fields


def _entry(value: object) -> DeploymentEntry:
    what = "deployment: each of 'entries'"
    fields = field.closed(value, what, _ENTRY_KEYS)
    stage = fields.get("stage")
    if type(stage) is not int and type(stage) is not float:
        raise EnvelopeError(f"{what}: 'stage' must be a number, not {shown(stage)}")
    hundredths(stage)
    return DeploymentEntry(
        name=field.identifier(fields, "name", what),
        version=_version(fields.get("version"), f"{what}: 'version'"),
        stage=float(stage),
        base=_version(fields["base"], f"{what}: 'base'") if "base" in fields else None,
        retry=field.integer(fields["retry"], f"{what}: 'retry'", most=MAX_SERIAL) if "retry" in fields else 0,
        devices=_devices(fields["devices"], f"{what}: 'devices'") if "devices" in fields else (),
    )


def _devices(value: object, name: str) -> tuple[str, ...]:
    devices = field.items(value, name, most=MAX_NAMED)
    found = tuple(each for each in devices if type(each) is str and is_id(each))
    if len({*found}) != len(devices):
        raise EnvelopeError(f"{name} must be device ids, each once")
    return found


def _version(value: object, name: str) -> str:
    if type(value) is not str or not is_version(value):
        raise EnvelopeError(f"{name} must be a version, not {shown(value)}")
    return value
