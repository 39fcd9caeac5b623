"""Debian's archive as a machine of another suite and architecture sees it, without touching this machine's own apt.

apt does the work (signatures, dependencies) from a private set of folders that pretends to be an empty machine of that
architecture. Packages are kept under their SHA-256, so the list that apt resolves also names what is built from it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from cross import cache
from cross.command import run
from cross.failure import Failure

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
REFRESH_SECONDS = 6 * 3600
STAMP = "refreshed"
DOWNLOADS = 6
ATTEMPTS = 3


@dataclass(frozen=True)
class Package:
    """A .deb of the archive."""

    file: str
    url: str
    sha256: str


class Archive:
    """One suite (with its security updates) for one Debian architecture."""

    def __init__(self, suite: str, architecture: str) -> None:
        self.suite = suite
        self.architecture = architecture
        self._folder = cache.root() / "apt" / f"{suite}-{architecture}"
        self._substitutes: dict[str, str] = {}

    def resolve(self, *packages: str) -> list[Package]:
        """Every package that an empty machine needs to have ``packages`` (``name`` or ``name=version``).

        What was found is kept: it serves again until the lists are fetched anew, and after that when they cannot be
        fetched or contradict themselves, which is said aloud.
        """
        kept = self._folder / f"resolved-{cache.key(*packages)}.json"
        stamp = self._folder / STAMP
        if kept.exists() and self._is_fresh(stamp) and kept.stat().st_mtime >= stamp.stat().st_mtime:
            return _read(kept)
        try:
            self._refresh()
            found = self._ask(packages)
        except Failure as failure:
            if not kept.exists():
                raise
            print(f"warning: {failure}\nwarning: taking what was found before for {', '.join(packages)}", flush=True)
            return _read(kept)
        kept.write_text(json.dumps([asdict(package) for package in found]))
        return found

    def _ask(self, packages: tuple[str, ...]) -> list[Package]:
        text = run([*self._apt("apt-get"), "install", "-y", "--print-uris", *packages])
        found = []
        for line in text.splitlines():
            match = re.match(r"'(?P<url>[^']+)' (?P<file>\S+) \d+ SHA256:(?P<sha256>[0-9a-f]{64})", line)
            if match:
                url = match["url"]
                for local, remote in self._substitutes.items():
                    url = url.replace(local, remote)
                found.append(Package(match["file"], url, match["sha256"]))
        if not found:
            raise Failure(f"apt found nothing to fetch for {', '.join(packages)} in {self.suite}/{self.architecture}")
        return sorted(found, key=lambda package: package.file)

    def only(self, *packages: str) -> list[Package]:
        """Just ``packages``, without what they depend on."""
        wanted = {package.split("=")[0] for package in packages}
        return [package for package in self.resolve(*packages) if package.file.split("_")[0] in wanted]

    def _apt(self, program: str) -> list[str]:
        return ["env", f"APT_CONFIG={self._folder / 'apt.conf'}", "LC_ALL=C", program]

    def _is_fresh(self, stamp: Path) -> bool:
        return stamp.exists() and time.time() - stamp.stat().st_mtime < REFRESH_SECONDS

    def _refresh(self) -> None:
        stamp = self._folder / STAMP
        self._write_configuration()
        self._read_substitutes()
        if self._is_fresh(stamp):
            return
        print(f"[fetch ] package lists of {self.suite}/{self.architecture}", flush=True)
        sources = self._sources()
        self._set_sources(sources)
        try:
            run(
                [
                    *self._apt("apt-get"),
                    "update",
                    "-o",
                    "APT::Update::Error-Mode=any",
                    "-o",
                    f"Acquire::Retries={ATTEMPTS}",
                ]
            )
        except Failure as failure:
            if "unexpected size" not in str(failure) and "Hash Sum mismatch" not in str(failure):
                raise
            self._use_stale_lists(sources)
        stamp.touch()

    def _write_configuration(self) -> None:
        for name in ("lists/partial", "cache/archives/partial", "stale"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        (self._folder / "status").touch()
        (self._folder / "apt.conf").write_text(
            f'APT::Architecture "{self.architecture}";\n'
            f'APT::Architectures {{ "{self.architecture}"; }};\n'
            f'Dir::Etc::sourcelist "{self._folder}/sources.list";\n'
            'Dir::Etc::sourceparts "/dev/null";\nDir::Etc::parts "/dev/null";\n'
            'Dir::Etc::preferences "/dev/null";\nDir::Etc::preferencesparts "/dev/null";\n'
            f'Dir::State::lists "{self._folder}/lists";\nDir::State::status "{self._folder}/status";\n'
            f'Dir::Cache "{self._folder}/cache";\n'
            'Acquire::Languages "none";\nAcquire::ForceHash "SHA256";\nAPT::Install-Recommends "false";\n'
            'APT::Sandbox::User "root";\n'  # the cache may lie in a home folder that _apt may not enter
        )

    def _sources(self) -> list[tuple[str, str]]:
        """``(mirror, distribution)`` of the suite and of its security updates, from this machine's own sources."""
        text = run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME) $(LABEL)", "Created-By: Packages"])
        mirrors: dict[str, str] = {}
        for line in text.splitlines():
            uri, _, label = line.split(" ", 2)
            mirrors.setdefault(label, uri.rstrip("/"))
        if "Debian" not in mirrors:
            raise Failure("apt on this machine knows no Debian archive: run 'apt-get update' and check its sources")
        sources = [(mirrors["Debian"], self.suite)]
        if "Debian-Security" in mirrors:
            sources.append((mirrors["Debian-Security"], f"{self.suite}-security"))
        return sources

    def _set_sources(self, sources: list[tuple[str, str]]) -> None:
        lines = (f"deb [signed-by={KEYRING}] {mirror} {distribution} main" for mirror, distribution in sources)
        (self._folder / "sources.list").write_text("\n".join(lines) + "\n")

    def _use_stale_lists(self, sources: list[tuple[str, str]]) -> None:
        """Take lists that are older than the signed Release file beside them, as a mirror in mid-sync serves them.

        They cannot be verified (the Release file that names them is gone), so this is said aloud, and
        ``WASPI_STRICT_APT=1`` refuses it.
        """
        if os.environ.get("WASPI_STRICT_APT") == "1":
            raise Failure(f"the mirror's lists for {self.suite}/{self.architecture} do not match its Release file")
        lines = []
        for mirror, distribution in sources:
            folder = self._folder / "stale" / distribution
            folder.mkdir(parents=True, exist_ok=True)
            url = f"{mirror}/dists/{distribution}/main/binary-{self.architecture}/Packages.xz"
            (folder / "Packages.xz").write_bytes(_download(url))
            (folder / "mirror").write_text(mirror)
            lines.append(f"deb [trusted=yes] file:{folder} ./")
        print(
            f"warning: the mirror is out of step with its own Release file for {self.suite}/{self.architecture}; "
            "taking its package lists unverified (WASPI_STRICT_APT=1 refuses)",
            flush=True,
        )
        (self._folder / "sources.list").write_text("\n".join(lines) + "\n")
        run([*self._apt("apt-get"), "update"])
        self._read_substitutes()

    def _read_substitutes(self) -> None:
        for file in (self._folder / "stale").glob("*/mirror"):
            self._substitutes[f"file:{file.parent}/"] = file.read_text() + "/"


