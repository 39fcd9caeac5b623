"""Folders in one archive, and back: what a board or an operator would miss after a broken disk.

The archive is a gzipped tar file that only its owner may read: a ``waspi-backup.json`` that says what it is and where
each folder was, then the folders. Nothing but folders and regular files goes in or comes out.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sqlite3
import stat
import tarfile
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from waspi import __version__
from waspi.errors import OperatorError, UsageError
from waspi.fleet.operator_file import PRIVATE, make_folder
from waspi.journal.durable import sync_folder
from waspi.journal.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

MANIFEST: Final = "waspi-backup.json"
FORMAT: Final = 1
JOURNAL: Final = "journal.db"
_MAX_MANIFEST: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Backup:
    """What an archive says of itself."""

    kind: str
    """``device`` or ``operator``."""
    version: str
    """Of the waspi that made it."""
    made: float
    """Unix time."""
    places: Mapping[str, Path]
    """Name of a folder in the archive to where it was."""


def back_up(
    out: Path,
    kind: str,
    places: Mapping[str, Path],
    *,
    keep: Callable[[Path], bool] = lambda _: True,
    more: Mapping[str, Path] | None = None,
) -> int:
    """Write an archive of ``places`` (name to folder) to ``out``; how many files it holds.

    ``keep`` says of a file whether it goes in; ``more`` are files by their names in the archive, which appears whole or
    not at all. Raises :class:`OperatorError`, :class:`UsageError` for a folder within another one.
    """
    for inner in places.values():
        for outer in places.values():
            if inner != outer and inner.absolute().is_relative_to(outer.absolute()):
                raise UsageError(f"{inner} lies within {outer}; name the outer one alone")
    manifest = {
        "v": FORMAT,
        "kind": kind,
        "version": __version__,
        "made": round(time.time()),
        "places": {name: str(folder.absolute()) for name, folder in places.items()},
    }
    temporary = out.with_name(f".{out.name}.{os.getpid()}.new")
    make_folder(out.absolute().parent)
    count = 0
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, PRIVATE)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), PRIVATE)
            with tarfile.open(fileobj=file, mode="w:gz") as archive:
                _add(archive, MANIFEST, json.dumps(manifest, indent=2).encode(), PRIVATE)
                for name, folder in places.items():
                    for path in (folder, *sorted(folder.rglob("*"))):
                        inside = (PurePosixPath(name) / path.relative_to(folder).as_posix()).as_posix()
                        mode = path.lstat().st_mode
                        if stat.S_ISDIR(mode):
                            _add(archive, inside, None, mode)
                        elif stat.S_ISREG(mode) and keep(path):
                            count += _add_file(archive, inside, path)
                for name, path in (more or {}).items():
                    count += _add_file(archive, name, path)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(out)
        sync_folder(out.absolute().parent)
    except OSError as error:
        raise OperatorError(f"cannot back up to {out}: {error.filename or ''} {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return count


def read_manifest(archive: Path) -> Backup:
    """What an archive says of itself. Raises :class:`OperatorError` for a file that is no backup of waspi's."""
    with _opened(archive) as tar:
        return _manifest(archive, tar)


def restore(archive: Path, root: Path, *, force: bool = False) -> list[Path]:
    """Put the folders of an archive back where they were, below ``root`` (``/`` but for images); where they are now.

    Each folder appears whole or not at all. One that is there and not empty is refused, or moved aside with ``force``.
    Raises :class:`OperatorError`, :class:`UsageError` for a folder that is in the way.
    """
    with _opened(archive) as tar:
        backup = _manifest(archive, tar)
        targets = {name: (root / place.relative_to("/")).resolve() for name, place in backup.places.items()}
        for target in targets.values():
            if not force and target.exists() and any(target.iterdir()):
                raise UsageError(f"{target} is not empty; --force moves it aside first")
        fresh = {name: target.with_name(f".{target.name}.restoring") for name, target in targets.items()}
        try:
            for folder in fresh.values():
                shutil.rmtree(folder, ignore_errors=True)
                make_folder(folder.parent)
                folder.mkdir(mode=0o700)
            for member in tar:
                if member.name != MANIFEST:
                    _extract(archive, tar, member, fresh)
            for name, target in targets.items():
                if target.exists():
                    target.rename(_aside(target))
                fresh[name].rename(target)
                sync_folder(target.parent)
        except (OSError, tarfile.TarError) as error:
            raise OperatorError(f"cannot restore {archive}: {error}") from error
        finally:
            for folder in fresh.values():
                shutil.rmtree(folder, ignore_errors=True)
    return list(targets.values())


