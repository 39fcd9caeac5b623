"""Whether this machine can show seccomp at work."""

import platform

import pytest

from tests.native.locked_child import run_locked


def _emulated() -> bool:
    """QEMU's user mode has no seccomp; a real ARM machine and every x86_64 that builds waspi have."""
    if platform.machine() == "x86_64":
        return False
    posture = run_locked("tell(_wasmer.posture()['seccomp'])", lock="")
    return str(posture.told).startswith("off: no seccomp here")


SECCOMP = not _emulated()
needs_seccomp = pytest.mark.skipif(not SECCOMP, reason="seccomp is not there under QEMU's user mode")
