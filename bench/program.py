"""A program of this checkout in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bench.session import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def running(arguments: list[str], ready: str = "") -> Iterator[subprocess.Popen[str]]:
    """A process of this interpreter, until the ``with`` ends; comes back when it says ``ready`` on stderr."""
    process = subprocess.Popen([sys.executable, *arguments], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    try:
        while ready and process.stderr is not None:
            line = process.stderr.readline()
            if not line:
                raise RuntimeError(f"{' '.join(arguments)} ended with status {process.wait()}")
            if ready in line:
                break
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()
