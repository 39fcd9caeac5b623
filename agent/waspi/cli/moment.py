"""Points in time as people read them."""

from __future__ import annotations

from datetime import UTC, datetime


def local_time(moment: float, form: str = "%m-%d %H:%M") -> str:
    """Give Unix time ``moment`` in this machine's time zone, by ``strftime``'s ``form``.

    Total: a moment that the calendar does not have, which a board may claim, stands as its number.
    """
    try:
        return datetime.fromtimestamp(moment, UTC).astimezone().strftime(form)
    except (OverflowError, ValueError, OSError):
        return f"@{moment:g}"
