"""A Rust compiler with the standard libraries of the boards, from Debian's packages.

rustup cannot fetch targets on a machine that reaches package registries only. Debian's ``rustc-web`` is as new
as the browsers need it, and its standard library for ARM comes as a package of the foreign architecture: the compiler
of one suite takes the library of another as long as the upstream version is the same.
"""

from __future__ import annotations

import re
from pathlib import Path

from cross import archive, cache
from cross.archive import Archive, Package
from cross.command import run
from cross.failure import Failure
from cross.target import TARGETS

HOST_SUITE = "bookworm"
BOARD_SUITES = ("trixie", "bookworm")
"""Where the boards' libraries may come from: a new version reaches one before the other."""
HOST_PARTS = (
    "rustc-web_", "cargo-web_", "libstd-rust-web",
    # What rustc and cargo load and a bare machine may lack.
    "libllvm", "libz3", "libedit", "libbsd", "libmd0", "libxml2", "libicu",
    "libgit2", "libhttp-parser", "libmbed", "libssh2", "libcurl4", "libnghttp2", "librtmp", "libpsl", "libldap",
    "libsasl2",
)  # fmt: skip


def sysroot() -> Path:
    """The folder of the compiler: ``bin/rustc`` and ``bin/cargo`` inside."""
    try:
        packages, version = _packages()
    except Failure as failure:
        before = sorted((cache.root() / "rust").glob("[0-9]*"), key=lambda folder: folder.stat().st_mtime)
        if not before:
            raise
        print(f"warning: {failure}\nwarning: taking the Rust of before, {before[-1].name}", flush=True)
        return before[-1]

    def build(folder: Path) -> None:
        for deb in archive.fetch(packages):
            run(["dpkg-deb", "-x", deb, folder])
        _write_wrapper(folder, "rustc")
        _write_wrapper(folder, "cargo")
        run([folder / "bin" / "rustc", "--version"])

    return cache.built("rust", f"{version}-{archive.name(packages)}", build)


def _packages() -> tuple[list[Package], str]:
    """What to unpack, and the one version of it; Failure when no suite's libraries are of the compiler's version."""
    host = [
        package
        for package in Archive(HOST_SUITE, "amd64").resolve("rustc-web", "cargo-web")
        if package.file.startswith(HOST_PARTS)
    ]
    seen = set()
    for suite in BOARD_SUITES:
        boards = [
            package
            for target in TARGETS.values()
            for package in Archive(suite, target.debian).only("libstd-rust-web-dev")
        ]
        versions = {_upstream(package.file) for package in host + boards if "rust-web" in package.file}
        if len(versions) == 1:
            return host + boards, versions.pop()
        seen |= versions
    raise Failure(f"Debian's Rust packages are of several versions ({', '.join(sorted(seen))}); try again later")


def _upstream(file: str) -> str:
    match = re.match(r"[^_]+_([0-9.]+)", file)
    if match is None:
        raise Failure(f"{file}: a package file name without a version")
    return match[1]


def _write_wrapper(folder: Path, program: str) -> None:
    """A script, since the libraries do not lie where the program's run path looks; it finds itself after a rename."""
    (folder / "bin").mkdir(exist_ok=True)
    script = folder / "bin" / program
    real = folder / "usr" / "bin" / program
    if not real.is_file():
        raise Failure(f"Debian's packages hold no usr/bin/{program}")
    script.write_text(
        "#!/bin/sh\n"
        'here=$(dirname "$(dirname "$(readlink -f "$0")")")\n'
        'LD_LIBRARY_PATH="$here/usr/lib/x86_64-linux-gnu${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" '
        f'exec "$here/{real.relative_to(folder)}" "$@"\n'
    )
    script.chmod(0o755)