def _read(file: Path) -> list[Package]:
    return [Package(**fields) for fields in json.loads(file.read_text())]


def fetch(packages: list[Package]) -> list[Path]:
    """The packages as files, in the same order; each is downloaded once and its SHA-256 checked."""
    with ThreadPoolExecutor(DOWNLOADS) as pool:
        return list(pool.map(_fetch_one, packages))


def _fetch_one(package: Package) -> Path:
    path = cache.root() / "debs" / f"{package.sha256[:16]}-{package.file}"
    if path.exists():
        return path
    data = _download(package.url)
    if hashlib.sha256(data).hexdigest() != package.sha256:
        raise Failure(f"{package.file}: not the bytes that the package list promises; the mirror is damaged or in sync")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(data)
    temporary.rename(path)
    return path


def _download(url: str) -> bytes:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with urllib.request.urlopen(url, timeout=120) as response:  # noqa: S310 - the mirror of apt
                body: bytes = response.read()
                return body
        except OSError as error:
            if attempt == ATTEMPTS:
                raise Failure(f"cannot fetch {shlex.quote(url)}: {error}") from error
            time.sleep(attempt)
    raise AssertionError("unreachable")


def name(packages: list[Package]) -> str:
    """A name for a set of packages, for :func:`cross.cache.key`."""
    return cache.key(*(package.sha256 for package in packages))
