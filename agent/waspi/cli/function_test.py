"""``waspi test``: builds a function, runs its golden pairs, and looks whether odd inputs break it."""

import difflib
import random
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import typer

from waspi.cli.console import complain_of, note, write_json, write_line, write_log
from waspi.cli.examples import examples
from waspi.cli.exit_code import ExitCode
from waspi.cli.json_option import JsonOption
from waspi.cli.project import Project
from waspi.engine import Module
from waspi.errors import BadInputError, ExceptionError, ExitTrap, GuestError, OperatorError, WaspiError
from waspi.fleet.repository.release_files import dump_golden
from waspi.model.limits import Limits
from waspi.model.release import GoldenPair

app = typer.Typer(rich_markup_mode="rich", add_completion=False)

_REFUSALS: Final = (BadInputError, ExceptionError, ExitTrap)
"""How a guest says that it does not want an input."""
_SHOWN: Final = 200
_NEW: Final = 0.2
"""Of the odd inputs the part that has nothing of a known one."""


@app.command(
    epilog=examples(
        "waspi test", "waspi test mean --update", "waspi test filter --fuzz 5000 --seed 7", "waspi test --json"
    )
)
def check(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="A folder made by waspi new.")] = Path(),
    *,
    update: Annotated[
        bool, typer.Option("--update", help="Write what the function gives now as the golden outputs.")
    ] = False,
    fuzz: Annotated[int, typer.Option("--fuzz", min=0, metavar="N", help="Odd inputs to try.")] = 200,
    seed: Annotated[int | None, typer.Option("--seed", help="Of the odd inputs; by default a new one.")] = None,
    as_json: JsonOption = False,
) -> int:
    """Build the function in DIR, run its golden pairs, and try inputs that nobody expects.

    A difference is shown as a diff. An odd input may be refused (an exception, waspi.fail, proc_exit), but must not
    trap or reach a limit: those that do are kept as files. Exit code 0, 1 when a pair or an input fails, 2 when the
    build fails.
    """
    project = Project.read(folder)
    said = project.make()
    if said.strip():
        note(said.rstrip())
    with project.load() as module:
        pairs = project.golden()
        wrong = _golden(project, module, pairs, update=update)
        chosen = secrets.randbits(32) if seed is None else seed
        broken = _fuzz(project, module, pairs, fuzz, chosen)
    if as_json:
        write_json(
            {
                "ok": not wrong and not broken,
                "golden": len(pairs),
                "wrong": wrong,
                "fuzz": fuzz,
                "seed": chosen,
                "broken": [{"file": str(path), "kind": error.kind, "message": error.message} for path, error in broken],
            }
        )
    else:
        if not pairs:
            note(f"no golden pairs in {project.golden_file}: add inputs, then waspi test --update")
        write_line(f"{len(pairs) - wrong} of {len(pairs)} golden pairs passed")
        found = f"broke it in {len(broken)} ways" if broken else "did not break it"
        write_line(f"{fuzz} odd inputs {found} (--seed {chosen})")
    return ExitCode.JOB_FAILED if wrong or broken else ExitCode.OK


def _golden(project: Project, module: Module, pairs: tuple[GoldenPair, ...], *, update: bool) -> int:
    """Run the pairs; how many are wrong. With ``update`` none is, unless its run fails."""
    wrong = 0
    given = []
    for number, pair in enumerate(pairs, 1):
        try:
            outcome = module.run(pair.input, limits=project.limits)
        except WaspiError as error:
            wrong += 1
            note(f"golden pair {number}, input {_text(pair.input)}:")
            write_log(error.log)
            complain_of(error)
            given.append(pair)
            continue
        given.append(GoldenPair(pair.input, outcome.output))
        if outcome.output != pair.output and not update:
            wrong += 1
            note(f"golden pair {number}, input {_text(pair.input)}:")
            write_log(outcome.log)
            for line in difflib.unified_diff(
                _lines(pair.output), _lines(outcome.output), "golden", "now", lineterm="", n=2
            ):
                note(line)
    changed = sum(new != old for new, old in zip(given, pairs, strict=True))
    if update and changed:
        try:
            project.golden_file.write_text(dump_golden(given), encoding="utf-8")
        except OSError as error:
            raise OperatorError(f"cannot write {project.golden_file}: {error.strerror}") from error
        note(f"{changed} golden outputs changed in {project.golden_file}")
    elif wrong and not update:
        note("if the change is meant: waspi test --update")
    return wrong


def _fuzz(
    project: Project, module: Module, pairs: tuple[GoldenPair, ...], count: int, seed: int
) -> list[tuple[Path, GuestError]]:
    """Try odd inputs; the files of those that broke the guest, and how: of one place in the guest the first only."""
    broken: list[tuple[Path, GuestError]] = []
    places = set()
    limits = project.limits.capped_by(Limits(time_ms=2_000))
    inputs = odd_inputs([pair.input for pair in pairs], random.Random(seed))  # noqa: S311 - to be repeated
    for number in range(count):
        data = next(inputs)
        try:
            module.run(data, limits=limits)
        except _REFUSALS:
            continue
        except GuestError as error:
            place = (error.kind, error.function, error.offset)
            if place in places:
                continue
            places.add(place)
            path = project.folder / f"broken-{len(broken) + 1}.bin"
            path.write_bytes(data)
            note(f"odd input {number + 1} ({len(data)} bytes, kept as {path}) breaks it: {_text(data)}")
            complain_of(error)
            broken.append((path, error))
    return broken


def odd_inputs(known: list[bytes], chance: random.Random) -> Iterator[bytes]:
    """Inputs without end: the empty one, large ones, random bytes, and known ones with small changes."""
    yield b""
    yield b"\0"
    yield b"\xff" * 1000
    yield bytes(100_000)
    yield "é\u2028😀".encode() * 100
    while True:
        new = not known or chance.random() < _NEW
        data = bytearray(chance.randbytes(chance.randrange(300)) if new else chance.choice(known))
        for _ in range(chance.randrange(1, 5)):
            at = chance.randrange(len(data) + 1)
            what = chance.randrange(4)
            if what == 0:
                data[at:at] = chance.randbytes(chance.randrange(1, 9))
            elif what == 1:
                del data[at : at + chance.randrange(1, 9)]
            elif what == 2 and at < len(data):  # noqa: PLR2004
                data[at] = chance.randrange(256)
            else:
                data[at:at] = data[: chance.randrange(len(data) + 1)]
        yield bytes(data[:200_000])


def _text(data: bytes) -> str:
    text = ascii(data[:_SHOWN])[1:]
    return text if len(data) <= _SHOWN else f"{text}... ({len(data)} bytes)"


def _lines(data: bytes) -> list[str]:
    try:
        return data.decode().splitlines() or [""]
    except UnicodeDecodeError:
        return [data[at : at + 16].hex(" ") for at in range(0, len(data), 16)]
