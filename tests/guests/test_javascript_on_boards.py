"""JavaScript on every processor: one short test, since emulated boards run it, too."""

from __future__ import annotations

import pytest

import waspi
from waspi.errors import BadInputError, ExceptionError

SCRIPT = """
export const waspi = { encoding: "json" };
export default ({ readings }) => {
  if (!readings.length) throw new RangeError("no readings");
  console.log(readings.length, "readings");
  return { mean: readings.reduce((a, b) => a + b, 0) / readings.length, wide: 2 ** 53, text: "é".repeat(2) };
};
"""


def test_a_function_in_javascript() -> None:
    with waspi.Module.compile(SCRIPT, abi={"format": "javascript"}) as module:
        outcome = module.run(b'{"readings":[1,2.5]}')
        assert outcome.output.decode() == '{"mean":1.75,"wide":9007199254740992,"text":"éé"}'
        assert outcome.log == b"2 readings\n"
        with pytest.raises(ExceptionError, match=r"RangeError: no readings at default \(main.js:4:\d+\)"):
            module.run(b'{"readings":[]}')
        with pytest.raises(BadInputError):
            module.run(b"[")
    recursive = waspi.Module.compile("export default function f(x) { return f(x) + 1 }", abi={"format": "javascript"})
    with pytest.raises(ExceptionError, match="Maximum call stack size exceeded"):
        recursive.run(b"")
