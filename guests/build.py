#!/usr/bin/env python3
"""Build the guests from source with the compilers that this machine has.

Needs Python 3.11 and nothing else of Python; the compilers come from apt, PyPI and npm (``toolchain.py`` says which).
A guest is rebuilt when its source, its command line or its compiler changed. Nothing is left out in silence: a guest
that cannot be built is named with the package that gives the missing tool, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import importlib.util
import json
import lzma
import os
import sys
import tempfile
import time
import tomllib
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolchain import TOOLCHAINS, BuildError, QuickJs, Toolchain

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).resolve().parent
DEFAULT_OUT = HERE.parent / "build" / "guests"
STAMPS = "stamps.json"


@dataclass(frozen=True)
class Guest:
    """One module to make."""

    name: str
    """Name of the output below the output folder, without ``.wasm``: ``append-rust``, ``hostile/loop_in_entry``."""
    toolchain: str
    """Key of ``TOOLCHAINS``, or ``generator`` for bytes that a Python function makes."""
    source: Path
    abi: Path | None = None
    """ABI description to put beside the module."""
    options: dict[str, Any] = field(default_factory=dict)
    """What else the manifest says; the toolchain reads it."""


def read_manifests() -> list[Guest]:
    """All guests: those of ``guests.toml`` first, then the hostile ones."""
    guests = []
    for name, entry in tomllib.loads((HERE / "guests.toml").read_text()).items():
        options = {key: value for key, value in entry.items() if key not in {"toolchain", "source", "abi"}}
        abi = HERE / entry["abi"] if "abi" in entry else None
        guests.append(Guest(name, entry["toolchain"], HERE / entry["source"], abi, options))
    for name, entry in tomllib.loads((HERE / "hostile" / "expected.toml").read_text()).items():
        if "generator" in entry:
            source = HERE / "hostile" / f"{entry['generator']}.py"
            guests.append(Guest(f"hostile/{name}", "generator", source, options={"function": name}))
        else:
            source = HERE / "hostile" / f"{name}.wat"
            guests.append(Guest(f"hostile/{name}", "wabt", source, options={"flags": entry.get("flags", [])}))
    return guests


def select(guests: list[Guest], wanted: list[str]) -> list[Guest]:
    """The guests that ``--only`` names; ``hostile`` or ``append`` takes all of that family."""
    if not wanted:
        return guests
    chosen = []
    for name in wanted:
        found = [g for g in guests if g.name == name] or [
            g for g in guests if g.name.startswith((f"{name}-", f"{name}/"))
        ]
        if not found:
            raise BuildError(f"no guest is called {name!r}: `build.py --list` shows their names")
        chosen += [guest for guest in found if guest not in chosen]
    return chosen


def generate(guest: Guest) -> bytes:
    """Call the Python function that makes a module which no text format can say."""
    spec = importlib.util.spec_from_file_location(guest.source.stem, guest.source)
    if spec is None or spec.loader is None:
        raise BuildError(f"{guest.source} is no Python file")
    module = importlib.util.module_from_spec(spec)
    if str(guest.source.parent) not in sys.path:
        sys.path.append(str(guest.source.parent))  # for binary.py, which stands beside it
    spec.loader.exec_module(module)
    made: bytes = getattr(module, guest.options["function"])()
    return made


def write_file(path: Path, content: bytes) -> None:
    """Write so that a reader sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as temporary:
        temporary.write(content)
    Path(temporary.name).chmod(0o644)
    Path(temporary.name).replace(path)


def package(wasm: bytes, packed: Path, facts: Path, version: str) -> None:
    """Put a module where the wheel takes it from, compressed, and the facts of it beside it."""
    # A dictionary of 1 MiB is as good as a larger one here, and unpacking takes no more memory than that.
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 1 << 20}]
    write_file(packed, lzma.compress(wasm, format=lzma.FORMAT_XZ, filters=filters))
    digest = hashlib.sha256(wasm).hexdigest()
    write_file(facts, json.dumps({"engine": version, "sha256": digest, "bytes": len(wasm)}).encode() + b"\n")


