"""Running other programs: quiet while all is well, the end of their output when not."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from cross.failure import Failure

TAIL_LINES = 40


def run(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: bytes | None = None,
) -> str:
    """Run to the end and give its stdout and stderr as one text; raise Failure with the last lines of it otherwise.

    ``env`` is added to this process's environment.
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
    except FileNotFoundError as error:
        raise Failure(f"{words[0]} is not installed: run 'cross/setup'") from error
    text = done.stdout.decode(errors="replace")
    if done.returncode != 0:
        tail = "\n".join(text.splitlines()[-TAIL_LINES:])
        raise Failure(f"{' '.join(words[:6])} ended with status {done.returncode}:\n{tail}")
    return text


def need(*programs: str) -> None:
    """Raise Failure when one of ``programs`` is not on PATH."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        raise Failure(f"not installed: {', '.join(missing)}; run 'cross/setup'")
