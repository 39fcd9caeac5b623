"""``waspi golden``: golden pairs, the outputs by which every board tests a release before it serves."""

from pathlib import Path
from typing import Annotated

import typer

from waspi.abi_description import abi_for_file
from waspi.cli.console import note, write_json, write_line, write_text
from waspi.cli.examples import examples
from waspi.cli.exit_code import ExitCode
from waspi.cli.guest_options import AbiOption, EntryOption, abi_of
from waspi.cli.input_source import read_input
from waspi.cli.json_option import JsonOption
from waspi.cli.repo_options import wasm_of
from waspi.errors import OperatorError, UsageError
from waspi.fleet.repository.inspection import record as record_pairs
from waspi.fleet.repository.inspection import verdicts
from waspi.fleet.repository.release_files import dump_golden, load_golden, load_limits
from waspi.model.abi import DEFAULT_ABI

LimitsOption = Annotated[Path | None, typer.Option("--limits", metavar="FILE", help="Limits of a run (TOML).")]

app = typer.Typer(
    rich_markup_mode="rich",
    add_completion=False,
    no_args_is_help=True,
    help="Record and check golden pairs, the outputs by which every board tests a release before it serves.",
)


@app.callback()
def golden() -> None:
    """Record and check golden pairs, the outputs by which every board tests a release before it serves."""


@app.command(
    epilog=examples(
        "waspi golden record append.wasm 'The input string' > append.golden.toml",
        "waspi golden record stats.wasm --entry mean --input-file a.json --input-file b.json --out golden.toml",
    )
)
def record(
    module: Annotated[Path, typer.Argument(metavar="MODULE", help="The module's file.")],
    inputs: Annotated[list[str] | None, typer.Argument(metavar="INPUT...", help="Inputs as text.")] = None,
    *,
    input_files: Annotated[
        list[str] | None, typer.Option("--input-file", metavar="FILE", help="An input from a file; may be repeated.")
    ] = None,
    abi: AbiOption = None,
    entry: EntryOption = None,
    limits: LimitsOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write there instead of to standard output.")
    ] = None,
) -> int:
    """Run MODULE on each INPUT and write input and output as golden pairs (TOML).

    Read them before you rely on them: they say what the module does, not what it should. Each input runs twice; an
    output that changes from run to run is refused.
    """
    data = [read_input(text, None) for text in inputs or ()]
    data += [read_input(None, file) for file in input_files or ()]
    if not data:
        raise UsageError("no input; give INPUT or --input-file FILE")
    described = abi_for_file(abi_of(abi, entry), module.name) or DEFAULT_ABI
    pairs = record_pairs(wasm_of(module), data, abi=described, limits=load_limits(limits))
    text = dump_golden(pairs)
    if out is None:
        write_text(text)
        return ExitCode.OK
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OperatorError(f"cannot write {out}: {error.strerror}") from error
    note(f"{len(pairs)} golden pairs in {out}")
    return ExitCode.OK


@app.command(
    epilog=examples(
        "waspi golden check append.wasm append.golden.toml",
        "waspi golden check stats.wasm golden.toml --entry mean --json",
    )
)
def check(
    module: Annotated[Path, typer.Argument(metavar="MODULE", help="The module's file.")],
    pairs: Annotated[Path, typer.Argument(metavar="PAIRS", help="Golden pairs, as record writes them (TOML).")],
    *,
    abi: AbiOption = None,
    entry: EntryOption = None,
    limits: LimitsOption = None,
    as_json: JsonOption = False,
) -> int:
    """Run MODULE on the input of each golden pair, as every board will, and say where it gives another output.

    Exit code 1 when it does. A new build of a module is checked by the pairs of the one before.
    """
    golden = load_golden(pairs)
    described = abi_for_file(abi_of(abi, entry), module.name) or DEFAULT_ABI
    found = verdicts(wasm_of(module), golden, abi=described, limits=load_limits(limits))
    failed = sum(map(bool, found))
    if as_json:
        write_json(
            {
                "module": str(module),
                "pairs": [
                    {"pair": number, "ok": not wrong, "error": wrong or None} for number, wrong in enumerate(found, 1)
                ],
                "failed": failed,
            }
        )
    else:
        for number, wrong in enumerate(found, 1):
            write_line(f"pair {number} of {len(found)} {wrong or 'gives its output'}")
    return ExitCode.JOB_FAILED if failed else ExitCode.OK
