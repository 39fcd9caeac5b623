"""What was built before, outside the checkout, found again by what it was made of.

The folder is ``$WASPI_CACHE``, else ``$XDG_CACHE_HOME/waspi``, else ``~/.cache/waspi``. An entry appears whole or not
at all: it is built under a temporary name and renamed. Nothing here is precious; ``rm -r`` is the way to start over.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

KEPT = 4
"""Entries of a family that stay: the present one, and some for going back and forth between branches."""
CHECKOUT = Path(__file__).resolve().parent.parent


def root() -> Path:
    """The cache's folder; made if need be."""
    configured = os.environ.get("WASPI_CACHE")
    if configured:
        folder = Path(configured)
    else:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "waspi"
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


def key(*parts: str) -> str:
    """A name for content: 20 hexadecimal digits over ``parts``, whose order counts."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode()
        digest.update(f"{len(data)}:".encode() + data)
    return digest.hexdigest()[:20]


def content(paths: Iterable[Path], *, exclude: Iterable[str] = ("__pycache__", "*.so", "*.pyc")) -> str:
    """A name for the files below ``paths`` (files or folders): their relative names and bytes."""
    digest = hashlib.sha256()
    patterns = tuple(exclude)
    for path in paths:
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            parts = file.relative_to(path.parent).parts
            if not file.is_file() or any(Path(part).match(pattern) for part in parts for pattern in patterns):
                continue
            data = file.read_bytes()
            digest.update(f"{'/'.join(parts)}:{len(data)}:".encode() + data)
    return digest.hexdigest()[:20]


def built(kind: str, name: str, build: Callable[[Path], None]) -> Path:
    """The folder ``kind/name``; ``build`` fills it when it is not there yet. One process builds, others wait."""
    folder = root() / kind / name
    if folder.is_dir():
        os.utime(folder)
        print(f"[cached] {kind} {name}", flush=True)
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.is_dir():
            return folder
        print(f"[build ] {kind} {name}", flush=True)
        started = time.monotonic()
        temporary = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=folder.parent))
        try:
            temporary.chmod(0o755)  # mkdtemp's 0700 would be the mode of a root file system's "/"
            build(temporary)
            os.utime(temporary)
            temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        print(f"[built ] {kind} {name} in {time.monotonic() - started:.0f} s", flush=True)
        _prune(folder)
    return folder


def _prune(newest: Path) -> None:
    """Drop what was not used for the longest time, of the same kind and for the same board."""
    family = newest.name.rpartition("-")[0]
    folders = (path for path in newest.parent.iterdir() if path.is_dir() and not path.name.startswith("."))
    entries = [path for path in folders if path.name.rpartition("-")[0] == family]
    for old in sorted(entries, key=lambda path: path.stat().st_mtime, reverse=True)[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)
        (newest.parent / f".{old.name}.lock").unlink(missing_ok=True)
