"""When signed metadata was made: a time that has certainly passed, for devices that wake without a clock.

TUF's metadata says when it expires, not when it was made. So the repository adds a field to the signed part of
``timestamp.json`` (TUF 1.0.33, 4: clients pass over what they do not know): ``"waspi": {"v": 1, "issued": <Unix
seconds>}``. A device never believes that it is earlier than that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from waspi.protocol import field

KEY: Final = "waspi"
_KEYS: Final = frozenset(("v", "issued"))


def issued_fields(now: float) -> dict[str, object]:
    """What a timestamp made at ``now`` (Unix seconds) adds to its signed part (``unrecognized_fields``)."""
    return {KEY: {"v": field.VERSION, "issued": int(now)}}


def issued_of(fields: Mapping[str, object]) -> float:
    """When the metadata with these additional fields was made, in Unix seconds; 0.0 when it does not say.

    Raises :class:`EnvelopeError` when it says so in a wrong way.
    """
    if KEY not in fields:
        return 0.0
    what = "signed timestamp"
    return field.moment(field.envelope(fields[KEY], what, _KEYS).get("issued"), f"{what}: 'issued'")
