"""What a locked-down worker may still do, asked from inside it (FAULTS 31), and what the agent leaves to it."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.native.seccomp_here import SECCOMP, needs_seccomp
from waspi.model.state import JobState
from waspi.sandbox.settings import PoolSettings

from .rig import PATIENCE_S, Rig, put_artifact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROBING = (sys.executable, "-I", "-S", str(Path(__file__).with_name("probing_worker.py")))
DEMANDED = frozenset({"descriptors", "environment", "rlimits", "parent_death", "undumpable", "no_new_privs"}) | (
    {"seccomp"} if SECCOMP else set()
)


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], tuple[str, Rig]]]:
    """Run a probe inside a worker; what came of it."""
    # A secret and an open file of the agent's, to be found by a worker that inherits either.
    os.environ["WASPI_TEST_SECRET"] = "hunter2"  # noqa: S105 - bait
    bait = os.open("/etc/hostname", os.O_RDONLY)
    os.set_inheritable(bait, True)
    with Rig(tmp_path_factory.mktemp("rights"), PoolSettings(size=1, worker_command=PROBING, require=DEMANDED)) as rig:
        digest = rig.cache.put(b"a module")
        put_artifact(rig.cache, digest, b"its artifact")

        def ask(probe: str) -> tuple[str, Rig]:
            done = rig.run(digest, probe.encode())
            if done.error is not None:
                return done.error.message, rig
            return done.outputs[0].decode(), rig

        yield ask
    os.close(bait)
    del os.environ["WASPI_TEST_SECRET"]


@needs_seccomp
@pytest.mark.parametrize(
    "act",
    [
        "open",
        "create",
        "openat",
        "unlink",
        "tcp",
        "udp",
        "unix",
        "fork",
        "kill-parent",
        "kill-all",
        "setuid",
        "prlimit",
        "thread",
        "oob",
        "sendmsg",
        "stat",
    ],
)
def test_fault_31_denied(inside: Callable[[str], tuple[str, Rig]], act: str) -> None:
    answer, _ = inside(act)
    assert answer in {"EPERM", "EACCES", "ENOSYS"}


@needs_seccomp
@pytest.mark.parametrize("act", ["execve", "ptrace"])
def test_fault_31_deadly(inside: Callable[[str], tuple[str, Rig]], act: str) -> None:
    answer, rig = inside(act)
    assert "killed by SIGSYS" in answer
    rig.until(lambda: rig.alive == 0)
    assert inside("open")[0] != "ok"  # the next job runs, in a new worker


def test_worker_inherits_nothing(inside: Callable[[str], tuple[str, Rig]]) -> None:
    # Python itself sets LC_CTYPE where there is no locale; the C library's own environment is empty.
    assert inside("environment")[0] in {"{}0", "{b'LC_CTYPE': b'C.UTF-8'}0"}
    # stdin, stdout, stderr, two sockets; no descriptor of the agent's and no module once it is loaded.
    assert inside("descriptors")[0] == "0 1 2 3 4"


def test_worker_is_alone_in_its_session_and_first_to_go(inside: Callable[[str], tuple[str, Rig]]) -> None:
    _, rig = inside("open")
    pid = rig.pids()[0]
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    assert [int(field) for field in fields[2:4]] == [pid, pid]  # process group and session
    assert Path(f"/proc/{pid}/oom_score_adj").read_text().strip() == "1000"


AGENT = """
import sys
from pathlib import Path
from tests.integration.sandbox.rig import Rig
from waspi.sandbox.settings import PoolSettings
rig = Rig(Path(sys.argv[1]), PoolSettings(size=1))
rig.pool.start_one()
rig.until(lambda: bool(rig.pool.posture))
print(rig.pids()[0], flush=True)
sys.stdin.read()
"""


def test_worker_dies_with_its_agent(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[3]
    environment = {"PYTHONPATH": f"{root / 'agent'}:{root}"}
    command = [sys.executable, "-c", AGENT, str(tmp_path)]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as agent:
        assert agent.stdout is not None
        worker = os.pidfd_open(int(agent.stdout.readline()))
        agent.kill()
    assert select.select([worker], [], [], PATIENCE_S)[0], "the worker outlives its agent"
    os.close(worker)


def test_posture_is_told(rigs: Callable[..., Rig]) -> None:
    rig = rigs(PoolSettings(size=1, require=DEMANDED))
    posture = rig.pool.probe()
    assert posture.keys() >= DEMANDED
    assert rig.pool.engine.startswith(("wasmer", "wasmi"))
    assert all(posture[part].startswith("on") for part in DEMANDED)


def test_unknown_demand_is_refused(rigs: Callable[..., Rig]) -> None:
    rig = rigs(PoolSettings(size=1, require=frozenset({"force-field"})))
    done = rig.run(rig.cache.put(b"no module either"), b"x")
    assert done.state is JobState.FAILED
    assert done.error is not None
    assert done.error.kind == "lockdown"
