"""The one error of the build commands, and how a command ends."""

from __future__ import annotations

import sys
from collections.abc import Callable


class Failure(Exception):  # noqa: N818 - what happened to a step; the name is read aloud in messages
    """A step cannot be done; the message says which one and what to do."""


def exit_with(main: Callable[[], int]) -> None:
    """Run a command's ``main`` and leave the process: its status, or 1 with one line on stderr for a Failure."""
    try:
        status = main()
    except Failure as failure:
        sys.stdout.flush()
        print(f"error: {failure}", file=sys.stderr)
        status = 1
    sys.exit(status)
