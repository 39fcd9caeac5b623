"""A subject in a process of its own, asked for so many calls at a time."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from bench.peers.environment import PeerAbsentError, environment
from bench.session import GUEST, ROOT

if TYPE_CHECKING:
    from types import TracebackType

    from bench.peers.peer import Peer

_HERE = Path(__file__).parent


class Subject:
    """A running ``serve.py``; raises :class:`PeerAbsentError` when the subject does not come up."""

    def __init__(self, name: str, python: Path, module: str, guest: Path, path: str = "") -> None:
        self.name = name
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [python, _HERE / "serve.py", module, guest],
            env={"PYTHONPATH": path, "PATH": "/usr/bin:/bin"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        try:
            hello = self._read()
        except BaseException:
            self.close()
            raise
        self.version = str(hello["version"])
        self.operations: tuple[str, ...] = tuple(hello["operations"])
        self._counts: dict[str, int] = {}

    @classmethod
    def waspi(cls, guest: Path = GUEST, package: Path = ROOT / "agent") -> Self:
        """waspi, as it lies in this checkout, or in the folder ``package``."""
        return cls("waspi", Path(sys.executable), "subject_waspi", guest, str(package))

    @classmethod
    def peer(cls, peer: Peer, folder: Path) -> Self:
        """A peer, installed if it is not; ``folder`` takes what has to be built for it."""
        guest = GUEST
        if peer.guest:
            from waspi import _wasmer  # noqa: PLC0415 - the translator of the text, for the one peer that needs it

            guest = folder / f"{peer.name}.wasm"
            guest.write_bytes(_wasmer.wat2wasm((_HERE / peer.guest).read_bytes()))
        return cls(peer.name, environment(peer), peer.subject, guest)

    def sample_us(self, operation: str, target_ms: float) -> float:
        """Microseconds of one call, as the mean of a batch that takes about ``target_ms``."""
        count = self._counts.get(operation)
        if count is None:
            once = max(self._ask(operation, 1), 100)
            few = max(1, min(50, int(target_ms * 1e6 / once)))
            each = max(1, self._ask(operation, few) // few)  # the first call warms up, these tell
            count = self._counts[operation] = max(1, int(target_ms * 1e6 / each))
        return self._ask(operation, count) / count / 1e3

    def _ask(self, operation: str, count: int) -> int:
        assert self._process.stdin is not None  # noqa: S101 - Popen was given a pipe
        self._process.stdin.write(json.dumps({"do": operation, "count": count}) + "\n")
        self._process.stdin.flush()
        return int(self._read()["ns"])

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None  # noqa: S101 - Popen was given a pipe
        line = self._process.stdout.readline()
        if line:
            told: dict[str, Any] = json.loads(line)
            return told
        self._process.wait()
        self._errors.seek(0)
        said = self._errors.read().strip().splitlines()
        raise PeerAbsentError(f"does not run: {said[-1] if said else f'exit {self._process.returncode}'}")

    def close(self) -> None:
        """End the process and wait for it."""
        with self._errors, self._process as process:
            process.communicate(timeout=20)  # closes its input, at whose end it leaves

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
