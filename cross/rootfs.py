"""A Debian file system of another architecture, unpacked without running its maintainer scripts.

``python3 -m cross.rootfs --target aarch64 --suite trixie``. A real installation under emulation takes half an hour;
what the maintainer scripts would have written, this writes itself. dpkg's database is filled as well, so that packages
with dependencies can be installed on top of it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cross import archive, cache, emulator
from cross.archive import Archive
from cross.command import run
from cross.failure import Failure, exit_with
from cross.inside import inside
from cross.target import TARGETS, Target, add_target_argument

BASE = (
    "base-files", "base-passwd", "bash", "ca-certificates", "coreutils", "dash", "debianutils", "diffutils", "dpkg",
    "findutils", "grep", "gzip", "hostname", "init-system-helpers",
    "libc-bin", "login", "mawk", "passwd", "procps", "python3", "python3-venv",
    "sed", "tar", "tzdata", "util-linux",
)  # fmt: skip
"""What Raspberry Pi OS Lite has as well, and a test run needs."""
BROKER = ("mosquitto", "mosquitto-clients")
USER_MODE = (*BASE, *BROKER)

HOSTS = "127.0.0.1 localhost waspi-test\n::1 localhost\n"
NSSWITCH = "passwd: files systemd\ngroup: files systemd\nshadow: files systemd\nhosts: files dns\n"


def rootfs(target: Target, suite: str, packages: tuple[str, ...] = USER_MODE) -> Path:
    """The folder with ``packages`` and all that they depend on. Do not write to it: it is the cache's."""
    if os.geteuid() != 0:
        raise Failure("a root file system holds files of root: run this as root")
    debs = Archive(suite, target.debian).resolve(*packages)
    name = f"{suite}-{target.debian}-{cache.key(archive.name(debs), cache.content([Path(__file__)]))}"

    def build(folder: Path) -> None:
        files = archive.fetch(debs)
        for path in ("bin", "lib", "sbin"):  # merged before the first package, as Debian's own tools do it
            (folder / "usr" / path).mkdir(parents=True)
            (folder / path).symlink_to(f"usr/{path}")
        if target.debian == "arm64":
            (folder / "usr" / "lib64").mkdir()
            (folder / "lib64").symlink_to("usr/lib64")
        with ThreadPoolExecutor(2) as pool:
            listings = list(pool.map(lambda deb: _unpack(deb, folder), files))
        _fill_dpkg(folder, files, listings)
        _finish(folder)
        _compile_python(folder, target)

    return cache.built("rootfs", name, build)


def _unpack(deb: Path, folder: Path) -> str:
    """Unpack one package; its files' names, one a line."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as data:
        tar = ["tar", "-x", "-v", "-p", "--keep-directory-symlink", "-C", str(folder)]
        done = subprocess.run(tar, stdin=data.stdout, capture_output=True, text=True, check=False)
    if done.returncode != 0 or data.returncode != 0:
        raise Failure(f"cannot unpack {deb.name}: {done.stderr.strip()}")
    return str(done.stdout)


def _fill_dpkg(folder: Path, debs: list[Path], listings: list[str]) -> None:
    database = folder / "var" / "lib" / "dpkg"
    (database / "info").mkdir(parents=True, exist_ok=True)
    (database / "updates").mkdir(exist_ok=True)
    (database / "triggers").mkdir(exist_ok=True)
    status = []
    with ThreadPoolExecutor(2) as pool:
        controls = list(pool.map(lambda deb: run(["dpkg-deb", "--field", deb]), debs))
    for control, listing in zip(controls, listings, strict=True):
        fields = dict(line.split(": ", 1) for line in control.splitlines() if ": " in line and line[0] != " ")
        package = fields["Package"]
        status.append(control.replace("\n", "\nStatus: install ok installed\n", 1))
        stem = f"{package}:{fields['Architecture']}" if fields.get("Multi-Arch") == "same" else package
        names = (line.removeprefix(".").rstrip("/") or "/." for line in listing.splitlines())
        (database / "info" / f"{stem}.list").write_text("\n".join(names) + "\n")
    (database / "status").write_text("\n".join(status))
    (database / "available").touch()
    (database / "info" / "format").write_text("1\n")


def _finish(folder: Path) -> None:
    """What the maintainer scripts would have done."""
    etc = folder / "etc"
    for name in ("passwd", "group"):
        (etc / name).write_text((folder / f"usr/share/base-passwd/{name}.master").read_text())
    (etc / "shadow").write_text("root:*:20000:0:99999:7:::\n")
    (etc / "shadow").chmod(0o640)
    with (etc / "passwd").open("a") as passwd, (etc / "group").open("a") as group:
        passwd.write("mosquitto:x:990:990::/var/lib/mosquitto:/usr/sbin/nologin\n")
        group.write("mosquitto:x:990:\n")
    (etc / "hosts").write_text(HOSTS)
    (etc / "hostname").write_text("waspi-test\n")
    (etc / "nsswitch.conf").write_text(NSSWITCH)
    (etc / "resolv.conf").unlink(missing_ok=True)
    (etc / "resolv.conf").write_text("nameserver 10.0.2.3\n")  # QEMU's, in the full machine
    certificates = sorted((folder / "usr/share/ca-certificates").rglob("*.crt"))
    bundle = etc / "ssl" / "certs" / "ca-certificates.crt"  # pip dies without it, even with --no-index
    bundle.parent.mkdir(parents=True, exist_ok=True)
    bundle.write_text("".join(certificate.read_text() for certificate in certificates))
    for link, to in (("awk", "mawk"), ("which", "which.debianutils")):
        path = folder / "usr" / "bin" / link
        if not path.is_symlink() and not path.exists():
            path.symlink_to(to)
    (folder / "tmp").chmod(0o1777)
    run(["ldconfig", "-r", folder])


def _compile_python(folder: Path, target: Target) -> None:
    """Compile Python's library, as its maintainer script does; without that every start takes several times as long."""
    emulator.register(target)
    library = next((folder / "usr/lib").glob("python3.*"))
    seldom = r"/(test|idlelib|lib2to3|ensurepip|turtledemo|tkinter|pydoc_data)/"
    compileall = ["python3", "-m", "compileall", "-q", "-j", "2", "-x", seldom, f"/usr/lib/{library.name}"]
    run(inside(folder, compileall))


def main() -> int:
    """Print the folder's path."""
    parser = argparse.ArgumentParser(description="Unpack a Debian root file system of another architecture.")
    add_target_argument(parser)
    parser.add_argument("--suite", default="trixie", help="Debian release (default: trixie)")
    arguments = parser.parse_args()
    print(rootfs(TARGETS[arguments.target], arguments.suite))
    return 0


if __name__ == "__main__":
    exit_with(main)
