"""The program of the updater: one look at the repository, and what is new fetched; then it ends.

A process of its own, because python-tuf and its cryptography take more memory than the whole agent, and are needed for
seconds a day. It talks to the agent alone (:mod:`waspi.updates.updater_messages`), over descriptor 3.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import socket
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from waspi.errors import EnvelopeError, RepositoryError, StorageError, UsageError, WaspiError
from waspi.journal.durable import write_durably
from waspi.model.release import Release
from waspi.protocol.release_custom import release_of
from waspi.protocol.repository_path import module_target
from waspi.protocol.wanted import Wanted, wanted_modules
from waspi.updates import updater_messages
from waspi.updates.depot_source import DepotSource
from waspi.updates.signed_repository import SignedRepository, digest_of
from waspi.updates.updater_messages import (
    CheckRequest,
    Fetched,
    Finished,
    NamedRelease,
    NotFetched,
    Refreshed,
    Working,
    decode_message,
    encode_message,
)

if TYPE_CHECKING:
    from tuf.api.metadata import TargetFile

    from waspi.updates.https_source import HttpsSource
    from waspi.updates.source import Piece, Range, Source

_NICENESS: Final = 5
_TELL_EVERY_S: Final = 5.0
_CUSTOM: Final = "custom"


def main() -> None:
    """Make the check that is asked for over the socket."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    with suppress(OSError):  # when memory is short, it goes before the agent does
        Path("/proc/self/oom_score_adj").write_text("1000")
    with suppress(OSError):  # systemd may forbid it; then it competes like any other
        os.nice(_NICENESS)
    sock = socket.socket(fileno=updater_messages.SOCKET_FD)
    task = decode_message(sock.recv(updater_messages.MAX_BYTES))
    if not isinstance(task, CheckRequest):
        sys.exit("no request came; the updater is started by the agent")
    sock.send(encode_message(run(task, sock)))
    os._exit(0)


def run(task: CheckRequest, sock: socket.socket) -> Finished:
    """Look at the repository and fetch what this device lacks; the last word for the agent."""
    source: DepotSource | HttpsSource
    if task.url:
        from waspi.updates.https_source import HttpsSource  # noqa: PLC0415 - urllib3 is for those who have a web server

        source = HttpsSource(task.url, task.ca, task.redirect_hosts)
    else:
        source = DepotSource(sock, task.depots, task.window)
    fetched, took_s = 0, 0.0
    word = Finished()
    try:
        with _told_disk_errors(task.folder):
            for size, seconds in _look(task, _Told(source, sock), sock):
                fetched += size
                took_s += seconds
    except WaspiError as error:
        word = Finished(error.kind, error.message)
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    silent = tuple(sorted(source.line.silent)) if isinstance(source, DepotSource) else ()
    return replace(
        word,
        requests=source.requests,
        fetched_bytes=fetched,
        fetched_ms=int(took_s * 1000),
        silent=silent,
        peak_kib=peak_kib,
    )


class _Told:
    """A source whose progress the agent is told: it ends an updater that says nothing for long."""

    def __init__(self, source: Source, sock: socket.socket) -> None:
        self._source = source
        self._sock = sock
        self._next = time.monotonic() + _TELL_EVERY_S

    def pieces(self, path: str, wanted: Iterable[Range]) -> Iterator[Piece]:
        """See :class:`waspi.updates.source.Source`."""
        received = 0
        for piece in self._source.pieces(path, wanted):
            received += len(piece.data)
            now = time.monotonic()
            if now >= self._next:
                self._next = now + _TELL_EVERY_S
                self._sock.send(encode_message(Working(path, received, piece.total)))
            yield piece


def _look(task: CheckRequest, source: Source, sock: socket.socket) -> Iterator[tuple[int, float]]:
    """Yields size and seconds of each module that was fetched."""
    repository = SignedRepository(
        Path(task.folder), Path(task.root), source, range_bytes=task.range_bytes, now=task.now
    )
    repository.refresh()
    deployments = repository.deployments(task.groups)
    wanted = wanted_modules(deployments, device=task.device, groups=task.groups, current=task.serving)
    for name in task.fixed:
        wanted.pop(name, None)
    for each in wanted.values():
        named = NamedRelease(each.name, each.version or "", each.offered, each.group, each.serial)
        sock.send(encode_message(named))
    seen = repository.seen
    serials = {group: deployment.serial for group, deployment in deployments.items()}
    sock.send(encode_message(Refreshed(serials, seen.floor, seen.timestamp)))
    lacking = [each for each in wanted.values() if _lacks(task, each)]
    keep = set()
    here = set(task.cached)
    for each in lacking:
        try:
            release, info = _release(repository, each)
        except (EnvelopeError, RepositoryError) as error:
            sock.send(encode_message(_refused(each, error)))
            continue
        keep |= {release.sha256, release.label}
        if release.sha256 not in here and release.length > task.room:
            room = StorageError(
                f"{release.label} has {release.length} bytes, and {task.room} are left of cache.max_mib; raise it"
            )
            sock.send(encode_message(_refused(each, room)))
            continue
        folder = Path(task.folder)
        write_durably(folder / "releases" / f"{release.label}.json", _described(release, info))
        begun = time.monotonic()
        if release.sha256 not in here and repository.fetch(info, folder / "download" / f"{release.sha256}.wasm"):
            yield release.length, time.monotonic() - begun
        here.add(release.sha256)
        sock.send(encode_message(Fetched(each.name, release.version, each.group, each.serial, each.retry)))
    keep |= {f"{name}@{version}" for name, versions in task.held.items() for version in versions}
    repository.clear(keep)


def _lacks(task: CheckRequest, each: Wanted) -> bool:
    if each.version is None or each.version in task.held.get(each.name, ()):
        return False
    return not any(version == each.version and each.retry <= retry for version, retry in task.barred.get(each.name, ()))


def _release(repository: SignedRepository, each: Wanted) -> tuple[Release, TargetFile]:
    target = module_target(each.name, each.version or "")
    info = repository.target(target)
    if info is None:
        raise RepositoryError(
            f"deployment {each.serial} of group {each.group} names {each.name}@{each.version}, which is not in the "
            "repository"
        )
    return release_of(target, info.length, digest_of(info), info.custom), info


def _described(release: Release, info: TargetFile) -> bytes:
    """What the agent reads of a release that it is to test."""
    custom = info.custom
    return json.dumps({"length": release.length, "sha256": release.sha256, _CUSTOM: custom}).encode()


def _refused(each: Wanted, error: WaspiError) -> NotFetched:
    return NotFetched(
        each.name, each.version or "", each.group, each.serial, each.retry, error.fault, error.kind, error.message
    )


@contextmanager
def _told_disk_errors(folder: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"{folder}: {error.strerror or error}; check free space and rights of the disk") from error
    except (RuntimeError, ValueError, TypeError, LookupError) as error:
        raise UsageError(f"the updater failed: {type(error).__name__}: {error}; report this") from error
