"""The disk of a board: Debian with systemd, and the kernel to boot it.

The kernel is arm64's for 32-bit boards as well, as Raspberry Pi OS has it on everything since the Pi 3.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cross import archive, cache, initrd
from cross.archive import Archive
from cross.command import need, run
from cross.failure import Failure
from cross.rootfs import BASE, rootfs
from cross.target import TARGETS, Target

KERNEL = TARGETS["aarch64"]
SUITE = "trixie"
# perl-base is on every Debian; the packages' helpers that start and stop services are written in it.
PACKAGES = (*BASE, "apt", "gpg", "perl-base", "systemd", "systemd-sysv", "udev", "kmod", "iproute2")
BOOTED_MODULES = (*initrd.MODULES, "virtio-rng", "autofs4")
SIZE_MIB = 900
# Work of a first boot that has nothing to do with the test, and takes minutes under emulation.
MASKED = (
    "systemd-hwdb-update.service", "systemd-journal-catalog-update.service", "ldconfig.service",
    "systemd-binfmt.service", "systemd-firstboot.service", "systemd-udev-settle.service", "getty@tty1.service",
    "serial-getty@ttyAMA0.service", "serial-getty@hvc0.service", "systemd-pcrphase.service", "e2scrub_reap.service",
    "dpkg-db-backup.timer", "fstrim.timer", "systemd-update-utmp.service", "systemd-update-utmp-runlevel.service",
)  # fmt: skip


@dataclass(frozen=True)
class Image:
    """What QEMU needs; do not write to these files."""

    disk: Path
    kernel: Path
    initrd: Path


def image(target: Target) -> Image:
    """The image with the userland of ``target``, built if need be."""
    need("mke2fs", "depmod", "systemd-sysusers")
    resolved = Archive(SUITE, KERNEL.debian).resolve("linux-image-arm64", "busybox-static")
    debs = [package for package in resolved if package.file.startswith(("linux-image-6", "busybox-static"))]
    base = rootfs(target, SUITE, PACKAGES)
    own = cache.content([Path(__file__), Path(initrd.__file__)])
    name = f"{SUITE}-{target.debian}-{cache.key(base.name, archive.name(debs), own)}"

    def build(folder: Path) -> None:
        with tempfile.TemporaryDirectory(dir=cache.root()) as temporary:
            parts = Path(temporary) / "parts"
            for deb in archive.fetch(debs):
                run(["dpkg-deb", "-x", deb, parts])
            modules = next((parts / "usr/lib/modules").iterdir())
            shutil.copy2(next((parts / "boot").glob("vmlinuz-*")), folder / "kernel")
            initrd.write_initrd(folder / "initrd", busybox=parts / "usr/bin/busybox", modules=modules)
            root = Path(temporary) / "root"
            run(["cp", "-a", base, root])
            _install_modules(root, modules)
            _finish(root)
            disk = folder / "disk"
            run(["mke2fs", "-q", "-t", "ext4", "-L", "root", "-d", root, disk, f"{SIZE_MIB}M"])

    folder = cache.built("image", name, build)
    return Image(folder / "disk", folder / "kernel", folder / "initrd")


def _install_modules(root: Path, modules: Path) -> None:
    target = root / "usr/lib/modules" / modules.name
    target.mkdir(parents=True)
    for name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
        shutil.copy2(modules / name, target)
    for name in BOOTED_MODULES:
        found = next(modules.rglob(f"{name}.ko*"), None)
        if found is None:
            raise Failure(f"Debian's kernel has no module {name}")
        shutil.copy2(found, target)
    initrd.depmod(root, modules.name)


def _finish(root: Path) -> None:
    """What systemd's maintainer scripts and an installer would have done."""
    for file in (root / "usr/lib/sysusers.d").glob("*.conf"):
        file.write_text(re.sub(r"^u!", "u", file.read_text(), flags=re.MULTILINE))  # bookworm's tool does not know "u!"
    done = subprocess.run(["systemd-sysusers", "--root", root], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failure(f"systemd-sysusers: {done.stderr.strip()}")
    etc = root / "etc"
    (etc / "machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    (etc / "fstab").write_text("/dev/vda / ext4 rw 0 1\n")
    units = etc / "systemd/system"
    units.mkdir(parents=True, exist_ok=True)
    for unit in MASKED:
        (units / unit).unlink(missing_ok=True)
        (units / unit).symlink_to("/dev/null")
    (units / "default.target").unlink(missing_ok=True)
    (units / "default.target").symlink_to("/usr/lib/systemd/system/multi-user.target")
    (root / "var/log/journal").mkdir(parents=True, exist_ok=True)  # kept across a power cut, to read it afterwards
