"""The signed repository of packages, read by apt itself."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cross import apt_repository

CONTROL = """Package: waspi
Version: 1.0
Architecture: arm64
Maintainer: The waspi authors <waspi@example.org>
Description: an empty package
"""


class Board:
    """An arm64 board's apt, with a root folder of its own and that repository as its only source."""

    def __init__(self, folder: Path) -> None:
        self.repository = folder / "apt"
        self._root = folder / "root"
        for name in ("etc/apt/sources.list.d", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial"):
            (self._root / name).mkdir(parents=True)
        (self._root / "var/lib/dpkg").mkdir()
        (self._root / "var/lib/dpkg/status").touch()
        (self._root / "etc/apt/sources.list.d/waspi.sources").write_text(
            f"Types: deb\nURIs: file:{self.repository}\nSuites: ./\nSigned-By: {self.repository}/waspi.asc\n"
        )

    def apt(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run ``apt-get`` there."""
        options = [
            f"Dir={self._root}",
            f"Dir::State::status={self._root}/var/lib/dpkg/status",
            "APT::Architecture=arm64",
        ]
        options += ["APT::Architectures=arm64", "APT::Sandbox::User=root", "Acquire::Languages=none"]
        given = [word for option in options for word in ("-o", option)]
        return subprocess.run(["apt-get", *given, *words], capture_output=True, text=True, check=False)

    def offered(self) -> str:
        """The version that apt would install; empty where it knows none."""
        told = self.apt("install", "--simulate", "waspi").stdout
        line = next((line for line in told.splitlines() if line.startswith("Inst waspi ")), "")
        return line.split("(")[1].split()[0] if line else ""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """An empty Debian package."""
    (tmp_path / "tree" / "DEBIAN").mkdir(parents=True)
    (tmp_path / "tree" / "DEBIAN" / "control").write_text(CONTROL)
    file = tmp_path / "waspi_1.0_arm64.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "--build", tmp_path / "tree", file], check=True, capture_output=True
    )
    return file


@pytest.fixture
def keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A signing key; gpg's agent, which its first use starts, is ended again."""
    home = tmp_path_factory.mktemp("gpg") / "home"
    env = apt_repository.trial_key(home)
    yield env
    subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False, capture_output=True)


@pytest.fixture
def board(tmp_path: Path, package: Path, keys: dict[str, str]) -> Board:
    """A board with the repository of that package."""
    apt_repository.write(tmp_path / "apt", [package], apt_repository.TRIAL, keys)
    return Board(tmp_path)


def test_apt_takes_a_signed_repository(board: Board) -> None:
    """What install.sh sets up is enough for apt to offer the package."""
    updated = board.apt("update")
    assert updated.returncode == 0, updated.stderr
    assert board.offered() == "1.0"


def test_apt_refuses_what_was_changed_after_signing(board: Board) -> None:
    """Another index than the signed one is never believed."""
    with (board.repository / "Packages").open("a") as file:
        file.write("\n")
    (board.repository / "Packages.gz").unlink()
    assert board.apt("update").returncode != 0
    assert board.offered() == ""


def test_apt_refuses_another_key(board: Board, tmp_path: Path, package: Path) -> None:
    """A repository of somebody else's key, in the same place."""
    mine = (board.repository / "waspi.asc").read_bytes()
    shutil.rmtree(board.repository)
    home = tmp_path / "stranger"
    apt_repository.write(board.repository, [package], apt_repository.TRIAL, apt_repository.trial_key(home))
    (board.repository / "waspi.asc").write_bytes(mine)
    told = board.apt("update")
    subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False, capture_output=True)
    assert told.returncode != 0
    assert "NO_PUBKEY" in told.stderr or "not signed" in told.stderr or "Missing key" in told.stderr
    assert board.offered() == ""


def test_the_next_release_is_an_upgrade(board: Board, tmp_path: Path, package: Path, keys: dict[str, str]) -> None:
    """Higher versions win; the same repository, published again."""
    assert board.apt("update").returncode == 0
    shutil.rmtree(board.repository)
    (tmp_path / "next").mkdir()
    apt_repository.write(
        board.repository, [apt_repository.raised(package, tmp_path / "next")], apt_repository.TRIAL, keys
    )
    assert board.apt("update").returncode == 0
    assert board.offered() == "1.0+next"
