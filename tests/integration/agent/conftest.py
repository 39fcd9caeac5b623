"""A broker, an agent, a publisher."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.simulators.agent_process import AgentProcess, Publisher
from tests.simulators.mosquitto import Mosquitto
from waspi._wasmer import wat2wasm

APPEND = b"""(module
  (memory (export "memory") 64)
  (global $next (mut i32) (i32.const 1024))
  (data (i32.const 0) "<---- This is your string")
  (func (export "alloc") (param i32) (result i32)
    (global.get $next)
    (global.set $next (i32.add (global.get $next) (local.get 0))))
  (func (export "append") (param i32 i32) (result i32)
    (memory.copy (i32.add (local.get 0) (local.get 1)) (i32.const 0) (i32.const 25))
    (i32.add (local.get 1) (i32.const 25))))"""
FLOOD = b"""(module
  (memory (export "memory") 16)
  (func (export "alloc") (param i32) (result i32) (i32.const 0))
  (func (export "append") (param i32 i32) (result i64) (i64.const 500000)))"""
LOOP = APPEND.replace(b"(memory.copy", b"(loop (br 0)) (memory.copy")


@pytest.fixture(scope="session")
def append_wasm() -> bytes:
    """The reference guest."""
    return wat2wasm(APPEND)


@pytest.fixture(scope="session")
def loop_wasm() -> bytes:
    """A guest that never ends by itself."""
    return wat2wasm(LOOP)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "broker") as running:
        yield running


@pytest.fixture
def publisher(broker: Mosquitto) -> Iterator[Publisher]:
    made = Publisher(broker.url)
    made.connect()
    yield made
    made.close()


@pytest.fixture(scope="session")
def flood_wasm() -> bytes:
    """A guest that answers anything with 500,000 bytes."""
    return wat2wasm(FLOOD)


AgentMaker = Callable[..., AgentProcess]


@pytest.fixture
def make_agent(tmp_path: Path, broker: Mosquitto, append_wasm: bytes) -> Iterator[AgentMaker]:
    """Makes agents that are gone after the test; module ``append`` is known to each by name."""
    made: list[AgentProcess] = []
    guest = tmp_path / "append.wasm"
    guest.write_bytes(append_wasm)

    def make(device_id: str = "pi-1", *, rest: str = "", **options: Any) -> AgentProcess:  # noqa: ANN401 - AgentProcess says
        module = f'[modules.append]\npath = "{guest}"\nversion = "1.0.0"\n'
        agent = AgentProcess(tmp_path / device_id, broker.url, device_id, rest=module + rest, **options)
        made.append(agent)
        return agent

    yield make
    for agent in made:
        if agent.alive:
            agent.kill()


@pytest.fixture
def agent(make_agent: AgentMaker, publisher: Publisher) -> AgentProcess:
    """An agent that is online."""
    running = make_agent()
    running.start()
    publisher.until_online()
    return running
