"""A whole board in QEMU: kernel, systemd as PID 1, disk, network, and a root shell on a virtio console."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

from cross.failure import Failure
from cross.image import Image
from cross.initrd import GATEWAY

CPU = "cortex-a53"  # the weakest of the 64-bit boards: an instruction it lacks shows
MEMORY_MIB = 1024
PROMPT = "@@waspi@@"
HOST = GATEWAY
"""The machine that QEMU runs on, as the board sees it: its loopback."""


class Machine:
    """One board. The disk outlives the object, so that a second one can boot what the first left."""

    def __init__(self, image: Image, disk: Path, folder: Path, *, parcel: Path | None = None) -> None:
        self._image = image
        self._disk = disk
        self._folder = folder
        self._parcel = parcel
        self._running: subprocess.Popen[bytes] | None = None
        self._shell: socket.socket | None = None
        self._counter = 0

    def start(self, timeout: float = 240) -> float:
        """Switch on and wait for the root shell; the seconds that took."""
        path = self._folder / "console"
        path.unlink(missing_ok=True)
        self._running = subprocess.Popen(
            self._command(path),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=(self._folder / "qemu.log").open("ab"),
        )
        started = time.monotonic()
        self._shell = self._connect(path, started + 20)
        while True:
            try:
                self._counter += 1
                self.run("stty -echo; PS1= PS2=; export TERM=dumb PAGER=cat", timeout=5)
                return time.monotonic() - started
            except TimeoutError:
                if time.monotonic() - started > timeout:
                    raise Failure(f"no shell after {timeout:.0f} s; see {self._folder}/serial.log") from None

    def run(self, command: str, *, timeout: float = 60, check: bool = True) -> str:
        """Run in the root shell; its output. Raise Failure when it fails (unless ``check`` is false)."""
        self._counter += 1
        end = f"{PROMPT}{self._counter}:"
        self._console.sendall(f"{{ {command}\n}} 2>&1; printf '\\n{PROMPT}%s:%s;\\n' {self._counter} $?\n".encode())
        text = self._read_until(re.compile(re.escape(end) + r"(\d+);"), timeout)
        match = re.search(re.escape(end) + r"(\d+);", text)
        if match is None:
            raise Failure(f"the board's console is out of step: {text[-200:]}")
        output = text[: match.start()].replace("\r", "").strip("\n")
        if check and match[1] != "0":
            raise Failure(f"on the board: {command.splitlines()[0][:100]} ended with status {match[1]}:\n{output}")
        return output

    def cut_power(self) -> None:
        """As if the plug was pulled: nothing on the board gets to know."""
        self._end(signal.SIGKILL)

    def power_off(self, timeout: float = 60) -> float:
        """Shut down in order; the seconds that took."""
        started = time.monotonic()
        self._console.sendall(b"systemctl poweroff\n")
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.cut_power()
            raise Failure(f"the board did not power off in {timeout:.0f} s") from None
        self._close()
        return time.monotonic() - started

    def close(self) -> None:
        """End it, however it is."""
        if self._running is not None and self._running.poll() is None:
            self._end(signal.SIGKILL)
        self._close()

    @property
    def _process(self) -> subprocess.Popen[bytes]:
        if self._running is None:
            raise Failure("the board is off")
        return self._running

    @property
    def _console(self) -> socket.socket:
        if self._shell is None:
            raise Failure("the board is off")
        return self._shell

    def _command(self, console: Path) -> list[str]:
        kernel = (
            "root=/dev/vda rw console=ttyAMA0 quiet loglevel=3 panic=1 net.ifnames=0 "
            "systemd.show_status=0 systemd.debug_shell=hvc0"
        )
        words = [
            "qemu-system-aarch64", "-M", "virt", "-cpu", CPU, "-smp", "2", "-m", str(MEMORY_MIB), "-no-reboot",
            "-nodefaults", "-display", "none",
            "-kernel", self._image.kernel, "-initrd", self._image.initrd, "-append", kernel,
            "-drive", f"file={self._disk},format=raw,if=none,id=disk,cache=writethrough",
            "-device", "virtio-blk-pci,drive=disk",
            "-netdev", "user,id=net,ipv6=off", "-device", "virtio-net-pci,netdev=net,romfile=",
            "-device", "virtio-rng-pci",
            "-chardev", f"socket,id=shell,path={console},server=on,wait=off", "-device", "virtio-serial-pci",
            "-device", "virtconsole,chardev=shell",
            "-serial", f"file:{self._folder}/serial.log",
        ]  # fmt: skip
        if self._parcel is not None:
            words += ["-drive", f"file={self._parcel},format=raw,if=none,id=parcel,readonly=on"]
            words += ["-device", "virtio-blk-pci,drive=parcel"]
        return [str(word) for word in words]

    def _connect(self, path: Path, deadline: float) -> socket.socket:
        console = socket.socket(socket.AF_UNIX)
        while True:
            try:
                console.connect(str(path))
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    log = (self._folder / "qemu.log").read_text(errors="replace")
                    raise Failure(f"QEMU did not start: {log[-500:]}") from None
                time.sleep(0.05)
            else:
                return console

    def _read_until(self, pattern: re.Pattern[str], timeout: float) -> str:
        deadline = time.monotonic() + timeout
        data = b""
        while True:
            self._console.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                chunk = self._console.recv(65536)
            except TimeoutError:
                raise TimeoutError(
                    f"no answer in {timeout:.0f} s; so far: {data[-500:].decode(errors='replace')}"
                ) from None
            if not chunk:
                raise Failure("the board is gone: QEMU ended")
            data += chunk
            text = data.decode(errors="replace")
            if pattern.search(text):
                return text

    def _end(self, number: signal.Signals) -> None:
        os.kill(self._process.pid, number)
        self._process.wait()
        self._close()

    def _close(self) -> None:
        if self._shell is not None:
            self._shell.close()
            self._shell = None
