"""A web server that is not what it should be: where it sends a device to, and what it says of its files."""

from __future__ import annotations

import gzip
import http.server
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest
from tuf.api.exceptions import DownloadError

from waspi.fleet.authority import Authority
from waspi.updates.https_source import HttpsSource
from waspi.updates.source import Range, SourceFetcher

CONTENT = bytes(range(256)) * 40
Answer = tuple[int, dict[str, str], bytes]


@dataclass
class Server:
    """Answers each path with what ``answers`` holds; ``asked`` are the request lines' paths, as they came."""

    url: str
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    @property
    def host(self) -> str:
        return self.url.partition("//")[2]


def serve(context: ssl.SSLContext | None = None) -> Iterator[Server]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked.append(self.path)
            status, headers, body = served.answers.get(self.path, (404, {}, b""))
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Silence."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        served = Server(f"{'http' if context is None else 'https'}://localhost:{server.server_port}")
        yield served
        server.shutdown()
        thread.join()


@pytest.fixture
def context(tmp_path: Path) -> ssl.SSLContext:
    Authority(tmp_path, "ca").issue_server(tmp_path / "web.crt", tmp_path / "web.key", ["localhost"], 30)
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(tmp_path / "web.crt", tmp_path / "web.key")
    return made


@pytest.fixture
def https(context: ssl.SSLContext) -> Iterator[Server]:
    yield from serve(context)


@pytest.fixture
def other(context: ssl.SSLContext) -> Iterator[Server]:
    yield from serve(context)


@pytest.fixture
def plain() -> Iterator[Server]:
    yield from serve()


def whole() -> Answer:
    return 200, {}, CONTENT


def to(url: str, status: int = 302) -> Answer:
    return status, {"Location": url}, b""


def fetch(source: HttpsSource, path: str = "metadata/timestamp.json") -> bytes:
    return SourceFetcher(source, 4096).download_bytes(path, 1 << 20)


def of(server: Server, tmp_path: Path, *hosts: str) -> HttpsSource:
    return HttpsSource(server.url, str(tmp_path / "ca.crt"), hosts)


def test_a_redirect_within_the_server_is_followed(https: Server, tmp_path: Path) -> None:
    https.answers = {"/metadata/timestamp.json": to("/mirror/1?x=y"), "/mirror/1?x=y": whole()}
    assert fetch(of(https, tmp_path)) == CONTENT


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_https_is_never_followed_to_http(https: Server, plain: Server, tmp_path: Path, status: int) -> None:
    https.answers = {"/metadata/timestamp.json": to(f"{plain.url}/metadata/timestamp.json", status)}
    plain.answers = {"/metadata/timestamp.json": whole()}
    with pytest.raises(DownloadError, match="not https: not followed"):
        fetch(of(https, tmp_path, plain.host))
    assert plain.asked == []


def test_another_host_is_asked_only_where_the_configuration_names_it(
    https: Server, other: Server, tmp_path: Path
) -> None:
    https.answers = {"/metadata/timestamp.json": to(f"{other.url}/t")}
    other.answers = {"/t": whole()}
    with pytest.raises(DownloadError, match=r"another host, .*: not followed.*updates\.redirect_hosts"):
        fetch(of(https, tmp_path))
    assert other.asked == []
    assert fetch(of(https, tmp_path, other.host)) == CONTENT


@pytest.mark.parametrize("where", ["file:///etc/passwd", "ftp://localhost/x", "https://[", "https://localhost:99999/x"])
def test_other_places_are_not_gone_to(https: Server, tmp_path: Path, where: str) -> None:
    https.answers = {"/metadata/timestamp.json": to(where)}
    with pytest.raises(DownloadError):
        fetch(of(https, tmp_path))


def test_a_circle_ends(https: Server, tmp_path: Path) -> None:
    https.answers = {"/metadata/timestamp.json": to("/metadata/timestamp.json")}
    with pytest.raises(DownloadError, match="more than 5 times"):
        fetch(of(https, tmp_path))
    assert len(https.asked) == 6


@pytest.mark.parametrize("role", ["a/b", "ä ö", "50%", "..", "x?y#z"])
def test_the_name_of_a_delegated_role_is_quoted_once(plain: Server, role: str) -> None:
    """python-tuf quotes it for a URL; quoted again, the server looks for another file."""
    line = f"/metadata/1.{quote(role, '')}.json"
    plain.answers = {line: whole()}
    assert fetch(HttpsSource(plain.url), f"metadata/1.{quote(role, '')}.json") == CONTENT


@pytest.mark.parametrize(
    "answer",
    [
        (206, {}, CONTENT),
        (206, {"Content-Range": "bytes 10-20/10240"}, CONTENT),
        (206, {"Content-Range": "bytes 0-20/999999999999999"}, CONTENT),
        (206, {"Content-Range": "bytes -1-5/x"}, CONTENT),
        (200, {"Content-Length": str(1 << 40)}, CONTENT),
        (200, {"Content-Length": "²"}, CONTENT),
    ],
)
def test_what_it_says_of_a_file_is_bounded(plain: Server, answer: Answer) -> None:
    plain.answers = {"/metadata/timestamp.json": answer}
    with pytest.raises(DownloadError):
        fetch(HttpsSource(plain.url))


def test_a_bomb_is_not_unpacked(plain: Server) -> None:
    packed = gzip.compress(bytes(1 << 20))
    plain.answers = {"/metadata/timestamp.json": (200, {"Content-Encoding": "gzip"}, packed)}
    assert fetch(HttpsSource(plain.url)) == packed


def test_ranges_that_follow_each_other_are_one_request(plain: Server) -> None:
    plain.answers = {"/x": (206, {"Content-Range": f"bytes 100-300/{len(CONTENT)}"}, CONTENT[100:301])}
    source = HttpsSource(plain.url)
    assert [piece.data for piece in source.pieces("x", [Range(200, 101), Range(100, 100)])] == [
        CONTENT[100:200],
        CONTENT[200:301],
    ]
    assert source.requests == 1