def is_state(path: Path) -> bool:
    """Whether a file of a board's state folder goes into a backup that the board lives on beside: not its jobs.

    What waited when the backup was made has run since: taken back, it would run again.
    """
    # By the counters no id is used twice, and a board that has them without the jobs knows that it forgot some.
    kept = {"journal-counters.json", "journal-lost-at"}
    is_journal = path.name.startswith("journal") and path.name not in kept
    return not is_journal and path.suffix not in {".lock", ".sock"}


@contextlib.contextmanager
def journal_to_move(state_dir: Path) -> Iterator[Path | None]:
    """Give a whole copy of a board's journal, whose agent must not run; afterwards the board has none any more.

    Set aside as ``journal-moved.db``: who had both would run the same jobs twice. Raises :class:`StorageError` when an
    agent has it open.
    """
    path = state_dir / JOURNAL
    if not path.exists():
        yield None
        return
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / JOURNAL
        with contextlib.closing(Journal.open(path)):
            source, target = sqlite3.connect(path), sqlite3.connect(copy)
            with contextlib.closing(source), contextlib.closing(target):
                source.backup(target)
            yield copy
        path.rename(path.with_name("journal-moved.db"))
        sync_folder(state_dir)


def _add_file(archive: tarfile.TarFile, name: str, path: Path) -> int:
    try:
        with path.open("rb") as file:
            entry = archive.gettarinfo(fileobj=file, arcname=name)
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = ""
            archive.addfile(entry, file)
    except FileNotFoundError:  # replaced or removed meanwhile by an agent that runs
        return 0
    return 1


def _add(archive: tarfile.TarFile, name: str, content: bytes | None, mode: int) -> None:
    """Add a file, or (``None``) a folder."""
    entry = tarfile.TarInfo(name)
    entry.mode = mode & 0o777
    if content is None:
        entry.type = tarfile.DIRTYPE
        archive.addfile(entry)
    else:
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))


@contextlib.contextmanager
def _opened(archive: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(archive, "r:gz") as tar:
            yield tar
    except OSError as error:
        raise OperatorError(f"cannot read {archive}: {error.strerror or error}") from error
    except tarfile.TarError as error:
        raise OperatorError(f"{archive} is no backup of waspi's: {error}") from error


def _manifest(archive: Path, tar: tarfile.TarFile) -> Backup:
    first = tar.next()
    file = tar.extractfile(first) if first is not None and first.name == MANIFEST and first.isfile() else None
    try:
        values = json.loads(file.read(_MAX_MANIFEST)) if file is not None else {}
        if values.get("v", FORMAT) != FORMAT:
            told = f"{archive} is of format {values['v']}, this waspi reads {FORMAT}: take a newer one"
        elif file is not None and all(_is_place(place) for place in values["places"].values()):
            places = {str(name): Path(place) for name, place in values["places"].items()}
            return Backup(str(values["kind"]), str(values["version"]), float(values["made"]), places)
        else:
            told = f"{archive} is no backup of waspi's: its {MANIFEST} is missing or names places that are none"
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        told = f"{archive} is no backup of waspi's: {type(error).__name__} in its {MANIFEST}"
    raise OperatorError(told)


def _is_place(place: object) -> bool:
    return isinstance(place, str) and Path(place).is_absolute() and ".." not in Path(place).parts


def _extract(archive: Path, tar: tarfile.TarFile, member: tarfile.TarInfo, fresh: Mapping[str, Path]) -> None:
    parts = PurePosixPath(member.name).parts
    plain = member.isdir() or (member.isfile() and len(parts) > 1)
    if not plain or not parts or parts[0] not in fresh or ".." in parts:
        raise OperatorError(f"{archive} holds {member.name!r}, which no backup of waspi's does; nothing was restored")
    path = fresh[parts[0]].joinpath(*parts[1:])
    if member.isdir():
        make_folder(path, 0o700)
        path.chmod(member.mode & 0o755)
        return
    make_folder(path.parent, 0o700)
    source = tar.extractfile(member)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), member.mode & 0o755)
        if source is not None:
            shutil.copyfileobj(source, file)
        file.flush()
        os.fsync(file.fileno())


def _aside(target: Path) -> Path:
    moment = time.strftime("%Y%m%d-%H%M%S")
    for number in range(100):
        aside = target.with_name(f"{target.name}.before-{moment}" + (f"-{number}" if number else ""))
        if not aside.exists():
            return aside
    raise OperatorError(f"{target} cannot be moved aside: clear its neighbours")
