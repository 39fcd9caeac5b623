"""A web server of updates that sends a board elsewhere, without end, or something else.

The board runs 1.0.0, 2.0.0 is deployed, and its ``updates.url`` leads to the attacker. Whatever that answers, the board
goes on with 1.0.0, answers jobs, says why it has no update, and takes 2.0.0 once the server is honest.
"""

from __future__ import annotations

import gzip
import http.server
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.attack.board import Board, Finding
from tests.attack.hostile_depot import answers_with, end_updater, until_updated, updating
from tests.integration.updates.device.rig import Rig
from waspi.updates.local_requests import ask_check

Answer = tuple[int, dict[str, str], bytes]
Trick = Callable[[str, Answer], Answer]
"""What is answered for a path in place of the honest status, headers and body."""


class Server(http.server.ThreadingHTTPServer):
    """Serves a repository's folder, by its ``trick``."""

    daemon_threads = True
    folder = Path()
    asked = 0
    trick: Trick = staticmethod(lambda _path, answer: answer)


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        server.asked += 1
        status, headers, body = server.trick(self.path, self._honest(server.folder))
        try:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            pass  # the board has had enough

    def _honest(self, folder: Path) -> Answer:
        path = folder / self.path.lstrip("/")
        if not path.is_file():
            return 404, {}, b""
        data = path.read_bytes()
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if match is None:
            return 200, {}, data
        first, last = int(match[1]), min(int(match[2]), len(data) - 1)
        return 206, {"Content-Range": f"bytes {first}-{last}/{len(data)}"}, data[first : last + 1]

    def log_message(self, *_arguments: object) -> None:
        """Silence."""


@dataclass(frozen=True)
class Way:
    """One way, and what the board reports of it."""

    name: str
    trick: Trick
    says: str


def _of(part: str, change: Callable[[Answer], Answer]) -> Trick:
    return lambda path, answer: change(answer) if part in path else answer


def _with(answer: Answer, **headers: str) -> Answer:
    status, told, body = answer
    return status, {**told, **{name.replace("_", "-"): value for name, value in headers.items()}}, body


def ways(elsewhere: str) -> tuple[Way, ...]:
    """All of them; ``elsewhere`` is the URL of another server."""
    bomb = gzip.compress(bytes(100_000_000))
    return (
        Way("another host", _of("timestamp", lambda _: (302, {"Location": f"{elsewhere}/t"}, b"")), "another host"),
        Way(
            "a file of the board",
            _of("timestamp", lambda _: (302, {"Location": "file:///etc/passwd"}, b"")),
            "not https",
        ),
        Way(
            "a circle", _of("timestamp", lambda _: (307, {"Location": "/metadata/timestamp.json"}, b"")), "more than 5"
        ),
        Way("a bomb", _of("timestamp", lambda _: (200, {"Content-Encoding": "gzip"}, bomb)), "are allowed"),
        Way(
            "a terabyte",
            _of("timestamp", lambda answer: _with(answer, Content_Range=f"bytes 0-9/{1 << 40}")),
            "in the middle of a file",
        ),
        Way(
            "a part of something",
            _of(".wasm", lambda answer: _with(answer, Content_Range="bytes 9-99/300000")),
            "from byte",
        ),
        Way(
            "another module",
            _of(".wasm", lambda answer: (*answer[:2], bytes(len(answer[2])))),
            "not those that were signed",
        ),
        Way(
            "a thousand headers",
            _of("timestamp", lambda answer: _with(answer, **{f"X_{n}": "x" for n in range(1000)})),
            "",
        ),
        Way("a header without end", _of("timestamp", lambda answer: _with(answer, X="x" * 1_000_000)), ""),
        Way("a root of its own", _of("2.root", lambda _: (200, {}, b'{"signed":{"_type":"root"}}')), "refused"),
        Way("no status at all", _of("timestamp", lambda _: (999, {}, b"")), "999"),
    )


@contextmanager
def serving(folder: Path) -> Iterator[tuple[Server, str]]:
    """A server and its URL."""
    with Server(("127.0.0.1", 0), _Handler) as server:
        server.folder = folder
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server, f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def attempt(rig: Rig, server: Server, way: Way) -> float:
    """Try it; seconds after which the board answers a job meanwhile. Raises AssertionError when it got through."""
    agent = rig.agents[0]
    end_updater(agent)
    before, asked = len(rig.watcher.reported), server.asked
    server.trick = way.trick
    ask_check(agent.state / "updates")
    if way.says:
        rig.watcher.until(lambda: any(way.says in each.updates for each in rig.watcher.reported[before:]), 90.0)
    else:
        rig.watcher.until(
            lambda: server.asked > asked + 1 and any(each.updates for each in rig.watcher.reported[before:])
        )
    took_s = answers_with(rig, "1.0.0")
    assert agent.alive
    return took_s


def attack(board: Board) -> Finding:
    """All of them, one after the other, on a board of their own that takes updates; ``board`` goes on beside it."""
    by = "redirects are followed to no other host; lengths and hashes are signed; nothing is unpacked"
    folder = board.folder / "updating"
    with serving(folder / "releases") as (server, url), serving(folder) as (stranger, elsewhere):
        with updating(folder, url) as rig:
            slowest_s, chosen = 0.0, ways(elsewhere)
            for way in chosen:
                try:
                    slowest_s = max(slowest_s, attempt(rig, server, way))
                except AssertionError as error:
                    return Finding(held=False, stopped_by=by, seen=f"{way.name}: {error}")
            del server.trick
            ask_check(rig.agents[0].state / "updates")
            until_updated(rig)
        if stranger.asked:
            return Finding(held=False, stopped_by=by, seen="another host was asked")
    return Finding(held=True, stopped_by=by, seen=f"{len(chosen)} ways, its slowest job {slowest_s:.2f} s")
