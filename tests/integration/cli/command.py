"""The command line as a user calls it: in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True, slots=True)
class Finished:
    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def document(self) -> Any:  # noqa: ANN401 - what a command prints as JSON
        """The JSON document on stdout; what else there is to know, when it is none."""
        try:
            return json.loads(self.out)
        except ValueError:
            pytest.fail(f"no JSON on stdout; exit code {self.code}, stdout {self.out!r}, stderr:\n{self.err}")

    @property
    def error_line(self) -> str:
        """The one line of an error: the last one on stderr."""
        lines = self.err.splitlines()
        assert lines, "nothing on stderr"
        assert "Traceback" not in self.err, self.err
        return lines[-1]


def environment(home: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WASPI_", "XDG_"))}
    return {**kept, "PYTHONPATH": str(ROOT / "agent"), "XDG_CONFIG_HOME": str(home), **(more or {})}


def start(*arguments: str, home: Path, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start a command; SIGINT reaches it even where whoever runs the tests ignores it, as a shell's background does."""
    return subprocess.Popen(
        ["env", "--default-signal=SIGINT", sys.executable, "-m", "waspi", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(home, env),
    )


def waspi(
    *arguments: str,
    home: Path,
    data: bytes = b"",
    env: Mapping[str, str] | None = None,
    timeout: float = 60.0,
    within: Sequence[str] = (),
) -> Finished:
    """Run a command to its end; ``within`` is a program with arguments that starts it, such as ``unshare --net``."""
    done = subprocess.run(
        [*within, sys.executable, "-m", "waspi", *arguments],
        input=data,
        capture_output=True,
        env=environment(home, env),
        timeout=timeout,
        check=False,
    )
    return Finished(done.returncode, done.stdout, done.stderr.decode())
