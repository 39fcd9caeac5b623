"""An operator's terminal: the real command line, on a repository in the test's folder."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.integration.cli.command import Finished, start, waspi
from tests.integration.cli.guest import APPEND
from tests.simulators.repository_client import RepositoryClient


@dataclass
class OperatorShell:
    """Commands run with ``home`` as the folder of keys and profiles, and ``broker`` as the broker."""

    base: Path
    broker: str

    @property
    def folder(self) -> Path:
        return self.base / "releases"

    @property
    def _env(self) -> dict[str, str]:
        return {"WASPI_REPO": str(self.folder), "WASPI_BROKER": self.broker}

    def run(self, *arguments: str, code: int = 0) -> Finished:
        done = waspi(*arguments, home=self.base / "home", env=self._env)
        assert done.code == code, (arguments, done.code, done.err, done.text)
        return done

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        return start(*arguments, home=self.base / "home", env=self._env)

    def module(self, name: str = "append.wat", text: str = APPEND) -> Path:
        path = self.base / name
        path.write_text(text)
        return path

    def init(self) -> None:
        self.run("repo", "init", str(self.folder))

    def ship(self, version: str, *, name: str = "append", group: str = "kitchen") -> None:
        self.add(version, name=name)
        self.run("repo", "deploy", f"{name}@{version}", "--group", group)
        self.run("repo", "publish")

    def add(self, version: str, *, name: str = "append") -> None:
        self.run("repo", "add", str(self.module()), "--name", name, "--version", version)

    def status(self) -> dict[str, object]:
        document = self.run("repo", "status", "--json").document
        assert isinstance(document, dict)
        return document

    def client(self, name: str = "client") -> RepositoryClient:
        root = (self.folder / "metadata" / "1.root.json").read_bytes()
        return RepositoryClient(self.base / name, self.folder, root, datetime.now(UTC))
