"""An initial RAM disk of busybox and a handful of modules: just enough to mount the disk and start systemd.

Debian's initramfs-tools would have to run on the machine that the image is for; this needs nothing but its files.
"""

from __future__ import annotations

import gzip
import lzma
import subprocess
from pathlib import Path

from cross.failure import Failure

# In the order of their dependencies.
MODULES = (
    "crc32c_generic",
    "libcrc32c",
    "crc16",
    "mbcache",
    "jbd2",
    "ext4",
    "virtio_blk",
    "failover",
    "net_failover",
    "virtio_net",
)
# QEMU's user network, which knows no other answer; set here, so that nothing on the disk has to.
ADDRESS = "10.0.2.15"
GATEWAY = "10.0.2.2"
INIT = """#!/bin/busybox sh
export PATH=/bin
busybox mount -t devtmpfs dev /dev
busybox mount -t proc proc /proc
for module in {modules}; do busybox insmod /modules/$module.ko; done
busybox ip link set lo up
busybox ip addr add {address}/24 dev eth0 && busybox ip link set eth0 up && busybox ip route add default via {gateway}
tries=0
until [ -b /dev/vda ] || [ $tries -gt 100 ]; do busybox usleep 100000; tries=$((tries + 1)); done
busybox mount -t ext4 -o rw /dev/vda /root || exec busybox sh
busybox mount --move /dev /root/dev
busybox umount /proc
exec busybox switch_root /root /sbin/init
"""


def write_initrd(file: Path, *, busybox: Path, modules: Path) -> None:
    """Write the archive; ``modules`` is a kernel's ``/usr/lib/modules/<version>``."""
    entries: list[tuple[str, int, bytes]] = [
        (name, 0o040755, b"") for name in ("bin", "dev", "modules", "proc", "root")
    ]
    entries.append(("bin/busybox", 0o100755, busybox.read_bytes()))
    entries += [(f"modules/{name}.ko", 0o100644, module(modules, name)) for name in MODULES]
    entries.append(
        ("init", 0o100755, INIT.format(modules=" ".join(MODULES), address=ADDRESS, gateway=GATEWAY).encode())
    )
    file.write_bytes(gzip.compress(b"".join(_newc(*entry) for entry in entries) + _newc("TRAILER!!!", 0, b""), 1))


def module(folder: Path, name: str) -> bytes:
    """A module's bytes, unpacked: busybox's insmod knows no xz."""
    found = next(folder.rglob(f"{name}.ko*"), None)
    if found is None:
        raise Failure(f"Debian's kernel in {folder.name} has no module {name}")
    return lzma.decompress(found.read_bytes()) if found.suffix == ".xz" else found.read_bytes()


_inode = iter(range(1, 1_000_000))


def _newc(name: str, mode: int, data: bytes) -> bytes:
    """One entry of a cpio archive in the format that the kernel reads (initramfs buffer format, "newc")."""
    encoded = name.encode() + b"\0"
    fields = (next(_inode), mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(encoded), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
    head += b"\0" * (-len(head) % 4)
    return head + data + b"\0" * (-len(data) % 4)


def depmod(root: Path, version: str) -> None:
    """Write the indexes that udev loads modules by."""
    done = subprocess.run(["depmod", "-b", root, version], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failure(f"depmod: {done.stderr.strip()}")
