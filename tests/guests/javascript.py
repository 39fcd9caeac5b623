"""Running scripts in tests."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import pytest

import waspi
from tests.native.wat import COMPILES
from waspi._wasmer import TARGET
from waspi.errors import WaspiError

if TYPE_CHECKING:
    from waspi.engine import Outcome
    from waspi.fault import Fault
    from waspi.model.limits import Limits

ENGINE_IS_COMPILED: Final = COMPILES
FULL: Final = TARGET.startswith("x86_64")


def js(
    script: str | bytes,
    given: bytes,
    *,
    encoding: str | None = None,
    entry: str | None = None,
    limits: Limits | None = None,
) -> Outcome:
    """Run a script once."""
    abi = {"format": "javascript", "encoding": encoding, "entry": entry or "default"}
    return waspi.run(script, given, abi=abi, limits=limits)


def output(script: str | bytes, given: bytes, *, encoding: str | None = None, entry: str | None = None) -> bytes:
    """The output of a script that succeeds."""
    return js(script, given, encoding=encoding, entry=entry).output


def fault_of(
    script: str | bytes, given: bytes, *, encoding: str | None = None, matches: str = "", limits: Limits | None = None
) -> tuple[str, Fault]:
    """Kind and party of the error that a script ends with; its message must match and be one line."""
    with pytest.raises(WaspiError) as caught:
        js(script, given, encoding=encoding, limits=limits)
    error = caught.value
    assert re.search(matches, error.message), error.message
    assert "\n" not in error.message
    return error.kind, error.fault
