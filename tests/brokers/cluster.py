"""``make conformance-cluster``: three nodes of RabbitMQ, each killed in turn under load; no job may be lost.

Device and client know all three nodes by one URL (docs/CLUSTER.md). Exit status 1 when a job has no result, or not its
one right result.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.brokers import programs
from tests.brokers.brokers import RabbitMq
from tests.brokers.checks import APPEND, RESTART_S, SUFFIX, WITHIN_S
from tests.simulators.agent_process import Publisher, TappedAgent
from tests.simulators.mosquitto import free_port
from waspi.fleet import Client

NODES = 3
JOBS = 600
FORMED_S = 180.0


@contextmanager
def port_mapper(folder: Path) -> Iterator[int]:
    """Erlang's epmd for all nodes: one that a node had started would end with it."""
    port = free_port()
    folder.mkdir()
    words = ["/usr/bin/epmd", "-port", str(port), "-address", "127.0.0.1"]
    process = subprocess.Popen(programs.in_debian(programs.debian(), folder, words), stderr=subprocess.DEVNULL)
    try:
        yield port
    finally:
        process.kill()
        process.wait()


def formed(nodes: list[RabbitMq]) -> None:
    """Wait until every node sees all others."""
    words = [
        "/usr/lib/rabbitmq/bin/rabbitmqctl",
        "await_online_nodes",
        str(len(nodes)),
        "--timeout",
        str(int(FORMED_S)),
    ]
    for node in nodes:
        subprocess.run(node.erlang(*words), check=True, capture_output=True, timeout=FORMED_S + 30)


def cluster(folder: Path, epmd: int) -> list[RabbitMq]:
    """The nodes, started and formed."""
    nodes = [RabbitMq(folder / f"node-{number}", epmd=epmd) for number in range(NODES)]
    names = [f"cluster_formation.classic_config.nodes.{at} = {node.node}" for at, node in enumerate(nodes, 1)]
    for node in nodes:
        node.configure(
            [
                "cluster_formation.peer_discovery_backend = classic_config",
                "cluster_partition_handling = pause_minority",
                *names,
            ]
        )
    with ThreadPoolExecutor(NODES) as pool:
        list(pool.map(RabbitMq.start, nodes))
    formed(nodes)
    return nodes


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with port_mapper(folder / "epmd") as epmd:
            begin = time.monotonic()
            nodes = cluster(folder, epmd)
            print(f"three nodes after {time.monotonic() - begin:.0f} s", flush=True)
            try:
                return 1 if survive(nodes, folder) else 0
            finally:
                for node in nodes:
                    node.kill()


def survive(nodes: list[RabbitMq], folder: Path) -> int:
    """Kill each node in turn while jobs are on their way; how many of them went wrong."""
    hosts = [f"127.0.0.1:{node.port}" for node in nodes]
    device = TappedAgent(
        folder / "pi-1",
        f"mqtt://{','.join(hosts)}",
        broker="will_delay_s = 0\nkeepalive_s = 10",
        rest=f'[modules.append]\npath = "{APPEND}"\nversion = "1.0.0"\n',
    )
    hears = Publisher(f"mqtt://{','.join(hosts)}", "watcher")
    hears.connect()
    device.start()
    wrong = 0
    try:
        hears.until_online(WITHIN_S)
        with Client(f"mqtt://{','.join(reversed(hosts))}") as client:
            for at, node in enumerate(nodes):
                begin = time.monotonic()
                names = [f"node-{at}-{number}" for number in range(JOBS)]
                handles = [client.submit("pi-1", "append", each.encode(), job_id=each) for each in names]
                handles[JOBS // 10].result(WITHIN_S)
                node.kill()
                good = 0
                for each, handle in zip(names, handles, strict=True):
                    try:
                        good += handle.result(RESTART_S).outputs == (each.encode() + SUFFIX,)
                    except Exception as error:  # noqa: BLE001 - a job that is lost is what is counted
                        print(f"  {each}: {error}", flush=True)
                twice = sum(count > 1 for job, count in device.runs().items() if job in names)
                wrong += JOBS - good
                took = time.monotonic() - begin
                print(f"node {at + 1} killed: {good} of {JOBS} results in {took:.0f} s, {twice} ran twice", flush=True)
                node.start()
                formed(nodes)
    finally:
        hears.close()
        device.kill()
    return wrong


if __name__ == "__main__":
    sys.exit(main())
