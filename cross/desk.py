"""The operator's desk of the boot test: a signed repository, and a depot that serves it over the test's broker.

All of it is ``waspi``'s own command line, as an operator uses it.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from cross.command import run

NAME, GROUP = "append", "boards"
RATE_MIB = "0.25"
"""MiB a second that the depot sends: a download of some seconds, so that its middle can be met."""
LIMITS = "time_ms = 120000\n"
SLOW_INPUT, INPUT = "a slow one", "The input string"
# Appends its version; an input that begins with "a" makes it spin first. The passive data make the file large, and
# nobody reads them.
GUEST = """(module
  (memory (export "memory") 2)
  (global $next (mut i32) (i32.const 1024))
  (data (i32.const 0) "{suffix}")
  (data "{ballast}")
  (func (export "alloc") (param i32) (result i32)
    (global.get $next)
    (global.set $next (i32.add (global.get $next) (local.get 0))))
  (func (export "append") (param $p i32) (param $n i32) (result i32) (local $i i64)
    (if (i32.eq (i32.load8_u (local.get $p)) (i32.const 97)) (then
      (loop $l (local.set $i (i64.add (local.get $i) (i64.const 1)))
        (br_if $l (i64.lt_u (local.get $i) (i64.const {spins}))))))
    (memory.copy (i32.add (local.get $p) (local.get $n)) (i32.const 0) (i32.const {size}))
    (i32.add (local.get $n) (i32.const {size}))))
"""


def answer(version: str) -> bytes:
    """What a release makes of :data:`INPUT`."""
    return f"{INPUT}<---- by {version}".encode()


class Desk:
    """Repository, keys and depot below ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._depot: subprocess.Popen[bytes] | None = None
        folder.mkdir()
        (folder / "limits.toml").write_text(LIMITS)
        self._waspi("repo", "init", folder / "releases", "--keys", folder / "keys")

    @property
    def root(self) -> bytes:
        """The repository's first root, with which a device's trust begins."""
        return (self._folder / "releases/metadata/1.root.json").read_bytes()

    def serve(self, port: int, fleet: str, username: str, password: str) -> None:
        """Start the depot."""
        secret = self._folder / "depot.password"
        secret.write_text(password)
        broker: list[str | Path] = [
            "--broker",
            f"mqtt://{username}@127.0.0.1:{port}",
            "--password-file",
            secret,
            "--fleet",
            fleet,
        ]
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "waspi",
            "depot",
            "--repo",
            self._folder / "releases",
            *broker,
        ]
        with (self._folder / "depot.log").open("ab") as log:
            self._depot = subprocess.Popen([*command, "--rate-mib", RATE_MIB], stdout=log, stderr=log)

    def release(self, version: str, *, kib: int, spins: int) -> None:
        """Sign and publish a release of ``kib`` KiB; its golden pair takes ``spins`` turns of a loop."""
        suffix = f"<---- by {version}"
        noise = "".join(hashlib.sha256(f"{version} {at}".encode()).hexdigest() for at in range(kib * 16))
        module, golden = self._folder / f"{version}.wat", self._folder / f"{version}.golden.toml"
        module.write_text(GUEST.format(suffix=suffix, size=len(suffix), ballast=noise, spins=spins))
        limits, repo = ("--limits", self._folder / "limits.toml"), ("--repo", self._folder / "releases")
        self._waspi("golden", "record", module, SLOW_INPUT, *limits, "--out", golden)
        self._waspi("repo", "add", module, "--name", NAME, "--version", version, "--golden", golden, *limits, *repo)
        self._waspi("repo", "deploy", f"{NAME}@{version}", "--group", GROUP, *repo)
        self._waspi("repo", "publish", *repo)

    def close(self) -> None:
        """Stop the depot."""
        if self._depot is not None:
            self._depot.terminate()
            self._depot.wait()

    def _waspi(self, *arguments: str | Path) -> None:
        run([sys.executable, "-m", "waspi", *arguments], cwd=self._folder)
