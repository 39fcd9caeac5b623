"""What this device has seen signed, and below which it never goes again (TUF 1.0.33, 5.3 to 5.5: rollback attacks).

python-tuf keeps the metadata itself and compares with that, but does not sync it: after a power cut it may be gone,
and an attacker's old copy would be as good as any. So the highest versions stand in a file of their own, written
durably before anything is made of the metadata. A version counts only together with the keys that signed it: new keys
for a role are how an operator recovers from an attacker who had the old ones count up (TUF 1.0.33, 5.3.11). The version
of targets counts together with the snapshot's keys as well, since the snapshot is what states it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from waspi.errors import EnvelopeError, StorageError
from waspi.journal.durable import write_durably
from waspi.protocol import field as checked
from waspi.protocol import json_document

FILE: Final = "seen.json"
_MAX_BYTES: Final = 256 * 1024
_KEYS: Final = frozenset(("v", "versions", "serials", "floor", "timestamp"))


@dataclass(frozen=True, slots=True)
class Seen:
    """The newest of everything."""

    versions: Mapping[str, int] = field(default_factory=dict)
    """``<role>/<fingerprint of key ids>`` to the highest version; a root is ``root``."""
    serials: Mapping[str, int] = field(default_factory=dict)
    """Group to the serial of its newest deployment."""
    floor: float = 0.0
    """Unix seconds that have certainly passed."""
    timestamp: str = ""
    """SHA-256 of the ``timestamp.json`` that all of this comes from."""


def read_seen(folder: Path) -> Seen:
    """What was seen so far; nothing at first, and (told in the error's stead) nothing when the file is damaged.

    Raises ``StorageError`` when it cannot be read, :class:`EnvelopeError` when it is damaged.
    """
    path = folder / FILE
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Seen()
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    what = "seen.json"
    fields = checked.envelope(json_document.decode_document(data, what, max_bytes=_MAX_BYTES), what, _KEYS)
    floor = fields.get("floor")
    if type(floor) is not float and type(floor) is not int:
        raise EnvelopeError(f"{what}: 'floor' must be a number")
    return Seen(
        _counts(fields.get("versions"), f"{what}: 'versions'"),
        _counts(fields.get("serials"), f"{what}: 'serials'"),
        float(floor),
        json_document.text_field(fields, "timestamp", what),
    )


def write_seen(folder: Path, seen: Seen) -> None:
    """Replace the file. Raises ``StorageError``."""
    document = {
        "v": checked.VERSION,
        "versions": dict(sorted(seen.versions.items())),
        "serials": dict(sorted(seen.serials.items())),
        "floor": seen.floor,
        "timestamp": seen.timestamp,
    }
    write_durably(folder / FILE, json_document.encode_document(document))


def _counts(value: object, name: str) -> dict[str, int]:
    if type(value) is not dict:
        raise EnvelopeError(f"{name} must be an object")
    return {checked.text(key, name): checked.integer(count, f"{name}: {key}") for key, count in value.items()}
