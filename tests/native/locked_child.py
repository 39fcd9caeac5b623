"""Runs code inside a locked-down child process and gives back what it printed."""

import json
import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from typing import Any

LOCK = 'posture = _wasmer.lockdown("worker", keep_fds=KEEP)'

PRELUDE = """
import ctypes, gc, io, json, os, select, signal, socket, sys, threading, time, traceback
import waspi.errors
from waspi import _wasmer

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long

def syscall(number, *arguments):
    \"\"\"0 or more: what the kernel answered; less: minus errno.\"\"\"
    ctypes.set_errno(0)
    answer = libc.syscall(ctypes.c_long(number), *(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments))
    return answer if answer != -1 else -ctypes.get_errno()

def tell(value):
    print(json.dumps(value), flush=True)

KEEP = [0, 1, 2]
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended: exit status (minus the signal's number), its last line of output as JSON, its stderr."""

    status: int
    told: Any
    stderr: str


def environment(**extra: str) -> dict[str, str]:
    """An environment with the way to the package under test and nothing else."""
    return {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry), **extra}


def program(code: str, before: str = "", lock: str = LOCK) -> list[str]:
    """The command of a child that runs ``before``, locks itself down by ``lock``, then runs ``code``."""
    parts = (PRELUDE, textwrap.dedent(before), lock, textwrap.dedent(code))
    # -P as the sandbox's own -I: with the working directory on the path, a lazy import (traceback has one in 3.13)
    # asks where that is, and importlib does not expect a denial.
    return [sys.executable, "-P", "-c", "\n".join(parts)]


def run_locked(
    code: str,
    before: str = "",
    lock: str = LOCK,
    *,
    data: bytes = b"",
    pass_fds: tuple[int, ...] = (),
    **variables: str,
) -> Ended:
    """Run such a child to its end; ``data`` is its stdin, ``variables`` are added to its environment."""
    done = subprocess.run(
        program(code, before, lock),
        input=data,
        capture_output=True,
        env=environment(**variables),
        pass_fds=pass_fds,
        timeout=60,
        check=False,
    )
    lines = done.stdout.decode().splitlines()
    return Ended(done.returncode, json.loads(lines[-1]) if lines else None, done.stderr.decode())
