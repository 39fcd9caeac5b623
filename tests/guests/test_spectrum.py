"""The Fourier guest against the definition, in pure Python."""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.guests.spectrum_reference import spectrum
from waspi import _wasmer
from waspi.abi_description import abi_from
from waspi.errors import UnreachableTrap

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def guest(guests: Path) -> _wasmer.Module:
    return _wasmer.Module.compile((guests / "spectrum.wasm").read_bytes())


def pack(samples: list[float]) -> bytes:
    return struct.pack(f"<{len(samples)}f", *samples)


def unpack(data: bytes) -> list[float]:
    return [value for (value,) in struct.iter_unpack("<f", data)]


@settings(max_examples=60)
@given(st.lists(st.floats(-1e4, 1e4, width=32), max_size=130))
def test_same_as_the_definition(guest: _wasmer.Module, samples: list[float]) -> None:
    data = pack(samples)
    made, expected = unpack(guest.run(data, entry="spectrum").output), spectrum(data)
    scale = max(1.0, sum(map(abs, samples)))
    assert len(made) == len(expected)
    assert all(math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9 * scale) for a, b in zip(made, expected, strict=True))


def test_a_tone_is_one_line(guests: Path, guest: _wasmer.Module) -> None:
    abi = abi_from(guests / "spectrum.abi.toml")
    size, bin_ = 65_536, 4_567
    tone = [math.sin(2 * math.pi * bin_ * t / size) for t in range(size)]
    lines = unpack(guest.run(pack(tone), entry=abi.entry, headroom=abi.headroom).output)
    assert len(lines) == size // 2 + 1
    assert max(range(len(lines)), key=lines.__getitem__) == bin_
    assert math.isclose(lines[bin_], size / 2, rel_tol=1e-5)


def test_a_warm_instance_keeps_no_work_space(guest: _wasmer.Module) -> None:
    instance = guest.instantiate(entry="spectrum", memory_bytes=8 << 20)
    data = pack([1.0] * 50_000)
    outputs = {instance.run(data).output for _ in range(50)}
    assert len(outputs) == 1


def test_half_a_sample_traps(guest: _wasmer.Module) -> None:
    with pytest.raises(UnreachableTrap):
        guest.run(b"abcde", entry="spectrum")
