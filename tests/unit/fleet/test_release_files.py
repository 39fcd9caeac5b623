from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waspi.errors import ConfigError
from waspi.fleet.repository.release_files import dump_golden, load_golden, load_limits
from waspi.model.limits import Limits
from waspi.model.release import GoldenPair

halves = st.binary(max_size=40) | st.text(max_size=40).map(lambda text: text.encode("utf-8", "replace"))


@given(pairs=st.lists(st.builds(GoldenPair, halves, halves), min_size=1, max_size=5).map(tuple))
def test_what_is_recorded_reads_the_same(
    tmp_path_factory: pytest.TempPathFactory, pairs: tuple[GoldenPair, ...]
) -> None:
    path = tmp_path_factory.getbasetemp() / "golden.toml"
    path.write_text(dump_golden(pairs), encoding="utf-8")
    assert load_golden(path) == pairs


def test_text_stays_readable() -> None:
    text = dump_golden([GoldenPair(b'say "hi"', "größer".encode()), GoldenPair(b"\x00", b"a\nb\x7f")])
    assert 'input = "say \\"hi\\""\noutput = "größer"' in text
    assert 'input_base64 = "AA=="' in text
    assert "\x7f" not in text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no golden pairs"),
        ("golden = 1", "no golden pairs"),
        ("[[golden]]\ninput = 'a'", "give output or output_base64"),
        ("[[golden]]\ninput = 'a'\ninput_base64 = 'YQ=='\noutput = 'b'", "give input or input_base64"),
        ("[[golden]]\ninput = 1\noutput = 'b'", "give input"),
        ("[[golden]]\ninput_base64 = '!'\noutput = 'b'", "no base64"),
        ("[[golden]]\ninput = 'a'\noutput = 'b'\nextra = 1", "unknown key 'extra'"),
        ("[[golden", "not TOML"),
    ],
)
def test_wrong_files_are_named(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "golden.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=says):
        load_golden(path)


def test_limits(tmp_path: Path) -> None:
    path = tmp_path / "limits.toml"
    path.write_text("[limits]\nfuel = 5\n")
    assert load_limits(path) == Limits(fuel=5)
    assert load_limits(None) == Limits()
    for text in ("fuel = 0", "fuel = 'much'", "speed = 1", "fuel"):
        path.write_text(text)
        with pytest.raises(ConfigError, match=str(path)):
            load_limits(path)
    with pytest.raises(ConfigError, match="cannot read"):
        load_limits(tmp_path / "nothing.toml")
