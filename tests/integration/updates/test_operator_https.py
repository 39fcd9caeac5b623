"""The same folder behind any static web server: python-tuf's own client with its own fetcher reads it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tuf.ngclient import Updater

from tests.simulators.repository_site import Site
from waspi.fleet.repository.key_ring import Role
from waspi.protocol.deployment_document import decode_deployment
from waspi.protocol.release_custom import release_of
from waspi.protocol.repository_path import deployment_target, module_target


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        del format, args


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path, now=datetime.now(UTC))  # the client has a real clock


@pytest.fixture
def url(site: Site) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(site.folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_static_web_server_serves_the_repository(site: Site, url: str, tmp_path: Path) -> None:
    site.ship("1.0.0+build.7")
    release = site.repository.contents().release("append", "1.0.0+build.7")
    site.repository.rotate(Role.SNAPSHOT)
    cache = tmp_path / "cache"
    (cache / "targets").mkdir(parents=True)
    updater = Updater(
        str(cache), f"{url}metadata/", str(cache / "targets"), f"{url}targets/", bootstrap=site.repository.root_bytes()
    )
    updater.refresh()
    info = updater.get_targetinfo(deployment_target("kitchen"))
    assert info is not None
    deployment = decode_deployment(Path(updater.download_target(info)).read_bytes())
    entry = deployment.entries[0]
    target = module_target(entry.name, entry.version)
    info = updater.get_targetinfo(target)
    assert info is not None
    assert release_of(target, info.length, info.hashes["sha256"], info.custom) == release
    assert len(Path(updater.download_target(info)).read_bytes()) == release.length
