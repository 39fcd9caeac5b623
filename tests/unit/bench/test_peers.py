"""Peers that cannot be had are told of; the others answer, rightly."""

from __future__ import annotations

import ast
from pathlib import Path

import bench.peers
import pytest
from bench.peers.environment import PeerAbsentError, environment
from bench.peers.peer import PEERS, Peer
from bench.peers.process import Subject
from bench.session import GUEST

HERE = Path(bench.peers.__file__).parent
IN_THEIR_PYTHON = [HERE / "serve.py", *(HERE / f"{peer.subject}.py" for peer in PEERS)]


@pytest.mark.parametrize("file", IN_THEIR_PYTHON, ids=lambda file: file.name)
def test_what_runs_in_a_peers_environment_is_python_3_10(file: Path) -> None:
    ast.parse(file.read_text(), feature_version=(3, 10))


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_a_peer_is_pinned(peer: Peer) -> None:
    assert all("==" in requirement for requirement in peer.requirements)


def test_a_python_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WASPI_CACHE", str(tmp_path))
    with pytest.raises(PeerAbsentError, match=r"no Python 2\.0 here"):
        environment(Peer("ghost", "subject_ghost", ("ghost==1",), python="2.0"))


def test_a_shim_that_stands_for_no_python_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shim = tmp_path / "python2.0"
    shim.write_text("#!/bin/sh\necho 'pyenv: python2.0: command not found' >&2\nexit 127\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    with pytest.raises(PeerAbsentError, match=r"no Python 2\.0 here"):
        environment(Peer("ghost", "subject_ghost", ("ghost==1",), python="2.0"))


def test_waspi_answers_as_every_subject_must() -> None:
    with Subject.waspi() as subject:
        assert subject.version.startswith("waspi ")
        assert sorted(subject.operations) == ["compile", "fresh", "load", "warm"]
        assert 0 < subject.sample_us("warm", 0.1) < 1e6


def test_a_subject_that_does_not_come_up_says_why(tmp_path: Path) -> None:
    broken = tmp_path / "broken.wasm"
    broken.write_bytes(GUEST.read_bytes()[:100])
    with pytest.raises(PeerAbsentError, match=r"does not run: .*InvalidModuleError"):
        Subject.waspi(broken)
