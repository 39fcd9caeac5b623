"""The grammar of ids: what is refused here never becomes part of a topic, a file name or a SQL row."""

from __future__ import annotations

import re
from typing import Final

from waspi.errors import TopicError

ID_MAX: Final = 63
"""Characters of the longest id (a DNS label's, RFC 1123, so that an id may also be a host name)."""

_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}").fullmatch
_VERSION: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_-]{0,62}").fullmatch
_DIGEST: Final = re.compile(r"[0-9a-f]{64}").fullmatch
_SHOWN: Final = 80


def is_id(text: str) -> bool:
    """Whether ``text`` is an id (fleet, device, group, job, module name, token): ``[a-z0-9][a-z0-9-]{0,62}``."""
    return _ID(text) is not None


def is_version(text: str) -> bool:
    """Whether ``text`` may be a module's version: ``[0-9A-Za-z][0-9A-Za-z.+_-]{0,62}`` (semantic versions fit)."""
    return _VERSION(text) is not None


def is_digest(text: str) -> bool:
    """Whether ``text`` is a SHA-256 as 64 lower-case hexadecimal digits."""
    return _DIGEST(text) is not None


def check_id(text: str, what: str) -> str:
    """Return ``text``, an id; ``what`` (``device``, ``group``, ...) names it in the error.

    Raises :class:`TopicError` for anything that :func:`is_id` refuses: ``#``, ``+``, ``/`` and ``$`` above all.
    """
    if _ID(text) is None:
        raise TopicError(
            f"{what} id {shown(text)} is not allowed: use 1 to {ID_MAX} of a-z, 0-9 and '-', and no '-' at the start"
        )
    return text


def shown(value: object) -> str:
    """``value`` as it may stand in an error: one line, ASCII, bounded in length."""
    text = ascii(value[: _SHOWN + 1]) if isinstance(value, str | bytes) else ascii(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
