"""Log lines for journald: level prefix after ``sd-daemon(3)`` on a pipe, a time stamp on a terminal."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping

_PRIORITY = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


class JournaldFormatter(logging.Formatter):
    """``<6>message``: journald takes the number for the priority and has time and unit by itself."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as lines that all bear its priority."""
        prefix = f"<{_PRIORITY.get(record.levelno, 6)}>"
        return "\n".join(prefix + line for line in super().format(record).splitlines())


def set_up(level: str, environment: Mapping[str, str]) -> None:
    """Send the log to stderr; ``level`` is one of debug, info, warning, error."""
    handler = logging.StreamHandler(sys.stderr)
    if "JOURNAL_STREAM" in environment:
        handler.setFormatter(JournaldFormatter("%(message)s"))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler])
    # Nothing of these is shown or used; each would cost every record a call.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
