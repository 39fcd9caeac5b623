"""``waspi golden``: golden pairs, the outputs by which every board tests a release before it serves."""

from pathlib import Path
from typing import Annotated

import typer

from waspi.abi_description import abi_for_file
from waspi.cli.console import note, write_text
from waspi.cli.examples import examples
from waspi.cli.exit_code import ExitCode
from waspi.cli.input_source import read_input
from waspi.cli.repo_options import wasm_of
from waspi.errors import OperatorError, UsageError
from waspi.fleet.repository.golden_file import dump_golden
from waspi.fleet.repository.inspection import record as record_pairs
from waspi.fleet.repository.limits_file import load_limits
from waspi.model.abi import DEFAULT_ABI

app = typer.Typer(
    rich_markup_mode="rich",
    add_completion=False,
    no_args_is_help=True,
    help="Record golden pairs, the outputs by which every board tests a release before it serves.",
)


@app.callback()
def golden() -> None:
    """Record golden pairs, the outputs by which every board tests a release before it serves."""


@app.command(
    epilog=examples(
        "waspi golden record append.wasm 'The input string' > append.golden.toml",
        "waspi golden record stats.wasm --abi abi.toml --input-file a.json --input-file b.json --out golden.toml",
    )
)
def record(
    module: Annotated[Path, typer.Argument(metavar="MODULE", help="The module's file.")],
    inputs: Annotated[list[str] | None, typer.Argument(metavar="INPUT...", help="Inputs as text.")] = None,
    *,
    input_files: Annotated[
        list[str] | None, typer.Option("--input-file", metavar="FILE", help="An input from a file; may be repeated.")
    ] = None,
    abi: Annotated[Path | None, typer.Option("--abi", metavar="FILE", help="ABI description (TOML).")] = None,
    limits: Annotated[Path | None, typer.Option("--limits", metavar="FILE", help="Limits of a run (TOML).")] = None,
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
    pairs = record_pairs(
        wasm_of(module), data, abi=abi_for_file(abi, module.name) or DEFAULT_ABI, limits=load_limits(limits)
    )
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
