"""Builds the Debian package for one kind of board: ``python3 -m cross.deb --target aarch64``.

A virtual environment of our own below ``/usr/lib/waspi``, put together from the wheelhouse, with the units, a
configuration and the scripts that debhelper writes. One package serves bookworm's Python 3.11 and trixie's 3.13.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from email.utils import formatdate
from fnmatch import fnmatch
from pathlib import Path

from cross import cache, reproducible
from cross.command import need, run
from cross.failure import Failure, exit_with
from cross.target import TARGETS, Target, add_target_argument
from cross.wheelhouse import wheelhouse

RECIPE = Path(__file__).with_name("debian")
HOME = Path("usr/lib/waspi")
# The agent, signed jobs, updates over the air. The operator's command line is for other machines: waspi[cli] by pip.
PACKAGES = (
    "waspi", "paho_mqtt", "cbor2", "cryptography", "cffi", "tuf", "securesystemslib", "urllib3",
)  # fmt: skip
LEFT_OUT = (
    "waspi/fleet/*",  # the operator's side: needs typer and rich, which are not here
    "waspi/cli/*",
    "securesystemslib/_vendor/ed25519/test_data/*",  # 2.4 MB
    "*/tests/*",
    "cffi/*",  # cryptography uses the library beside it, _cffi_backend, and never writes C
    "cryptography/x509/*",  # certificates of mTLS are OpenSSL's affair, in Python's own ssl
    "urllib3/contrib/*",  # browsers' Pythons and SOCKS
    "tuf/repository/*",  # for who makes repositories
    "*.pyi",
    "*.h",
    "*/.gitignore",
    "*.sh",
    "*.dist-info/RECORD",  # of the wheel, not of what is installed
)
KEPT = ("waspi/cli/__init__.py", "waspi/cli/app.py")  # they say that the command line is not installed here
LAUNCHER = '#!/bin/sh\nexec /usr/lib/waspi/bin/python3 -I -m waspi "$@"\n'
CONFIGURATION_HEAD = "# The agent's configuration. Set broker.url, then: systemctl enable --now waspi\n#\n"


def deb(target: Target) -> Path:
    """The package's file."""
    need("dh", "dpkg-buildpackage", "lintian", f"{target.gcc}-strip")
    wheels = wheelhouse(target)
    units = [cache.CHECKOUT / "systemd", cache.CHECKOUT / "agent/waspi/cli/units"]
    parts = [RECIPE, Path(__file__), Path(reproducible.__file__), *units]
    name = f"{target.name}-{cache.key(wheels.name, cache.content(parts), _configuration())}"

    folder = cache.built("deb", name, lambda folder: package(target, wheels, folder))
    return next(folder.glob("*.deb"))


def package(target: Target, wheels: Path, folder: Path) -> None:
    """Put the package made of those wheels into ``folder``."""
    with tempfile.TemporaryDirectory(dir=cache.root()) as temporary:
        tree = Path(temporary) / "waspi"
        shutil.copytree(RECIPE, tree / "debian")
        _stage(tree / "payload", wheels, target)
        _write_changelog(tree / "debian" / "changelog")
        env = {"DEB_BUILD_OPTIONS": "nocheck", **reproducible.environment(cache.CHECKOUT)}
        run(["dpkg-buildpackage", "-b", "-us", "-uc", "-d", f"-a{target.debian}"], cwd=tree, env=env)
        made = next(Path(temporary).glob("waspi_*.deb"))
        # As pickier people than us read it; a warning is not our business to fail on, an error is.
        run(["lintian", "--fail-on", "error", "--tag-display-limit", "0", made])
        shutil.copy2(made, folder)


def _stage(payload: Path, wheels: Path, target: Target) -> None:
    packages = payload / HOME / "lib" / "site-packages"
    packages.mkdir(parents=True)
    for wheel in sorted(wheels.glob("*.whl")):
        if wheel.name.split("-")[0] in PACKAGES:
            _unpack(wheel, packages)
    for library in packages.rglob("*.so"):
        run([f"{target.gcc}-strip", "--strip-unneeded", library])
    for python in ("python3.11", "python3.13"):
        (payload / HOME / "lib" / python).mkdir()
        (payload / HOME / "lib" / python / "site-packages").symlink_to("../site-packages")
    programs = payload / HOME / "bin"
    programs.mkdir()
    (programs / "python3").symlink_to("/usr/bin/python3")
    (payload / HOME / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n")
    (programs / "waspi").write_text(LAUNCHER)
    (programs / "waspi").chmod(0o755)
    (payload / "usr/bin").mkdir()
    (payload / "usr/bin/waspi").symlink_to("../lib/waspi/bin/waspi")
    systemd = cache.CHECKOUT / "systemd"
    units = payload / "lib/systemd/system"
    units.mkdir(parents=True)
    shutil.copyfile(systemd / "waspi.service", units / "waspi.service")  # the depot's is for who has the command line
    (payload / "usr/lib/tmpfiles.d").mkdir()
    shutil.copyfile(systemd / "waspi.tmpfiles", payload / "usr/lib/tmpfiles.d/waspi.conf")
    shutil.copytree(systemd / "drop-ins", payload / "usr/share/doc/waspi/drop-ins")
    (payload / "etc/waspi").mkdir(parents=True)
    (payload / "etc/waspi/waspi.toml").write_text(CONFIGURATION_HEAD + _configuration())


def _unpack(wheel: Path, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            left_out = any(fnmatch(member.filename, pattern) for pattern in LEFT_OUT)
            if member.is_dir() or (left_out and member.filename not in KEPT):
                continue
            path = Path(archive.extract(member, folder))
            path.chmod(0o644)


def _configuration() -> str:
    """The example that ``waspi config example`` prints, every key with its default."""
    script = "from waspi.cli.config_example import example; print(example(), end='')"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(cache.CHECKOUT / "agent")},
        capture_output=True,
        check=True,
        text=True,
    )
    return done.stdout


def _write_changelog(file: Path) -> None:
    version = tomllib.loads((cache.CHECKOUT / "agent/native/Cargo.toml").read_text())["package"]["version"]
    file.write_text(
        f"waspi ({version}) stable; urgency=medium\n\n  * See /usr/share/doc/waspi or the project's CHANGELOG.\n\n"
        f" -- The waspi authors <waspi@example.org>  {formatdate(reproducible.epoch())}\n"
    )


def installed_bytes(file: Path) -> int:
    """What the package takes on the board's disk, in bytes."""
    return int(run(["dpkg-deb", "--field", file, "Installed-Size"])) * 1024


def main() -> int:
    """Build, print sizes and the file's path."""
    parser = argparse.ArgumentParser(description="Build the Debian package for one kind of board.")
    add_target_argument(parser)
    parser.add_argument("--output", type=Path, help="also copy the package to this folder")
    arguments = parser.parse_args()
    if os.uname().machine != "x86_64":
        raise Failure("cross builds start from an x86_64 machine; on a board, use pip")
    file = deb(TARGETS[arguments.target])
    if arguments.output:
        arguments.output.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, arguments.output)
    print(f"{file.stat().st_size / 1e6:.2f} MB, installed {installed_bytes(file) / 1e6:.2f} MB", file=sys.stderr)
    print(file)
    return 0


if __name__ == "__main__":
    exit_with(main)
