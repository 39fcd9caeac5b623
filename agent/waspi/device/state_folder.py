"""The folder that the agent keeps its state in: who else can write there could give it jobs and modules to believe."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from waspi.errors import ConfigError, StorageError

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def open_state_folder(folder: Path) -> None:
    """Make the folder, or see that it is this user's alone.

    Raises ``StorageError`` when it cannot be made, ``ConfigError`` when somebody else owns it or may write there.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fault = next(faults_of(folder, os.geteuid()), None)
    except OSError as error:
        raise StorageError(f"{folder}: {error.strerror}; choose another device.state_dir or mend its rights") from error
    if fault is not None:
        raise ConfigError(f"device.state_dir: {fault[0]}; {fault[1]}")


def faults_of(folder: Path, user: int) -> Iterator[tuple[str, str]]:
    """What is wrong with the rights of a state folder that ``user`` works with, each with what to do about it.

    A link of root's or of the user's own to the folder is followed: systemd makes one for ``DynamicUser=``
    (systemd.exec(5)). Raises ``OSError`` where it cannot be looked at.
    """
    for path in (folder, *sorted(folder.iterdir())):
        found = path.lstat()
        if path == folder and stat.S_ISLNK(found.st_mode) and found.st_uid in {0, user}:
            found = path.stat()
        if found.st_uid != user:
            todo = f"see where it comes from, then: chown -R --no-dereference {user} {folder}"
            yield f"{path} belongs to user {found.st_uid}, not to user {user}", todo
        if found.st_mode & _OTHERS_WRITE and not stat.S_ISLNK(found.st_mode):
            yield f"others may write {path}", f"run: chmod go-w {path}"
