"""Brokers of other makers on loopback: started, killed with all that they hold in memory, and started again."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from tests.brokers import programs
from tests.simulators.mosquitto import free_port, wait_until_listening


class Broker:
    """One broker in a folder of its own, listening on :attr:`port`."""

    name = ""
    persistent = True
    """Whether it is set up to keep sessions over a SIGKILL."""
    settles_s = 2.0
    """Seconds after which what it was given survives a SIGKILL; brokers say nothing of it. mosquitto: once a second."""
    faults: ClassVar[Mapping[str, str]] = {}
    """Checks that it fails, and what of it is the reason; waspi lives with each."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self.url = f"mqtt://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        self.prepare()

    def prepare(self) -> None:
        """Write what the program reads."""

    def command(self) -> list[str]:
        """The program and its arguments."""
        raise NotImplementedError

    @property
    def log(self) -> str:
        """What it has written so far."""
        return (self.folder / "broker.log").read_text(errors="replace")

    def start(self) -> None:
        """Start and wait until it takes connections."""
        with (self.folder / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder
            )
        wait_until_listening(self._process, self.port, lambda: self.log[-2000:])

    def kill(self) -> None:
        """SIGKILL: what it has not written is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(60)
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()


class Mosquitto(Broker):
    """This machine's own."""

    name = "mosquitto"

    def prepare(self) -> None:
        store = self.folder / "store"
        store.mkdir(exist_ok=True)
        store.chmod(0o777)
        (self.folder / "mosquitto.conf").write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\nmax_inflight_messages 64\n"
            f"max_queued_messages 20000\nuser root\npersistence true\npersistence_location {self.place}/store/\n"
            "autosave_interval 1\n"
        )

    @property
    def place(self) -> str:
        """The folder as the broker sees it."""
        return str(self.folder)

    def command(self) -> list[str]:
        return ["/usr/sbin/mosquitto", "-c", f"{self.place}/mosquitto.conf"]


class MosquittoTrixie(Mosquitto):
    """Debian trixie's."""

    name = "mosquitto 2.0.21"
    place = f"/{programs.WORK}"

    def command(self) -> list[str]:
        return programs.in_debian(programs.debian(), self.folder, super().command())


class RabbitMq(Broker):
    """RabbitMQ 4 with the settings that waspi asks for: quorum queues, sessions of a week."""

    name = "RabbitMQ 4.0"
    settles_s = 10.0
    """A quorum queue that is a few seconds old is lost when its only node is killed, and its session hangs for good."""
    faults: ClassVar = {
        "retained by wildcard": "it keeps retained messages by their exact topic only",
        "retained will after a delay": "a will that waits is published without its retain flag",
    }

    def __init__(self, folder: Path, *, epmd: int = 0, extra: Sequence[str] = ()) -> None:
        """``epmd``: port of Erlang's port mapper, if several nodes share one; ``extra``: lines of rabbitmq.conf."""
        self._epmd = epmd or free_port()
        self._dist = free_port()
        self._extra = extra
        super().__init__(folder)

    @property
    def node(self) -> str:
        """Its name in a cluster."""
        return f"r{self.port}@localhost"

    def prepare(self) -> None:
        for each in ("mnesia", "log"):
            (self.folder / each).mkdir(exist_ok=True)
        cookie = self.folder / ".erlang.cookie"
        cookie.write_text("waspi")
        cookie.chmod(0o400)
        (self.folder / "enabled_plugins").write_text("[rabbitmq_mqtt].\n")
        self.configure(self._extra)

    def configure(self, extra: Sequence[str]) -> None:
        """Write rabbitmq.conf."""
        lines = [
            "listeners.tcp = none",
            f"mqtt.listeners.tcp.1 = 127.0.0.1:{self.port}",
            "mqtt.tcp_listen_options.nodelay = true",
            "mqtt.durable_queue_type = quorum",
            "mqtt.max_session_expiry_interval_seconds = 604800",
            "anonymous_login_user = guest",
            "anonymous_login_pass = guest",
            "distribution.listener.interface = 127.0.0.1",
            f"distribution.listener.port_range.min = {self._dist}",
            f"distribution.listener.port_range.max = {self._dist}",
            "disk_free_limit.absolute = 50MB",
            *extra,
        ]
        (self.folder / "rabbitmq.conf").write_text("\n".join(lines) + "\n")

    def command(self) -> list[str]:
        return self.erlang("/usr/lib/rabbitmq/bin/rabbitmq-server")

    def erlang(self, *words: str) -> list[str]:
        """The command line that runs a program of RabbitMQ for this node."""
        own = {
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_CONFIG_FILE": f"/{programs.WORK}/rabbitmq.conf",
            "RABBITMQ_MNESIA_BASE": f"/{programs.WORK}/mnesia",
            "RABBITMQ_LOG_BASE": f"/{programs.WORK}/log",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"/{programs.WORK}/enabled_plugins",
            "RABBITMQ_PID_FILE": f"/{programs.WORK}/pid",
            "RABBITMQ_DIST_PORT": str(self._dist),
            "RABBITMQ_CONF_ENV_FILE": "/nonexistent",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +sbwt none",
            "ERL_EPMD_PORT": str(self._epmd),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }
        environment = [f"{name}={value}" for name, value in own.items()]
        return programs.in_debian(programs.debian(), self.folder, ["env", *environment, *words])


