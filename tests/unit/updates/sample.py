"""Releases and errors for tests."""

from __future__ import annotations

import hashlib

from waspi.errors import Fault
from waspi.model.release import Release
from waspi.model.result import JobError
from waspi.updates.lifecycle import Life

TRAPPED = JobError(Fault.GUEST, "unreachable", "unreachable was executed")
CRASHED = JobError(Fault.DEVICE, "worker", "the worker was killed by SIGSEGV")
FULL = JobError(Fault.DEVICE, "storage", "no space left")
EXPIRED = JobError(Fault.PUBLISHER, "expired", "too late")
POWER = JobError(Fault.DEVICE, "crashed-device", "the device went down")


def release(version: str, name: str = "append") -> Release:
    return Release(name, version, hashlib.sha256(f"{name}@{version}".encode()).hexdigest(), 100)


def life(version: str, *, retry: int = 0, serial: int = 1) -> Life:
    return Life(release(version), group="kitchen", serial=serial, retry=retry)
