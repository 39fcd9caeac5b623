"""Carries the suite out on an engine, and tells what came of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from tests.conformance.suite import ALL, ALLOC, MEMORY_NAME, NOTHING, Prepared, Refused, Subject
from waspi import _wasmer, errors

MODES: Final = ("fresh", "loaded", "limits")
"""As compiled; from an artifact; with the limits of a device, fuel among them."""
DEVICE: Final = {"fuel": 10_000_000_000, "memory_bytes": 64 << 20, "time_ms": 60_000}
_NO_LIMITS: Final = {"time_ms": 60_000}
_REFUSALS: Final = (
    errors.InvalidModuleError,
    errors.UnsupportedFeatureError,
    errors.ModuleTooLargeError,
    errors.LinkError,
)
_NOT_HERE: Final = (errors.UnsupportedFeatureError, errors.ModuleTooLargeError)
_FAILED_STEP: Final = re.compile(r"returned (\d+) bytes")


@dataclass
class Tally:
    """What came of it."""

    passed: Counter[str] = field(default_factory=Counter)
    """Assertions that held, by kind: ``returns``, ``traps``, ``refusals``."""
    failed: list[str] = field(default_factory=list)
    """One line each."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Assertions by the reason for which they were not tried."""

    def add(self, other: Tally) -> None:
        """Take another one's counts in."""
        self.passed += other.passed
        self.failed += other.failed
        self.left_out += other.left_out


Run = Callable[[str], object]
"""Calls one of a module's entries on a fresh instance; raises an error of waspi."""


def check(tested: Subject, run: Run) -> Tally:
    """Try the assertions of one module."""
    tally = Tally()
    where = f"{tested.script}:{{}}"
    if tested.start:
        _trap(tally, where.format(tested.line), tested.start, lambda: run(NOTHING))
        return tally
    if tested.steps:
        error = caught(lambda: run(ALL))
        if error is None:
            tally.passed["returns"] += len(tested.steps)
        else:
            match = _FAILED_STEP.search(str(error)) if isinstance(error, errors.OverrunError) else None
            step = int(match[1]) - 1 if match else 0
            told = f"step {step + 1} of {len(tested.steps)} gives another result" if match else describe(error)
            tally.failed.append(f"{where.format(tested.steps[step])} {told}")
            tally.passed["returns"] += step
    for trap in tested.traps:
        _trap(tally, where.format(trap.line), trap.error, lambda entry=trap.entry: run(entry))  # type: ignore[misc]
    return tally


def _trap(tally: Tally, where: str, wanted: str, act: Callable[[], object]) -> None:
    error = caught(act)
    if type(error).__name__ == wanted:
        tally.passed["traps"] += 1
    else:
        tally.failed.append(f"{where} wants {wanted}, gives {describe(error)}")


def caught(act: Callable[[], object]) -> BaseException | None:
    """What it raises; a panic of the engine is no ``Exception``."""
    try:
        act()
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return error
    return None


def describe(error: BaseException | None) -> str:
    """One line."""
    return "no error" if error is None else f"{type(error).__name__}: {error}"


def limits(mode: str) -> dict[str, Any]:
    """Keywords of a run."""
    return dict(DEVICE if mode == "limits" else _NO_LIMITS)


def in_process(suite: Prepared, tested: Subject, modes: tuple[str, ...] = MODES) -> Iterator[tuple[str, Tally]]:
    """Compile one module and try it in each of the modes, here."""
    wasm = suite.module(tested.file)
    try:
        compiled = _wasmer.Module.compile(wasm)
    except _NOT_HERE as error:
        for mode in modes:
            yield mode, Tally(left_out=Counter({_reason(error): tested.assertions}))
        return
    except errors.WaspiError as error:
        for mode in modes:
            yield mode, Tally(failed=[f"{tested.script}:{tested.line} does not compile: {describe(error)}"])
        return
    for mode in modes:
        module = _wasmer.Module.load(compiled.serialize()) if mode == "loaded" else compiled
        options = limits(mode)

        def run(entry: str, module: _wasmer.Module = module, options: dict[str, Any] = options) -> object:
            return module.run(b"", memory=MEMORY_NAME, alloc=ALLOC, entry=entry, headroom=0, **options)

        yield mode, check(tested, run)


def refuse(suite: Prepared, refused: Refused) -> Tally:
    """Try to compile what must not compile."""
    tally = Tally()
    content = suite.module(refused.file)

    def compile_it() -> None:
        _wasmer.Module.compile(_wasmer.wat2wasm(content) if refused.text else content)

    error = caught(compile_it)
    if isinstance(error, _REFUSALS):
        tally.passed["refusals"] += 1
    else:
        tally.failed.append(f"{refused.script}:{refused.line} has to be refused, gives {describe(error)}")
    return tally


def _reason(error: BaseException) -> str:
    return re.sub(r"\d+", "N", str(error)).split(":")[0]
