"""The versions that are tested and shipped, from ``requirements.lock``.

Its hashes are of wheels for this machine and of PyPI's own; boards get wheels that were built here as well, so only the
versions count.
"""

from __future__ import annotations

import re

from cross import cache
from cross.failure import Failure

LOCK = cache.CHECKOUT / "requirements.lock"


def pins() -> list[str]:
    """``name==version``, with the marker if there is one, in the file's order."""
    pattern = re.compile(r"^(?P<pin>[A-Za-z0-9._-]+==[^ \\;]+)(?P<marker> ;[^\\]+)?", re.MULTILINE)
    return [match["pin"] + (match["marker"] or "").rstrip() for match in pattern.finditer(LOCK.read_text())]


def pinned(package: str) -> str:
    """``package==version``; raises Failure when the lock does not know it."""
    for pin in pins():
        if pin.partition("==")[0].lower() == package.lower():
            return pin.partition(" ;")[0]
    raise Failure(f"{LOCK.name} has no version of {package}: run 'make lock'")


def version(package: str) -> str:
    """The version alone."""
    return pinned(package).partition("==")[2]
