"""What is done to a board from outside, one method a step; each leaves figures, and raises Failure if it fails."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.simulators.mosquitto import Mosquitto

from cross import cache
from cross.failure import Failure
from cross.machine import HOST, Machine
from cross.outsider import Outsider

FLEET, DEVICE = "boot-test", "board-1"
USER, PASSWORD = "board", "correct horse battery staple"
INPUT, OUTPUT = b"The input string", b"The input string<---- This is your string"
EXPOSURE = 2.0
LINES_WITHOUT_BROKER = 2
STARTS_IN_15_S = 6  # waits of 1, 2, 4, ... s
# Spins for a while and then answers like the reference guest's cousin: the first byte, incremented.
SLOW = """(module (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) i32.const 1024)
  (func (export "append") (param $p i32) (param $n i32) (result i32) (local $i i64)
    (loop $l (local.set $i (i64.add (local.get $i) (i64.const 1)))
      (br_if $l (i64.lt_u (local.get $i) (i64.const {spins}))))
    (i32.store8 (local.get $p) (i32.add (i32.load8_u (local.get $p)) (i32.const 1)))
    (local.get $n)))"""
SPINS = {"wasmer": 1_500_000_000, "wasmi": 60_000_000}  # several seconds of the emulated processor
CONFIGURATION = f"""[device]
id = "{DEVICE}"
fleet = "{FLEET}"
groups = ["boards"]
[broker]
url = "mqtt://{HOST}:{{port}}"
username = "{USER}"
password_file = "credentials/broker.password"
keepalive_s = 15
will_delay_s = 1
[policy]
require = ["seccomp", "landlock", "no_new_privs", "rlimits"]
[limits]
time_ms = 120000
fuel = 100000000000
[status]
report = "all"
"""


class Steps:
    """The board, the broker and the outsider, and what was measured so far."""

    def __init__(self, machine: Machine, folder: Path, boot: Callable[[], Machine]) -> None:
        self.machine = machine
        self.figures: dict[str, str] = {}
        self._boot = boot
        self._folder = folder
        self._broker = _broker(folder)
        self._outsider: Outsider | None = None
        self._guest = (cache.CHECKOUT / "build/guests/append-wat.wasm").read_bytes()

    @property
    def outsider(self) -> Outsider:
        """The outsider; connected when it is first needed."""
        if self._outsider is None:
            self._outsider = Outsider(self._broker.port, FLEET, DEVICE, USER, PASSWORD)
        return self._outsider

    def close(self) -> None:
        """Leave nothing running."""
        if self._outsider is not None:
            self._outsider.close()
        self._broker.kill()

    @property
    def broker_port(self) -> int:
        """Where the broker listens, on this machine's loopback."""
        return self._broker.port

    @property
    def spins(self) -> int:
        """Turns of a guest's loop that take several seconds on this board."""
        return SPINS["wasmi" if "wasmi" in self.figures["engine"] else "wasmer"]

    def provision(self, more: str = "", *, port: int = 0) -> None:
        """Write the configuration, with ``more`` at its end, and the credential; ``port`` instead of the broker's."""
        text = CONFIGURATION.format(port=port or self._broker.port) + more
        self.machine.run(
            f"cat > /etc/waspi/waspi.toml <<'END'\n{text}END\n"
            f"(umask 077; printf '%s' '{PASSWORD}' > /etc/waspi/credentials/broker.password)"
        )

    def power_cycle(self) -> float:
        """Pull the plug, put it back, wait until the agent is online; the moment of the cut."""
        self.machine.cut_power()
        before = time.monotonic()
        self.machine = self._boot()
        self.machine.start()
        self.outsider.presence("online", since=before, timeout=300)
        return before

    def check_nothing_left(self) -> None:
        """Nothing of waspi is on the board, but for what the system itself keeps."""
        # PrivateTmp= folders are systemd's, which removes them at its leisure.
        kept = ("/root", "/tmp", "/proc", "/sys", "/run", "/var/log", "/var/tmp/systemd-private-*")  # noqa: S108 - only looked at
        keep = " -o ".join(f"-path '{path}'" for path in kept)
        left = self.machine.run(f"find / \\( {keep} \\) -prune -o -iname '*waspi*' -print", timeout=120)
        users = self.machine.run("grep waspi /etc/passwd /etc/group", check=False)
        if left or users:
            raise Failure(f"left behind:\n{left}\n{users}")

    def boot(self) -> None:
        """Power on: a root shell, then a system without failed units."""
        self.figures["power on to root shell"] = f"{self.machine.start():.0f} s"
        started = time.monotonic()
        state = self.machine.run("systemctl is-system-running --wait", timeout=240, check=False)
        if "running" not in state:
            raise Failure(f"systemd says {state}: {self.machine.run('systemctl --failed --no-pager', check=False)}")
        self.figures["root shell to running"] = f"{time.monotonic() - started:.0f} s"

    def install(self) -> None:
        """Install the package from a signed repository by install.sh: nothing is started yet."""
        self.machine.run("tar -xf /dev/vdb -C /root", timeout=120)
        refused = self.machine.run("sh /root/install.sh file:/root/apt 0000", check=False, timeout=60)
        if "not the key you named" not in refused or self.machine.run("ls /etc/apt/keyrings", check=False).strip():
            raise Failure(f"install.sh goes on with another key than the one named: {refused}")
        started = time.monotonic()
        self.machine.run("sh /root/install.sh file:/root/apt", timeout=300)
        self.figures["install.sh"] = f"{time.monotonic() - started:.0f} s"
        size = int(self.machine.run("du -sb /usr/lib/waspi").split()[0])
        self.figures["installed size with bytecode"] = f"{size / 1e6:.1f} MB"
        started = time.monotonic()
        self.figures["engine"] = self.machine.run("waspi --version", timeout=60)
        self.figures["waspi --version"] = f"{time.monotonic() - started:.1f} s"
        told = self.machine.run("waspi push", check=False).splitlines()
        if len(told) != 1 or "not installed here" not in told[0]:
            raise Failure(f"the operator's side, which the package leaves out, says: {told}")
        state = self.machine.run("systemctl is-active waspi", check=False)
        if state != "inactive":
            raise Failure(f"the service is {state} right after the installation")

    def broken_configuration(self) -> None:
        """A typing error in the configuration: said once, and no loop."""
        self.machine.run("cp -p /etc/waspi/waspi.toml /root/waspi.toml; echo 'nonsense = 1' >> /etc/waspi/waspi.toml")
        self.machine.run("systemctl start waspi", check=False, timeout=90)
        self.machine.run("for i in $(seq 60); do systemctl is-failed -q waspi && break; sleep 1; done", timeout=90)
        state = self.machine.run("systemctl show -P NRestarts -P ExecMainStatus -P ActiveState waspi").split()
        if state != ["0", "78", "failed"]:
            log = self.machine.run("journalctl -u waspi -n 20 --no-pager -o cat", check=False)
            raise Failure(f"restarts, status, state: {state}; journal:\n{log}")
        lines = self.machine.run("journalctl -u waspi --no-pager -o cat | grep -c nonsense", check=False)
        if lines != "1":
            raise Failure(f"the reason stands {lines} times in the journal, not once")
        self.machine.run("cp -p /root/waspi.toml /etc/waspi/waspi.toml; systemctl reset-failed waspi")

    def missing_broker(self) -> None:
        """No broker when the service starts: it stays up, says so once, and keeps trying."""
        self.provision(port=1)
        self.machine.run("systemctl start waspi", timeout=90)
        self.machine.run("sleep 12", timeout=30)
        state = self.machine.run("systemctl show -P NRestarts -P ActiveState waspi").split()
        lines = self.machine.run("journalctl -u waspi -b --no-pager -o cat -p warning | grep -ci broker", check=False)
        self.machine.run("systemctl stop waspi", timeout=60)
        if state != ["0", "active"]:
            raise Failure(f"restarts and state without a broker: {state}")
        if int(lines or 0) > LINES_WITHOUT_BROKER:
            raise Failure(f"the missing broker stands {lines} times in the journal after 12 s")

    def start(self) -> None:
        """Configured, with the password as a credential of systemd: online, seen from outside."""
        self._broker.start()
        self.provision()
        before = time.monotonic()
        _ = self.outsider
        self.machine.run("systemctl enable --now waspi", timeout=120)
        online = self.outsider.presence("online", since=before, timeout=120)
        self.figures["systemctl start to online"] = f"{online - before:.1f} s"

    def job(self) -> None:
        """A job and its result; the first compiles, the second finds the module warm."""
        for name in ("first", "second"):
            before = time.monotonic()
            self.run_job(f"{name}-job")
            self.figures[f"{name} job, round trip"] = f"{(time.monotonic() - before) * 1000:.0f} ms"

    def posture(self) -> None:
        """The sandbox is real: every part on, reported to the operator, and to be seen in /proc of a worker."""
        sandbox = _find(self.outsider.reported(timeout=30), "seccomp")
        for part in ("seccomp", "landlock", "no_new_privs", "rlimits"):
            if str(sandbox.get(part, "missing")).startswith(("off", "missing")):
                raise Failure(f"{part} is {sandbox.get(part)}: {sandbox}")
        self.figures["sandbox"] = f"seccomp {sandbox['seccomp']}, Landlock {sandbox['landlock']}"
        worker = self._worker()
        seen = self.machine.run(f"grep -E '^(Seccomp|NoNewPrivs|CapEff):' /proc/{worker}/status | tr -d '\\t'").split()
        if seen != ["CapEff:0000000000000000", "NoNewPrivs:1", "Seccomp:2"]:
            raise Failure(f"the worker's /proc says {seen}")
        descriptors = self.machine.run(f"ls /proc/{worker}/fd").split()
        if descriptors != ["0", "1", "2", "3", "4"]:
            raise Failure(f"the worker has the descriptors {descriptors}")

    def memory(self) -> None:
        """What it takes: proportional set size of the agent and of a worker that ran a job."""
        for name, pid in (("agent", self._main_pid()), ("one worker", self._worker())):
            line = self.machine.run(f"grep ^Pss: /proc/{pid}/smaps_rollup")
            self.figures[f"PSS, {name}"] = f"{int(line.split()[1]) / 1024:.1f} MiB"

    def hardening(self) -> None:
        """``systemd-analyze security`` of the running unit."""
        text = self.machine.run("systemd-analyze security waspi --no-pager", timeout=120)
        exposure = float(text.splitlines()[-1].split("waspi.service: ")[1].split()[0])
        self.figures["systemd-analyze security"] = str(exposure)
        if exposure > EXPOSURE:
            raise Failure(f"exposure {exposure}, allowed {EXPOSURE}")

    def killed(self) -> None:
        """SIGKILL of the agent: systemd starts it again, the will says offline in between."""
        before = time.monotonic()
        self.machine.run("systemctl kill -s KILL --kill-whom=main waspi")
        self.figures["SIGKILL to online again"] = f"{self._online(before, 120):.1f} s"
        self.run_job("after-kill")

    def upgrade(self) -> None:
        """The next version from the repository while the agent runs: a restart, and its configuration as it was."""
        before = time.monotonic()
        self.machine.run(
            "md5sum /etc/waspi/waspi.toml > /root/sum && rm -r /root/apt && mv /root/apt-next /root/apt && "
            "apt-get -q update && apt-get -q -y -o Dpkg::Options::=--force-confold upgrade",
            timeout=300,
        )
        version = self.machine.run("dpkg-query -W -f '${Version}' waspi")
        if not version.endswith("+next"):
            raise Failure(f"apt has left version {version} in place")
        self._online(before, 120)
        self.machine.run("md5sum -c /root/sum")
        self.run_job("after-upgrade")

    def fault_35_watchdog(self) -> None:
        """SIGSTOP: it lives but does nothing, so the watchdog ends it and systemd starts it again."""
        before = time.monotonic()
        self.machine.run("systemctl kill -s STOP --kill-whom=main waspi")
        self.figures["SIGSTOP to online again"] = f"{self._online(before, 180):.1f} s"
        if (
            "watchdog"
            not in self.machine.run("journalctl -u waspi -b --no-pager -o cat | grep -i watchdog", check=False).lower()
        ):
            raise Failure("it came back, but not by the watchdog")
        self.run_job("after-watchdog")

    def fault_07_broker_restart(self) -> None:
        """The broker is killed and comes back with an empty store; no restart of the agent is needed."""
        restarts = self.machine.run("systemctl show -P NRestarts waspi")
        before = time.monotonic()
        self._broker.kill()
        self._broker.start()
        self.figures["broker restart to online again"] = f"{self._online(before, 120):.1f} s"
        self.run_job("after-broker")
        if self.machine.run("systemctl show -P NRestarts waspi") != restarts:
            raise Failure("the agent was restarted")

    def fault_14_no_clock(self) -> None:
        """A board without a clock: started in 1970 it is online and works, and it lives through the jump to today."""
        today = self.machine.run("date -u +%s")
        before = time.monotonic()
        self.machine.run(
            "systemctl stop waspi && date -u -s '1970-01-01 00:10:00' && systemctl start waspi", timeout=120
        )
        self._online(before, 120)
        self.run_job("in-1970")
        self.machine.run(f"date -u -s @{today}")
        self.run_job("back-from-1970")
        self._check_not_restarted("the jump of the clock")

    def fault_10_full_disk(self) -> None:
        """No room on the disk: nothing is lost, the agent stays up and goes on when there is room again."""
        self.machine.run("systemctl restart waspi", timeout=120)
        fill = "fallocate -l $(( $(df --output=avail -B1 /var/lib | tail -1) - 4096 )) /var/lib/filler; sync"
        self.machine.run(f"{fill}; dd if=/dev/zero of=/var/lib/filler2 bs=4096 2>/dev/null; true", timeout=60)
        try:
            self.outsider.submit("on-a-full-disk", self._guest, INPUT)
            self.machine.run("sleep 10", timeout=30)
            self._check_not_restarted("the full disk")
        finally:
            self.machine.run("rm -f /var/lib/filler /var/lib/filler2; sync", timeout=60)
        if self.outsider.result("on-a-full-disk", timeout=120)["state"] != "SUCCEEDED":
            raise Failure(f"the job of the full disk: {self.outsider.results('on-a-full-disk')}")

    def read_only_root(self) -> None:
        """A root file system that went read-only: the reason is told once, and no hot loop; it heals when it can."""
        self.machine.run("systemctl stop waspi && sync && echo u > /proc/sysrq-trigger", timeout=90)
        self.machine.run("until grep -q ' / ext4 ro' /proc/mounts; do sleep 1; done", timeout=30)
        mark = self.machine.run("date +%s")
        try:
            self.machine.run("systemctl start waspi", check=False, timeout=90)
            self.machine.run("sleep 15", timeout=40)
            starts = self.machine.run(
                f"journalctl -u waspi --since @{mark} -o cat --no-pager | grep -c '^Starting'", check=False
            )
        finally:
            self.machine.run("mount -o remount,rw /")
        if int(starts or 0) > STARTS_IN_15_S:
            raise Failure(f"the service was started {starts} times in 15 s")
        self.figures["starts in 15 s on a read-only root"] = starts
        before = time.monotonic()
        self._online(before, 120)
        self.run_job("after-read-only")

    def fault_03_power_cut(self) -> None:
        """The plug is pulled while jobs run and wait; every job ends once and well (FAULTS 1 to 5)."""
        slow = _wasm(self._folder, SLOW.format(spins=self.spins))
        for number in range(6):
            self.outsider.submit(f"cut-{number}", slow, b"a", limits={"time_ms": 120_000})
        for number in range(2):  # two cores, two workers
            self.outsider.status(f"cut-{number}", "IN_PROGRESS", timeout=60)
        before = self.power_cycle()
        self.figures["power on to online"] = f"{time.monotonic() - before:.0f} s"
        ends = {number: self.outsider.result(f"cut-{number}", timeout=300) for number in range(6)}
        for number, result in ends.items():
            self._check_end(number, result)
        self.figures["after the power cut"] = ", ".join(
            f"{result['state']}{'' if result.get('attempt', 1) == 1 else ' (attempt 2)'}" for result in ends.values()
        )

    def _check_end(self, number: int, result: dict[str, Any]) -> None:
        if result["state"] != "SUCCEEDED" or result.get("output") != b"b":
            raise Failure(f"cut-{number} did not succeed: {result}")
        if number < 2 and result["attempt"] != 2:  # noqa: PLR2004 - the two that ran when the power went
            raise Failure(f"cut-{number} was running and its second start was not counted: {result}")
        others = [other for other in self.outsider.results(f"cut-{number}") if other != result]
        if others:
            raise Failure(f"cut-{number} has two different results: {result} and {others[0]}")

    def purge(self) -> None:
        """What install.sh says about undoing it: nothing is left, but for what the system itself keeps (its logs)."""
        self.machine.run(
            "apt-get -q -y purge waspi && rm /etc/apt/keyrings/waspi.asc /etc/apt/sources.list.d/waspi.sources",
            timeout=120,
        )
        self.check_nothing_left()

    def power_off(self) -> None:
        """An orderly end."""
        self.figures["power off"] = f"{self.machine.power_off():.0f} s"

    def _check_not_restarted(self, what: str) -> None:
        state = self.machine.run("systemctl show -P NRestarts -P ActiveState waspi").split()
        if state != ["0", "active"]:
            raise Failure(f"{what}: restarts and state are {state}")

    def run_job(self, job: str) -> None:
        """Run the reference guest, and see its answer."""
        self.outsider.submit(job, self._guest, INPUT)
        result = self.outsider.result(job, timeout=120)
        if result["state"] != "SUCCEEDED" or result.get("output") != OUTPUT:
            raise Failure(f"{job}: {result}")

    def _online(self, since: float, timeout: float) -> float:
        return self.outsider.presence("online", since=since, timeout=timeout) - since

    def _main_pid(self) -> int:
        return int(self.machine.run("systemctl show -P MainPID waspi"))

    def _worker(self) -> int:
        """A worker's process; one is started by a job if there is none."""
        self.run_job(f"worker-{time.monotonic_ns()}")
        found = self.machine.run(f"pgrep -P {self._main_pid()} -f waspi.sandbox.worker", check=False).split()
        if not found:
            raise Failure("no worker process after a job")
        return int(found[0])


def _broker(folder: Path) -> Mosquitto:
    passwords = folder / "passwords"
    passwords.touch(mode=0o600)
    subprocess.run(["mosquitto_passwd", "-b", passwords, USER, PASSWORD], check=True, capture_output=True)
    return Mosquitto(folder / "broker", extra=f"user root\npassword_file {passwords}\n")  # else it could not read it


def _wasm(folder: Path, text: str) -> bytes:
    source, module = folder / "slow.wat", folder / "slow.wasm"
    source.write_text(text)
    subprocess.run(["wat2wasm", source, "-o", module], check=True)
    return module.read_bytes()


def _find(tree: object, key: str) -> dict[str, Any]:
    """The first table below ``tree`` that has ``key``."""
    if isinstance(tree, dict):
        if key in tree:
            return tree
        for value in tree.values():
            found = _find(value, key)
            if found:
                return found
    if tree is None:
        raise Failure(f"no {key} in the reported state: {json.dumps(tree)}")
    return {}
