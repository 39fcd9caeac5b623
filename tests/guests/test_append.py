"""The reference guest gives the same bytes in every language."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waspi import _wasmer
from waspi.errors import AbortTrap, OverrunError, UnreachableTrap

if TYPE_CHECKING:
    from pathlib import Path

SUFFIX = b"<---- This is your string"
VARIANTS = ["rust", "rust-wasi", "c", "zig", "assemblyscript", "wat"]


@pytest.fixture(scope="module")
def appends(guests: Path) -> dict[str, _wasmer.Module]:
    return {name: _wasmer.Module.compile((guests / f"append-{name}.wasm").read_bytes()) for name in VARIANTS}


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_input_string(appends: dict[str, _wasmer.Module], variant: str) -> None:
    assert appends[variant].run(b"The input string").output == b"The input string<---- This is your string"


@settings(max_examples=60)
@given(text=st.text(max_size=5_000))
def test_all_languages_agree(appends: dict[str, _wasmer.Module], text: str) -> None:
    data = text.encode()
    outputs = {name: module.run(data).output for name, module in appends.items()}
    assert outputs == dict.fromkeys(VARIANTS, data + SUFFIX)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("size", [0, 1, 65_506, 65_536, 1 << 20])
def test_sizes_around_a_page_and_a_megabyte(appends: dict[str, _wasmer.Module], variant: str, size: int) -> None:
    data = ("\N{HONEYBEE}" * (size // 4) + "x" * (size % 4)).encode()
    assert len(data) == size
    assert appends[variant].run(data).output == data + SUFFIX


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_warm_instance_does_not_leak(appends: dict[str, _wasmer.Module], variant: str) -> None:
    instance = appends[variant].instantiate(memory_bytes=8 << 20)
    data = b"x" * 100_000
    for _ in range(200):  # 20 MB in all, under a cap of 8 MiB
        assert instance.run(data).output == data + SUFFIX


@pytest.mark.parametrize("variant", VARIANTS)
def test_headroom_is_what_the_suffix_needs(appends: dict[str, _wasmer.Module], variant: str) -> None:
    assert appends[variant].run(b"abc", headroom=len(SUFFIX)).output == b"abc" + SUFFIX
    with pytest.raises(OverrunError):
        appends[variant].run(b"abc", headroom=len(SUFFIX) - 1)


def test_imports_are_what_the_abi_names(appends: dict[str, _wasmer.Module]) -> None:
    imports = {name: {(m, n) for m, n, _ in module.imports} for name, module in appends.items()}
    wasi = {("wasi_snapshot_preview1", n) for n in ("fd_write", "environ_get", "environ_sizes_get", "proc_exit")}
    assert imports.pop("rust-wasi") == wasi
    assert imports.pop("assemblyscript") == {("env", "abort")}
    assert imports == {name: set() for name in imports}


def test_what_is_no_text_panics_in_rust_and_is_told_on_stderr(appends: dict[str, _wasmer.Module]) -> None:
    with pytest.raises(UnreachableTrap):
        appends["rust"].run(b"\xff")
    with pytest.raises(UnreachableTrap) as caught:
        appends["rust-wasi"].run(b"\xff")
    assert b"the input is not UTF-8" in caught.value.log


def test_assemblyscript_aborts_with_message_and_place(appends: dict[str, _wasmer.Module]) -> None:
    with pytest.raises(AbortTrap, match=r"Allocation too large.*tlsf\.ts"):
        appends["assemblyscript"].run(b"x", headroom=1 << 30)
