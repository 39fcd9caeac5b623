"""The ways by which updates come to a device: one MQTT session with few rights, a web server, no depot at all."""

from __future__ import annotations

import http.server
import re
import ssl
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.integration.updates.device.rig import Rig, Watcher, module
from tests.simulators.mosquitto import Mosquitto
from waspi.fleet.authority import Authority
from waspi.fleet.mosquitto_config import access_list, operator_name

BALLAST = 400_000


class RangeHandler(http.server.SimpleHTTPRequestHandler):
    """Static files, with ranges (RFC 9110, 14.2) when ``ranges`` says so; drops the line after ``drop_after`` bytes."""

    ranges = True
    drop_after = 0
    asked: list[tuple[str, str]]

    def do_GET(self) -> None:
        path = Path(self.directory) / self.path.lstrip("/")
        asked = self.headers.get("Range", "")
        type(self).asked.append((self.path, asked))
        if not path.is_file():
            self.send_error(404)
            return
        data = path.read_bytes()
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", asked)
        if match and self.ranges:
            first, last = int(match[1]), min(int(match[2]), len(data) - 1)
            part = data[first : last + 1]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        else:
            part = data
            self.send_response(200)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        if self.drop_after and path.suffix == ".wasm":
            self.wfile.write(part[: self.drop_after])
            self.close_connection = True
        else:
            self.wfile.write(part)

    def log_message(self, *_arguments: object) -> None:
        """Silence."""


def serve(rig: Rig, tls: ssl.SSLContext | None = None) -> Iterator[tuple[str, type[RangeHandler]]]:
    handler = type("Handler", (RangeHandler,), {"asked": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(rig.desk.folder))) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        scheme, host = ("https", "localhost") if tls is not None else ("http", "127.0.0.1")
        yield f"{scheme}://{host}:{server.server_port}/", handler
        server.shutdown()
        thread.join()


@pytest.fixture
def web(rig: Rig) -> Iterator[tuple[str, type[RangeHandler]]]:
    yield from serve(rig)


@pytest.fixture
def https(rig: Rig, tmp_path: Path) -> Iterator[tuple[str, type[RangeHandler]]]:
    """Its authority's certificate is ``pki/ca.crt``, which no device trusts by itself."""
    pki = tmp_path / "pki"
    pki.mkdir()
    Authority(pki, "ca").issue_server(pki / "web.crt", pki / "web.key", ["localhost"], 30)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki / "web.crt", pki / "web.key")
    yield from serve(rig, context)


@pytest.mark.parametrize("ranges", [True, False])
def test_a_static_web_server_will_do(rig: Rig, web: tuple[str, type[RangeHandler]], ranges: bool) -> None:
    url, handler = web
    handler.ranges = ranges
    rig.desk.release("1.0.0", wasm=module("<1.0.0>", ballast=BALLAST))
    rig.agent(updates=f'url = "{url}"\n').start()
    rig.watcher.until_state("1.0.0", "TRIAL")
    assert rig.watcher.run("one").outputs == (b"x<1.0.0>",)


def test_a_web_server_has_to_prove_who_it_is(rig: Rig, tmp_path: Path, https: tuple[str, type[RangeHandler]]) -> None:
    """Though signatures guard what comes; and why nothing comes, the device reports."""
    url, handler = https
    rig.desk.release("1.0.0", wasm=module("<1.0.0>", ballast=BALLAST))
    agent = rig.agent(updates=f'url = "{url}"\n')
    agent.start()
    rig.watcher.until(lambda: rig.watcher.reported and "certificate verify failed" in rig.watcher.reported[-1].updates)
    assert handler.asked == []
    agent.stop()
    told = agent.config.read_text()
    agent.config.write_text(told.replace("[updates]", f'[updates]\nca = "{tmp_path / "pki" / "ca.crt"}"'))
    agent.start()
    rig.watcher.until_state("1.0.0", "TRIAL")
    rig.watcher.until(lambda: not rig.watcher.reported[-1].updates)
    assert rig.watcher.run("one").outputs == (b"x<1.0.0>",)


def test_fault_21_a_download_from_a_web_server_is_taken_up_where_it_was_cut(
    rig: Rig, web: tuple[str, type[RangeHandler]]
) -> None:
    url, handler = web
    handler.drop_after = 150_000
    rig.desk.release("1.0.0", wasm=module("<1.0.0>", ballast=BALLAST))
    agent = rig.agent(updates=f'url = "{url}"\n')
    agent.start()
    rig.watcher.until(lambda: "no update" in agent.log)
    handler.drop_after = 0
    handler.asked.clear()
    rig.watcher.until_state("1.0.0", "TRIAL")
    first = next(asked for path, asked in handler.asked if path.endswith(".wasm"))
    assert int(first.removeprefix("bytes=").partition("-")[0]) == 2 * 65536  # two whole ranges had come


def test_the_rights_that_a_broker_of_ours_grants_are_enough_and_one_session_carries_it_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The updater has no session of its own: with ``use_username_as_clientid`` it would end the agent's."""
    acl = tmp_path / "acl"
    rig = Rig(tmp_path)
    acl.write_text(access_list("default", {"pi-1": ["kitchen"]}, ["ops"]))
    extra = f"allow_anonymous true\nlog_type all\nacl_file {acl}\nuser root\n"
    rig.broker = Mosquitto(tmp_path / "strict", extra=extra)
    monkeypatch.setattr(Watcher, "username", operator_name("ops"))
    with rig:
        rig.desk.release("1.0.0", wasm=module("<1.0.0>", ballast=BALLAST))
        rig.depot(username=operator_name("ops"))
        agent = rig.agent(broker='username = "pi-1"\nwill_delay_s = 0')
        agent.start()
        rig.watcher.until_state("1.0.0", "TRIAL")
        log = rig.broker.log
        assert len(re.findall(r"New client connected .* as waspi-default-pi-1", log)) == 1
        assert "Denied" not in log


def test_without_a_depot_the_device_works_on_and_says_why(rig: Rig) -> None:
    """And when one comes, its announcement is enough."""
    rig.desk.release("1.0.0")
    agent = rig.agent()
    agent.start()
    rig.watcher.until_online()
    rig.watcher.until(agent.children)
    rig.depot()
    rig.watcher.until_state("1.0.0", "TRIAL")


def test_a_root_that_is_none_is_said_once_and_jobs_go_on(rig: Rig) -> None:
    rig.depot()
    agent = rig.agent()
    (rig.folder / "trusted-root.json").write_text("{}")
    agent.start()
    rig.watcher.until(lambda: "no update: updates.root" in agent.log)
    rig.watcher.until(lambda: rig.watcher.reported and "no root metadata" in rig.watcher.reported[-1].updates)
    assert agent.alive
