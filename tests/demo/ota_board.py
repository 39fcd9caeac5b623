"""One board of the demonstration of updates: an agent in a process of its own, and what can be seen of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "agent")}
CONFIG = """\
[device]
id = "{id}"
groups = ["house"]
state_dir = "{state}"

[broker]
url = "{url}"
will_delay_s = 0

[limits]
fuel = 1000000        # a small board: the operator's desk grants ten thousand times as much

[updates]
root = "{root}"       # the repository's first root: all trust begins here
spread_s = 0
range_kib = 32
trial_jobs = 5
trial_failures = 3
"""


class Board:
    """Agent, state folder, log."""

    def __init__(self, folder: Path, name: str, url: str, root: Path) -> None:
        self.name = name
        self.state = folder / name / "state"
        self._config = folder / name / "waspi.toml"
        self._log = folder / name / "agent.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._config.parent.mkdir(parents=True)
        self._config.write_text(CONFIG.format(id=name, state=self.state, url=url, root=root))

    def start(self) -> None:
        """Switch it on."""
        command = [sys.executable, "-m", "waspi", "agent", "--config", str(self._config)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, env=ENVIRONMENT, stderr=log)

    def cut_power(self) -> None:
        """SIGKILL; what it was doing it does not end."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """Switch it off in order."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self._process.kill()

    @property
    def ranges_there(self) -> tuple[int, int]:
        """How many ranges of a download that is under way are on its disk, and of how many."""
        for path in self.state.glob("updates/download/*.part.map"):
            try:
                entries = path.read_bytes()[24:]
            except FileNotFoundError:  # it was finished a moment ago
                continue
            came = entries[::8]
            return sum(came), len(came)
        return 0, 0

    @property
    def log(self) -> str:
        """What its agent wrote."""
        return self._log.read_text() if self._log.exists() else ""
