"""The modules of the native crate import each other in one direction, as the Python packages do."""

from __future__ import annotations

import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "agent" / "native" / "src"
_CRATE = re.compile(r"\bcrate::(?:\{([^}]*)\}|(\w+)(?:::(\w+))?)")
_SUPER = re.compile(r"\bsuper::(\w+)")


def imports(path: Path) -> set[str]:
    """Names of the modules that a file uses; of a folder's own ones, ``folder::module``."""
    folder = path.parent.relative_to(SOURCE).as_posix().replace(".", "")
    text = re.sub(r"//.*", "", path.read_text())
    found = set()
    for several, one, inner in _CRATE.findall(text):
        for name in re.findall(r"\w+", several) if several else [one]:
            nested = (SOURCE / name / f"{inner}.rs").exists()
            found.add(f"{name}::{inner}" if nested else name)
    if folder:
        found |= {f"{folder}::{name}" for name in _SUPER.findall(text) if (path.parent / f"{name}.rs").exists()}
    return found


def graph() -> dict[str, set[str]]:
    table = {}
    for path in SOURCE.rglob("*.rs"):
        name = "::".join(path.relative_to(SOURCE).with_suffix("").parts)
        if not name.endswith("mod") and name != "lib":
            table[name] = imports(path) - {name}
    return table


def test_no_modules_import_each_other_in_a_circle() -> None:
    table = graph()
    assert {"engine", "machine"} <= table["fingerprint"] | table["engine"]
    assert "wasmer_backend::code" in table["wasmer_backend::guest"]
    try:
        TopologicalSorter(table).prepare()
    except CycleError as error:
        raise AssertionError(" -> ".join(error.args[1])) from None
