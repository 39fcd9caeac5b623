"""Makes everything that a release consists of, in one folder: ``python3 -m cross.release --key KEY``.

    dist/release/VERSION/
      waspi-VERSION-*.whl       for x86_64, aarch64 and armv7
      waspi_VERSION_*.deb       for arm64 and armhf
      *.cdx.json                bills of materials (CycloneDX 1.5)
      apt/                      a Debian repository of the packages, signed
      install.sh                adds that repository to a board and installs the agent
      provenance.json           what it was made from, how (in-toto statement v1, SLSA provenance v1)
      SHA256SUMS, SHA256SUMS.asc

It starts from a clean checkout whose commit bears the tag ``vVERSION``. ``--untagged`` makes a trial release from any
commit, for tests; its provenance says so.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import tomllib
import zipfile
from datetime import UTC, datetime
from pathlib import Path

from cross import apt_repository, cache, reproducible
from cross.command import need, run
from cross.deb import deb
from cross.failure import Failure, exit_with
from cross.target import TARGETS
from cross.wheel import wheel

LOCKS = ("requirements.lock", "agent/native/Cargo.lock")
INSTALL = Path(__file__).with_name("install.sh")


def version() -> str:
    """The project's version."""
    return str(tomllib.loads((cache.CHECKOUT / "agent/native/Cargo.toml").read_text())["package"]["version"])


def commit(*, untagged: bool) -> str:
    """The commit that is released; raises Failure where the checkout is not exactly that of the version's tag."""
    head = run(["git", "rev-parse", "HEAD"], cwd=cache.CHECKOUT).strip()
    if untagged:
        return head
    changed = run(["git", "status", "--porcelain"], cwd=cache.CHECKOUT).strip()
    if changed:
        raise Failure(f"the checkout has changes that no commit holds:\n{changed}")
    tags = run(["git", "tag", "--points-at", "HEAD"], cwd=cache.CHECKOUT).split()
    if f"v{version()}" not in tags:
        raise Failure(
            f"no tag v{version()} at this commit (tags here: {', '.join(tags) or 'none'}); make one: git tag -s"
        )
    return head


def digest(file: Path) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def provenance(files: list[Path], head: str, *, untagged: bool) -> str:
    """An in-toto statement: these files come from that commit and those locks, by this command."""
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": file.name, "digest": {"sha256": digest(file)}} for file in files],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "https://waspi.example/release/v1",
                "externalParameters": {"version": version(), "tagged": not untagged},
                "resolvedDependencies": [
                    {"uri": "git+waspi", "digest": {"gitCommit": head}},
                    *({"uri": name, "digest": {"sha256": digest(cache.CHECKOUT / name)}} for name in LOCKS),
                ],
            },
            "runDetails": {
                "builder": {"id": "cross/release.py"},
                "metadata": {"startedOn": datetime.fromtimestamp(reproducible.epoch(), UTC).isoformat()},
            },
        },
    }
    return json.dumps(statement, indent=1, sort_keys=True) + "\n"


def bill_of(file: Path) -> bytes:
    """The bill of materials inside a wheel."""
    with zipfile.ZipFile(file) as archive:
        return archive.read(next(name for name in archive.namelist() if "/sboms/" in name))


def release(folder: Path, targets: list[str], own: Path | None, key: str, *, untagged: bool) -> list[Path]:
    """Fill ``folder`` anew; ``own`` is this machine's wheel, ``key`` the name of gpg's signing key. The files made."""
    head = commit(untagged=untagged)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    wheels = [*([own] if own else []), *(wheel(TARGETS[name]) for name in targets)]
    packages = [deb(TARGETS[name]) for name in targets]
    files = [Path(shutil.copy2(file, folder)) for file in (*wheels, *packages)]
    for file in files[: len(wheels)]:
        bill = folder / f"{file.stem}.cdx.json"
        bill.write_bytes(bill_of(file))
        files.append(bill)
    apt_repository.write(folder / "apt", packages, key)
    script = folder / "install.sh"
    shutil.copyfile(INSTALL, script)
    script.chmod(0o755)
    files += [script, *(file for file in sorted((folder / "apt").rglob("*")) if file.is_file())]
    statement = folder / "provenance.json"
    statement.write_text(provenance(files, head, untagged=untagged))
    sums = folder / "SHA256SUMS"
    sums.write_text("".join(f"{digest(file)}  {file.relative_to(folder)}\n" for file in (*files, statement)))
    run(["gpg", "--batch", "--yes", "--armor", "--local-user", key, "--detach-sign", sums])
    return [*files, statement, sums, folder / "SHA256SUMS.asc"]


def main() -> int:
    """Make the release and list its files."""
    parser = argparse.ArgumentParser(
        description="Make all files of a release.", epilog="example: make release KEY=releases@example.org"
    )
    parser.add_argument("--key", required=True, help="gpg's name of the key that signs the repository and the sums")
    parser.add_argument("--target", action="append", choices=sorted(TARGETS), help="default: every board")
    parser.add_argument("--wheel", type=Path, help="this machine's wheel, from make wheel")
    parser.add_argument("--output", type=Path, help="default: dist/release/VERSION")
    parser.add_argument("--untagged", action="store_true", help="a trial release, from a commit without a tag")
    arguments = parser.parse_args()
    need("gpg", "apt-ftparchive")
    if subprocess.run(["gpg", "--list-secret-keys", arguments.key], capture_output=True, check=False).returncode:
        home = os.environ.get("GNUPGHOME", "~/.gnupg")
        raise Failure(
            f"gpg has no secret key {arguments.key} in {home}; make one: gpg --quick-generate-key {arguments.key}"
        )
    folder = arguments.output or cache.CHECKOUT / "dist" / "release" / version()
    targets = arguments.target or sorted(TARGETS)
    for file in release(folder, targets, arguments.wheel, arguments.key, untagged=arguments.untagged):
        print(f"{file.stat().st_size / 1e6:7.2f} MB  {file.relative_to(folder)}")
    print(folder)
    return 0


if __name__ == "__main__":
    exit_with(main)
