"""A Debian repository of our packages, as a folder that any web server serves.

    waspi_VERSION_ARCH.deb      flat: no pool, no components, for a handful of files
    Packages, Packages.gz       by apt-ftparchive
    Release, InRelease          signed with gpg
    waspi.asc                   the public key

Source: https://wiki.debian.org/DebianRepository/Format, "Flat Repository Format".
"""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Mapping
from email.utils import formatdate
from pathlib import Path

from cross import reproducible
from cross.command import run

ORIGIN = "waspi"
ARCHITECTURES = ("arm64", "armhf")
TRIAL = "trial@waspi.example"


def write(folder: Path, packages: list[Path], key: str, env: Mapping[str, str] | None = None) -> None:
    """Make the repository ``folder`` of those packages; ``key`` is gpg's name of the key that signs it."""
    folder.mkdir(parents=True)
    for package in packages:
        shutil.copyfile(package, folder / package.name)
    listed = run(["apt-ftparchive", "packages", "."], cwd=folder)
    (folder / "Packages").write_text(listed)
    (folder / "Packages.gz").write_bytes(gzip.compress(listed.encode(), mtime=reproducible.epoch()))
    fields = {
        "Origin": ORIGIN,
        "Label": ORIGIN,
        "Suite": "stable",
        "Codename": "stable",
        "Architectures": " ".join(ARCHITECTURES),
        "Date": formatdate(reproducible.epoch(), usegmt=True),
    }
    options = [word for name, value in fields.items() for word in ("-o", f"APT::FTPArchive::Release::{name}={value}")]
    text = run(["apt-ftparchive", *options, "release", "."], cwd=folder)
    (folder / "Release").write_text(_dated(text, fields["Date"]))
    sign = ["gpg", "--batch", "--yes", "--armor", "--local-user", key]
    run([*sign, "--clear-sign", "--output", folder / "InRelease", folder / "Release"], env=env)
    run(["gpg", "--batch", "--yes", "--armor", "--output", folder / "waspi.asc", "--export", key], env=env)


def _dated(release: str, date: str) -> str:
    """apt-ftparchive writes the time of its run; the files are older than that."""
    return "".join(
        f"Date: {date}\n" if line.startswith("Date:") else line for line in release.splitlines(keepends=True)
    )


def trial_key(home: Path) -> dict[str, str]:
    """A key of the name :data:`TRIAL` for tests, in the key ring ``home``; the environment in which gpg finds it."""
    home.mkdir(mode=0o700, parents=True)
    env = {"GNUPGHOME": str(home)}
    run(["gpg", "--batch", "--passphrase", "", "--quick-generate-key", TRIAL, "ed25519", "sign", "never"], env=env)
    return env


def raised(package: Path, folder: Path) -> Path:
    """The same package with a higher version, as the next release would have, in ``folder``."""
    tree = folder / "tree"
    run(["dpkg-deb", "--raw-extract", package, tree])
    control = tree / "DEBIAN" / "control"
    control.write_text(
        "".join(
            f"{line.rstrip()}+next\n" if line.startswith("Version:") else line
            for line in control.read_text().splitlines(keepends=True)
        )
    )
    made = folder / package.name.replace("_", "+next_", 2).replace("+next_", "_", 1)
    run(["dpkg-deb", "--root-owner-group", "-Zgzip", "--build", tree, made])
    return made
