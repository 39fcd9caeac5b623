"""Limits of a release as people write them: a TOML file with the keys of :class:`waspi.model.limits.Limits`."""

from __future__ import annotations

from pathlib import Path

from waspi.errors import ConfigError, EnvelopeError
from waspi.model.limits import DEFAULT_LIMITS, Limits
from waspi.protocol.terms import limits_of
from waspi.toml_file import read_toml


def load_limits(path: Path | None) -> Limits:
    """Read ``path``, keys at its top level or in a table ``[limits]``; no limits of its own for ``None``.

    Raises :class:`ConfigError` that names the file and the key.
    """
    if path is None:
        return Limits()
    document = read_toml(path, "the limits")
    try:
        return limits_of(document.get("limits", document), str(path))
    except EnvelopeError as error:
        raise ConfigError(error.message) from error


def run_limits(limits: Limits) -> Limits:
    """What a run gets on a device that grants the default: no more than that."""
    return limits.capped_by(DEFAULT_LIMITS)
