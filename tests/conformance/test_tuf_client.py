"""The client behind the TUF suite's command line, step by step; the suite itself is not needed for this."""

from __future__ import annotations

import functools
import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.conformance.tuf import outcomes, table
from tests.simulators.repository_site import Site

ROOT = Path(__file__).resolve().parents[2]


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_arguments: object) -> None:
        """Silence."""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path / "desk", now=datetime.now(UTC))
    made.ship("1.0.0")
    return made


@pytest.fixture
def url(site: Site) -> Iterator[str]:
    handler = functools.partial(Quiet, directory=str(site.folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def client(*arguments: str | Path) -> int:
    command = [sys.executable, "-m", "tests.conformance.tuf_client", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True).returncode


def test_each_step_of_the_suite(site: Site, url: str, tmp_path: Path) -> None:
    metadata, targets = tmp_path / "metadata", tmp_path / "targets"
    metadata.mkdir()
    at = ("--metadata-url", f"{url}/metadata/", "--metadata-dir", metadata)
    where = ("--target-base-url", f"{url}/targets/", "--target-dir", targets)
    assert client("--metadata-dir", metadata, "init", site.folder / "metadata" / "1.root.json") == 0
    assert client(*at, "refresh") == 0
    assert {path.name for path in metadata.glob("*.json")} == {
        "root.json",
        "timestamp.json",
        "snapshot.json",
        "targets.json",
    }
    assert client(*at, *where, "--target-name", "modules/append/1.0.0.wasm", "download") == 0
    assert (targets / "modules" / "append" / "1.0.0.wasm").read_bytes().startswith(b"append 1.0.0 ")
    assert client(*at, *where, "--target-name", "modules/append/9.wasm", "download") == 1
    (site.folder / "metadata" / "timestamp.json").write_text("{}")
    assert client(*at, "refresh") == 1


def test_the_table() -> None:
    report = b"""<testsuites><testsuite>
        <testcase classname="tuf_conformance.test_basic" name="a"/>
        <testcase classname="tuf_conformance.test_basic" name="b"><failure/></testcase>
        <testcase classname="tuf_conformance.test_key_ids" name="c"><skipped/></testcase>
        </testsuite></testsuites>"""
    assert table(outcomes(report)).splitlines()[2:] == [
        "| basic | 1 | 1 | 0 |",
        "| key ids | 0 | 0 | 1 |",
        "| all | 1 | 1 | 1 |",
    ]