class HiveMq(Broker):
    """HiveMQ CE."""

    name = "HiveMQ CE 2025.5"

    def prepare(self) -> None:
        for each in ("conf", "data", "extensions", "log"):
            (self.folder / each).mkdir(exist_ok=True)
        (self.folder / "conf/config.xml").write_text(
            f"<hivemq><listeners><tcp-listener><port>{self.port}</port><bind-address>127.0.0.1</bind-address>"
            "</tcp-listener></listeners><anonymous-usage-statistics><enabled>false</enabled>"
            "</anonymous-usage-statistics></hivemq>"
        )

    def command(self) -> list[str]:
        target = programs.hivemq()
        folders = [str(self.folder / each) for each in ("conf", "data", "extensions")]
        options = ["-Xmx512m", f"-Dhivemq.log.folder={self.folder}/log"]
        return ["java", *options, "-cp", f"{target}/classes:{target}/dependency/*", "Main", *folders]


class Mochi(Broker):
    """mochi, in memory."""

    name = "mochi 2.7.9"
    persistent = False
    faults: ClassVar = {
        "no matching subscribers": "it answers with success",
        "200 jobs among refused ones": "at times it stops serving a session after 100 to 180 messages in a row",
        "100 jobs for a device that is away": "the same",
    }

    def command(self) -> list[str]:
        return [str(programs.mochi()), "-address", f"127.0.0.1:{self.port}"]


class Rumqttd(Broker):
    """rumqttd, in memory."""

    name = f"rumqttd {programs.RUMQTTD}"
    persistent = False
    faults: ClassVar = {
        "retain as published": "it passes live messages on without their retain flag",
        "a retained job is refused": "so it runs, once; doctor warns of it",
        "no matching subscribers": "it answers with success",
    }

    def prepare(self) -> None:
        (self.folder / "rumqttd.toml").write_text(
            "id = 0\n[router]\nid = 0\nmax_connections = 1000\nmax_outgoing_packet_count = 200\n"
            "max_segment_size = 104857600\nmax_segment_count = 10\n"
            f'[v5.1]\nname = "v5"\nlisten = "127.0.0.1:{self.port}"\nnext_connection_delay_ms = 1\n'
            "[v5.1.connections]\nconnection_timeout_ms = 60000\nmax_payload_size = 268435455\n"
            "max_inflight_count = 100\ndynamic_filters = true\n"
        )

    def command(self) -> list[str]:
        return [str(programs.rumqttd()), "-c", str(self.folder / "rumqttd.toml")]


ALL: tuple[type[Broker], ...] = (Mosquitto, MosquittoTrixie, RabbitMq, HiveMq, Mochi, Rumqttd)
