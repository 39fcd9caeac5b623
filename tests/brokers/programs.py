"""Other brokers' programs, fetched once into the cache from where each is published.

Debian trixie's packages are unpacked beside this machine's own system and run in it by ``chroot``; HiveMQ CE comes from
Maven, mochi from Go's modules, rumqttd from crates.io. Versions are pinned here and in the files beside this one.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cross import archive, cache
from cross.archive import Archive
from cross.command import run
from cross.failure import Failure

HERE = Path(__file__).parent
RUMQTTD = "0.20.0"
WORK = "work"
"""Folder of a Debian system that a broker's own folder is mounted to."""
_DEBIAN = (
    "base-files", "base-passwd", "bash", "coreutils", "dash", "findutils", "grep", "hostname", "libc-bin", "mawk",
    "procps", "sed", "mosquitto", "rabbitmq-server",
)  # fmt: skip
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "armhf"}

# The namespaces, and all processes in them (Erlang leaves a daemon of its own behind), end with the first process.
_ENTER = f"""
set -eu
mount --make-rprivate /
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
mount -t tmpfs tmpfs "$1/tmp"
mount -t tmpfs tmpfs "$1/run"
mount --bind "$2" "$1/{WORK}"
root=$1
shift 2
exec chroot "$root" /usr/bin/env -i LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/{WORK} "$@"
"""


def debian() -> Path:
    """A Debian trixie with mosquitto 2.0.21 and RabbitMQ 4.0 (95 packages, about 70 MB to fetch)."""
    debs = Archive("trixie", _ARCHITECTURES[platform.machine()]).resolve(*_DEBIAN)

    def build(folder: Path) -> None:
        for path in ("bin", "lib", "lib64", "sbin"):
            (folder / "usr" / path).mkdir(parents=True)
            (folder / path).symlink_to(f"usr/{path}")
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda deb: _unpack(deb, folder), archive.fetch(debs)))
        for name in ("passwd", "group"):
            (folder / "etc" / name).write_text((folder / f"usr/share/base-passwd/{name}.master").read_text())
        (folder / "etc/hosts").write_text("127.0.0.1 localhost\n")
        (folder / "usr/bin/awk").symlink_to("mawk")
        (folder / WORK).mkdir()
        run(["ldconfig", "-r", folder])

    return cache.built("brokers", f"debian-{cache.key(archive.name(debs), _ENTER)}", build)


def _unpack(deb: Path, folder: Path) -> None:
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as data:
        tar = ["tar", "-x", "-p", "--no-same-owner", "--keep-directory-symlink", "-C", str(folder)]
        done = subprocess.run(tar, stdin=data.stdout, capture_output=True, text=True, check=False)
    if done.returncode or data.returncode:
        raise Failure(f"cannot unpack {deb.name}: {done.stderr.strip()}")


def in_debian(root: Path, folder: Path, command: list[str]) -> list[str]:
    """The command line that runs ``command`` in a Debian system, with ``folder`` as its ``/work``."""
    namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    if os.geteuid():
        namespaces += ["--user", "--map-root-user"]
    return [*namespaces, "sh", "-c", _ENTER, "sh", str(root), str(folder), *command]


def hivemq() -> Path:
    """The folder of HiveMQ CE's classes; needs Java 11 and Maven."""
    for program in ("java", "mvn"):
        _need(program)

    def build(folder: Path) -> None:
        shutil.copytree(HERE / "hivemq", folder, dirs_exist_ok=True)
        run(["mvn", "-q", "-B", "compile", "dependency:copy-dependencies"], cwd=folder)

    return cache.built("brokers", f"hivemq-{cache.content([HERE / 'hivemq'])}", build) / "target"


def mochi() -> Path:
    """The program; needs Go."""
    _need("go")

    def build(folder: Path) -> None:
        run(["go", "build", "-buildvcs=false", "-o", folder / "mochi", "."], cwd=HERE / "mochi")

    return cache.built("brokers", f"mochi-{cache.content([HERE / 'mochi'])}", build) / "mochi"


def rumqttd() -> Path:
    """The program; needs cargo, and three minutes the first time."""
    _need("cargo")

    def build(folder: Path) -> None:
        target = cache.root() / "target-rumqttd"
        words: list[str | Path] = ["cargo", "install", "--quiet", "--root", folder, "rumqttd", "--version", RUMQTTD]
        run(words, env={"CARGO_TARGET_DIR": str(target)})

    return cache.built("brokers", f"rumqttd-{RUMQTTD}", build) / "bin/rumqttd"


def _need(program: str) -> None:
    if shutil.which(program) is None:
        raise Failure(f"{program} is not installed here")
