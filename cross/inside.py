"""Running programs inside a root file system, with mounts and processes of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

# The mount and process namespaces end with the script, and everything in them.
_SCRIPT = """
set -eu
mount --make-rprivate /
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
mount -t sysfs -o ro sysfs "$1/sys"
mount -t tmpfs tmpfs "$1/tmp"
mount -t tmpfs tmpfs "$1/run"
root=$1
shift
exec chroot "$root" /usr/bin/env -i HOME=/root LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 \\
    PATH=/opt/waspi/bin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
"""


def inside(root: Path, command: Sequence[str]) -> list[str]:
    """The command line that runs ``command`` in ``root``; needs root's rights."""
    namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    return [*namespaces, "sh", "-c", _SCRIPT, "sh", str(root), *command]