def digest(paths: list[Path]) -> str:
    """One hash of what stands in these files; empty when one of them is not there."""
    try:
        return hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in paths)).hexdigest()
    except FileNotFoundError:
        return ""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one build at a time work in ``folder``: tests and ``make`` may start one each."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Builder:
    """Builds guests into one folder and remembers from what each was made."""

    def __init__(self, out: Path, *, quiet: bool) -> None:
        self.out = out
        self.quiet = quiet
        self.found: dict[str, Toolchain | BuildError] = {}
        try:
            self.stamps: dict[str, list[str]] = json.loads((out / STAMPS).read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            self.stamps = {}

    def toolchain(self, name: str) -> Toolchain:
        """Find the compiler, once; raises ``BuildError`` with the package to install."""
        if name not in self.found:
            try:
                self.found[name] = TOOLCHAINS[name](self.say)
            except BuildError as error:
                self.found[name] = error
        found = self.found[name]
        if isinstance(found, BuildError):
            raise found
        return found

    def say(self, text: str) -> None:
        """Show progress."""
        if not self.quiet:
            sys.stderr.write(f"{text}\n")

    def build(self, guest: Guest) -> bool:
        """Build when needed; ``True`` when something was made. Raises ``BuildError``."""
        target = self.out / f"{guest.name}.wasm"
        toolchain = None if guest.toolchain == "generator" else self.toolchain(guest.toolchain)
        identity = sys.version if toolchain is None else toolchain.identity(guest.options)
        stamp = hashlib.sha256(repr((identity, sorted(guest.options.items()))).encode())
        # One hash for each input: a build that includes its sibling files must see their changes too.
        inputs = sorted(guest.source.parent.glob("*.py")) if toolchain is None else toolchain.inputs(guest.source)
        for path in [*inputs, *([guest.abi] if guest.abi else [])]:
            stamp.update(hashlib.sha256(path.read_bytes()).digest())
        outputs = [target] if guest.abi is None else [target, self.out / f"{guest.name}.abi.toml"]
        packaged = HERE.parent / guest.options["package"] if "package" in guest.options else None
        if packaged is not None:
            outputs += [packaged, packaged.with_suffix("").with_suffix(".json")]
        if self.stamps.get(guest.name) == [stamp.hexdigest(), digest(outputs)]:
            return False
        begun = time.monotonic()
        if toolchain is None:
            write_file(target, generate(guest))
        else:
            with tempfile.TemporaryDirectory(dir=self.out) as scratch:
                made = Path(scratch) / "guest.wasm"
                toolchain.compile(guest.source, made, guest.options)
                write_file(target, made.read_bytes())
        if guest.abi is not None:
            write_file(outputs[1], guest.abi.read_bytes())
        if packaged is not None and isinstance(toolchain, QuickJs):
            package(target.read_bytes(), packaged, outputs[-1], toolchain.version(guest.source))
        self.stamps[guest.name] = [stamp.hexdigest(), digest(outputs)]
        self.say(f"built {guest.name:24} {target.stat().st_size:>9,} bytes  {time.monotonic() - begun:5.2f} s")
        return True

    def close(self) -> None:
        """Keep what is known about the outputs."""
        write_file(self.out / STAMPS, json.dumps(self.stamps, indent=0, sort_keys=True).encode())


def build(guests: list[Guest], out: Path, *, quiet: bool) -> list[str]:
    """Build all of them; returns one line for each that failed."""
    failed: list[str] = []
    made = 0
    with locked(out):
        builder = Builder(out, quiet=quiet)
        try:
            for guest in guests:
                try:
                    made += builder.build(guest)
                except BuildError as error:
                    failed.append(f"{guest.name}: {error}")
        finally:
            builder.close()
    kept = len(guests) - made - len(failed)
    builder.say(f"{len(guests)} guests in {out}: {made} built, {kept} up to date, {len(failed)} failed")
    return failed


def main(arguments: list[str] | None = None) -> int:
    """Entry of the script; returns the exit status: 0, 1 when a guest was not built, 2 for wrong use."""
    parser = argparse.ArgumentParser(
        description="Build the WebAssembly guests from source.", epilog="Exit: 0, or 1 when a guest could not be built."
    )
    parser.add_argument(
        "--only",
        metavar="NAME",
        action="append",
        default=[],
        help="build this guest, or all of a family: append, hostile (may be repeated)",
    )
    parser.add_argument(
        "--out", metavar="DIR", type=Path, default=DEFAULT_OUT, help="where the modules go (default: build/guests)"
    )
    parser.add_argument("--list", action="store_true", help="show the guests and the toolchain that each needs")
    parser.add_argument("--quiet", action="store_true", help="say only what went wrong")
    chosen = parser.parse_args(arguments)
    try:
        guests = select(read_manifests(), chosen.only)
    except BuildError as error:
        parser.error(str(error))
    if chosen.list:
        for guest in guests:
            sys.stdout.write(f"{guest.name:40} {guest.toolchain:16} {os.path.relpath(guest.source)}\n")
        return 0
    failed = build(guests, chosen.out.resolve(), quiet=chosen.quiet)
    for line in failed:
        sys.stderr.write(f"not built: {line}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
