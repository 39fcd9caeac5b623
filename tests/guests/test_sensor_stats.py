"""The statistics guest against Python's json and statistics."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.guests.sensor_reference import sensor_stats
from waspi import _wasmer
from waspi.abi_description import abi_from
from waspi.errors import ExitTrap

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[[str], _wasmer.Outcome]

NUMBERS = st.one_of(st.integers(-(10**6), 10**6), st.floats(-1e6, 1e6))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=5,
)
OBJECTS = st.dictionaries(st.sampled_from(["value", "unit", "at", '\u00e9\n"\\']), VALUES, max_size=3)


@pytest.fixture(scope="module")
def run(guests: Path) -> Run:
    module = _wasmer.Module.compile((guests / "sensor_stats.wasm").read_bytes())
    abi = abi_from(guests / "sensor_stats.abi.toml")
    return lambda text: module.run(text.encode(), entry=abi.entry, headroom=abi.headroom)


def close(made: dict[str, Any], expected: dict[str, Any]) -> bool:
    def same(a: float | None, b: float | None) -> bool:
        return a is b if a is None or b is None else math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-6)

    return made.keys() == expected.keys() and all(same(made[key], expected[key]) for key in expected)


@settings(max_examples=150)
@given(
    readings=st.lists(st.one_of(NUMBERS, st.none(), OBJECTS), max_size=60), spaces=st.sampled_from([None, 0, 1, "\t"])
)
def test_same_as_python(run: Run, readings: list[Any], spaces: int | str | None) -> None:
    text = json.dumps(readings, indent=spaces)
    made = json.loads(run(text).output)
    assert close(made, sensor_stats(text)), (text, made)


def test_one_day_of_readings(run: Run) -> None:
    readings = [{"at": second, "value": 20 + 5 * math.sin(second / 13_751)} for second in range(0, 86_400, 10)]
    text = json.dumps(readings)
    assert close(json.loads(run(text).output), sensor_stats(text))


def test_what_was_skipped_is_in_the_log(run: Run) -> None:
    outcome = run('[1, null, {"unit": "C"}, 3]')
    assert json.loads(outcome.output)["skipped"] == 2
    assert outcome.log == b"sensor_stats: 2 without a value\n"


@pytest.mark.parametrize("text", ["[]", "[1e308, -1e308]", "[5e-324]", "[123456789012345680000, 1e-7, 0.1, 1e300]"])
def test_extremes_fit_the_headroom_and_stay_json(run: Run, text: str) -> None:
    made = json.loads(run(text).output)
    assert made["count"] == len(json.loads(text))
    assert len(run(text).output) < 384


@pytest.mark.parametrize(
    ("text", "at"),
    [
        *[("", 0), ("{}", 0), ("[1,]", 3), ("[1 2]", 3), ("[01]", 3), ("[1e999]", 6), ("[1]x", 3), ('["a"]', 1)],
        *[('[{"a":"\x01"}]', 7), ("[-]", 2), ("[1.]", 3), ("[nul]", 1), ('[{"a" 1}]', 6), ('[{"a":"', 7), ("[tru", 1)],
    ],
)
def test_what_is_no_array_of_readings_exits_with_its_place(run: Run, text: str, at: int) -> None:
    with pytest.raises(ExitTrap) as caught:
        run(text)
    assert caught.value.code == 1
    assert caught.value.log.startswith(f"sensor_stats: byte {at}: ".encode()), caught.value.log


def test_depth_is_bounded(run: Run) -> None:
    with pytest.raises(ExitTrap):
        run('[{"a":' + "[" * 100_000)
