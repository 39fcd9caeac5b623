"""`waspi config`: what it prints it takes, and what it checks would start."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.integration.cli import guest
from tests.integration.cli.command import waspi
from waspi import _wasmer


def test_the_example_is_checked_good(tmp_path: Path) -> None:
    config = tmp_path / "device.toml"
    config.write_bytes(waspi("config", "example", home=tmp_path).out)
    done = waspi("config", "check", str(config), home=tmp_path)
    assert done.code == 0, done.err
    assert "broker mqtt://127.0.0.1:1883" in done.text
    assert waspi("config", "reference", home=tmp_path).text.startswith("# Configuration of a device\n")


@pytest.mark.parametrize(
    ("wat", "abi", "said"),
    [
        (guest.APPEND, "", ""),
        (guest.NO_ALLOC, "", "would not run: .*alloc"),
        (guest.UNKNOWN_IMPORT, "", "would not run: .*launch_missiles"),
        (guest.APPEND, 'entry = "resize"\n', "would not run: .*resize"),
        (guest.APPEND, "entri = 1\n", "entri"),
    ],
)
def test_the_modules_that_it_names_are_opened(tmp_path: Path, wat: str, abi: str, said: str) -> None:
    (tmp_path / "guest.wasm").write_bytes(_wasmer.wat2wasm(wat.encode()))
    (tmp_path / "guest.toml").write_text(abi)
    config = tmp_path / "device.toml"
    config.write_text('[modules.guest]\npath = "guest.wasm"\nabi = "guest.toml"\n')
    done = waspi("config", "check", str(config), home=tmp_path)
    if not said:
        assert done.code == 0, done.err
        return
    assert done.code == 2
    assert re.search(said, done.error_line)
    assert str(config if "run" in said else tmp_path / "guest.toml") in done.error_line


def test_a_script_that_it_names_is_loaded(tmp_path: Path) -> None:
    config, script = tmp_path / "device.toml", tmp_path / "shout.js"
    config.write_text('[modules.shout]\npath = "shout.js"\n')
    script.write_text("export default (input) => input.toUpperCase();\n")
    done = waspi("config", "check", str(config), home=tmp_path)
    assert done.code == 0, done.err
    script.write_text("export default (input => ;\n")
    broken = waspi("config", "check", str(config), home=tmp_path)
    assert (broken.code, "shout.js would not run" in broken.error_line) == (2, True), broken.err
