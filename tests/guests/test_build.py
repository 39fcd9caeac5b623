"""The build script: names, incremental builds, and what it says when something is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.guests.conftest import BUILD, ROOT


def build(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(BUILD), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, **environment},
    )


def test_list_names_every_source_of_the_tree() -> None:
    listed = build("--list").stdout
    for source in [*(ROOT / "guests").glob("append/*/append.*"), *(ROOT / "guests" / "hostile").glob("*.wat")]:
        assert source.name in listed


def test_unknown_name_is_wrong_use() -> None:
    done = build("--only", "apend")
    assert done.returncode == 2
    assert "no guest is called 'apend'" in done.stderr


def test_second_build_does_nothing_and_a_lost_output_comes_back(tmp_path: Path) -> None:
    assert "1 built, 0 up to date" in build("--only", "append-wat", "--out", tmp_path).stderr
    first = (tmp_path / "append-wat.wasm").read_bytes()
    assert "0 built, 1 up to date" in build("--only", "append-wat", "--out", tmp_path).stderr
    (tmp_path / "append-wat.wasm").unlink()
    assert "1 built" in build("--only", "append-wat", "--out", tmp_path).stderr
    assert (tmp_path / "append-wat.wasm").read_bytes() == first
    (tmp_path / "stamps.json").write_text("{")
    assert "1 built" in build("--only", "append-wat", "--out", tmp_path).stderr


def test_a_changed_output_is_built_anew(tmp_path: Path) -> None:
    build("--only", "append-wat", "--out", tmp_path)
    good = (tmp_path / "append-wat.wasm").read_bytes()
    (tmp_path / "append-wat.wasm").write_bytes(good[:-1])
    assert "1 built" in build("--only", "append-wat", "--out", tmp_path).stderr
    assert (tmp_path / "append-wat.wasm").read_bytes() == good


def test_same_bytes_wherever_it_is_built(guests: Path, tmp_path: Path) -> None:
    names = ["append-rust", "append-c", "append-zig", "append-wat", "append-assemblyscript"]
    done = build("--out", tmp_path, *(part for name in names for part in ("--only", name)))
    assert done.returncode == 0, done.stderr
    for name in names:
        assert (tmp_path / f"{name}.wasm").read_bytes() == (guests / f"{name}.wasm").read_bytes(), name


def test_abi_description_stands_beside_the_module(guests: Path) -> None:
    for name in ("sensor_stats", "spectrum", "redact"):
        source = ROOT / "guests" / name / "abi.toml"
        assert (guests / f"{name}.abi.toml").read_bytes() == source.read_bytes()


def test_missing_tools_are_named_with_their_packages_and_the_rest_is_built(tmp_path: Path) -> None:
    only = tmp_path / "bin"
    only.mkdir()
    done = build(
        "--only", "append-c", "--only", "append-wat", "--only", "hostile/empty", "--out", tmp_path, PATH=str(only)
    )
    assert done.returncode == 1
    assert "not built: append-c: clang is missing: apt-get install clang lld" in done.stderr
    assert "not built: append-wat: wat2wasm is missing: apt-get install wabt" in done.stderr
    assert (tmp_path / "hostile" / "empty.wasm").exists()


def test_compilers_own_words_are_shown(tmp_path: Path) -> None:
    broken = tmp_path / "clang"
    broken.write_text("#!/bin/sh\necho 'append.c:1: this compiler is out of order' >&2\nexit 1\n")
    broken.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = build("--only", "append-c", "--out", tmp_path / "out", PATH=path)
    assert done.returncode == 1
    assert "this compiler is out of order" in done.stderr
