"""Running programs inside a root file system, with mounts, processes and a loopback of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

# The namespaces end with the script, and everything in them. It stays, since orphans are handed to it, and it
# reaps them. A new loopback is down; 0x8914 is SIOCSIFFLAGS, 1 IFF_UP.
_SCRIPT = """
set -eu
python3 -c 'import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sH14x", b"lo", 1))'
mount --make-rprivate /
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
mount -t sysfs -o ro sysfs "$1/sys"
mount -t tmpfs tmpfs "$1/tmp"
mount -t tmpfs tmpfs "$1/run"
root=$1
shift
chroot "$root" /usr/bin/env -i HOME=/root LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 \\
    PATH=/opt/waspi/bin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
exit $?
"""


def inside(root: Path, command: Sequence[str]) -> list[str]:
    """The command line that runs ``command`` in ``root``; needs root's rights. It has no network."""
    namespaces = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"]
    return [*namespaces, "sh", "-c", _SCRIPT, "sh", str(root), *command]
