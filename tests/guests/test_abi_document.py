"""The examples in guests/ABI.md can be pasted: they compile with the commands given there, and run."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import waspi
from tests.guests.conftest import ROOT
from waspi import _wasmer
from waspi.model.abi import DEFAULT_ABI
from waspi.model.limits import DEFAULT_LIMITS

sys.path.append(str(ROOT / "guests"))
from toolchain import Rust

TEXT = (ROOT / "guests" / "ABI.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def rustc_with(target: str) -> str:
    """The compiler here that has the target; the document's `rustc` is whichever has it."""
    return str(Rust(lambda _: None).find(target)[0])


@pytest.mark.parametrize("language", ["rust", "c"])
def test_example_compiles_and_runs(language: str, tmp_path: Path) -> None:
    at = next(number for number, (kind, _) in enumerate(BLOCKS) if kind == language)
    source, (shell, commands) = BLOCKS[at][1], BLOCKS[at + 1]
    assert shell == "sh"
    (tmp_path / source.split(":")[0].removeprefix("// ")).write_text(source)
    for line in commands.splitlines():
        command = shlex.split(line)
        if command[0] == "rustc":
            command[0] = rustc_with("wasm32-unknown-unknown")
        subprocess.run(command, cwd=tmp_path, check=True, timeout=120)
    module = waspi.Module.compile(tmp_path / f"shout-{language}.wasm", abi={"entry": "shout"})
    assert module.run("be quiet, \N{HONEYBEE}".encode()).output.decode() == "BE QUIET, \N{HONEYBEE}"
    with module.instantiate(limits=waspi.Limits(memory_bytes=4 << 20)) as instance:
        assert {instance.run(b"a" * 100_000).output for _ in range(100)} == {b"A" * 100_000}


def test_defaults_are_the_models() -> None:
    keys = dict(re.findall(r"^\| `(memory|alloc|entry|headroom)` \| `\"?(\w+)\"?` \|", TEXT, re.MULTILINE))
    assert keys == {name: str(getattr(DEFAULT_ABI, name)) for name in ("memory", "alloc", "entry", "headroom")}


def test_limits_are_the_models() -> None:
    rows = dict(
        re.findall(r"^\| (fuel|linear memory|wall-clock time|output|log)[^|]*\| ([^|]+) \|", TEXT, re.MULTILINE)
    )
    kib = 1024
    assert rows == {
        "fuel": f"{DEFAULT_LIMITS.fuel:,}",
        "linear memory": f"{(DEFAULT_LIMITS.memory_bytes or 0) // kib // kib} MiB",
        "wall-clock time": f"{(DEFAULT_LIMITS.time_ms or 0) // 1000} s",
        "output": f"{(DEFAULT_LIMITS.output_bytes or 0) // kib // kib} MiB",
        "log": f"{(DEFAULT_LIMITS.log_bytes or 0) // kib} KiB",
    }


def test_every_kind_of_a_guests_error_is_explained() -> None:
    groups = {"guest", "module", "abi", "limit"}  # base classes, never raised themselves
    classes = [c for c in vars(waspi.errors).values() if isinstance(c, type) and issubclass(c, waspi.errors.GuestError)]
    table = TEXT[TEXT.index("## What the errors mean") :]
    assert [kind for kind in {c.kind for c in classes} - groups if f"`{kind}`" not in table] == []


def test_bounds_are_the_engines() -> None:
    rows = re.findall(r"^\| `(\w+)`[^|]* \| ([\d,]+) \|", TEXT[TEXT.index("| bound |") :], re.MULTILINE)
    assert len(rows) == 11
    defaults = _wasmer.Bounds()
    assert dict(rows) == {name: f"{getattr(defaults, name):,}" for name, _ in rows}
