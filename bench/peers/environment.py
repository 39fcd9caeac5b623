"""A virtual environment for each peer, under the cache folder, made at the first use."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench.session import cache_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.peers.peer import Peer


class PeerAbsentError(Exception):
    """This peer cannot be had here; the message says why, in one line."""


def environment(peer: Peer) -> Path:
    """The Python that has the peer installed. Raises :class:`PeerAbsentError`."""
    base = _python(peer.python) if peer.python else sys.executable
    folder = cache_folder() / "bench-peers" / peer.name
    python = folder / "bin" / "python"
    mark = folder / "installed"
    wanted = "\n".join((base, *peer.requirements))
    if python.exists() and mark.exists() and mark.read_text() == wanted:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    _run([base, "-m", "venv", "--without-pip", str(folder)])
    # By our own pip: the peer's Python may be too old, or too new, to have a good one.
    _run([sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", *peer.requirements])
    mark.write_text(wanted)
    return python


def _python(version: str) -> str:
    """A Python of that version: on PATH, or one of pyenv's."""
    for candidate in _candidates(version):
        # pyenv's shims are there for every version and work for the chosen ones only: ask.
        asked = subprocess.run(
            [candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2], sys.executable)"],
            capture_output=True,
            text=True,
            check=False,
        )
        said, _, executable = asked.stdout.strip().partition(" ")
        if asked.returncode == 0 and said == version:
            return executable
    raise PeerAbsentError(f"no Python {version} here (looked on PATH and under pyenv)")


def _candidates(version: str) -> Iterator[str]:
    on_path = shutil.which(f"python{version}")
    if on_path:
        yield on_path
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from map(str, sorted(pyenv.glob(f"versions/{version}.*/bin/python"), reverse=True))


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)
    except subprocess.TimeoutExpired as error:
        raise PeerAbsentError(f"not installed: {' '.join(command[1:4])} took more than 180 s") from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise PeerAbsentError(f"not installed: {lines[-1] if lines else 'pip failed and said nothing'}")
