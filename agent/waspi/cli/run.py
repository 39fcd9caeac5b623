"""``waspi run``: one run here, in this process."""

from pathlib import Path
from typing import Annotated

import typer

from waspi import engine
from waspi.cli.console import complain_of, json_of_bytes, json_of_error, note, write_bytes, write_json, write_log
from waspi.cli.examples import examples
from waspi.cli.exit_code import ExitCode, exit_code_of
from waspi.cli.guest_options import (
    AbiOption,
    EntryOption,
    FuelOption,
    MemoryOption,
    OutputOption,
    TimeOption,
    abi_of,
    limits_of,
)
from waspi.cli.input_source import InputArgument, InputFileOption, read_input
from waspi.cli.trace_report import trace_lines
from waspi.engine import Outcome
from waspi.errors import GuestError, WaspiError
from waspi.model.limits import DEFAULT_LIMITS

app = typer.Typer(rich_markup_mode="rich", add_completion=False)


@app.command(
    epilog=examples(
        """waspi run mean.js '{"readings":[1,2]}'""",
        "waspi run append.wasm 'The input string'",
        "waspi run filter.wat --input-file photo.raw > out.raw",
        "cat readings.json | waspi run stats.wasm --fuel 1000000 --json",
        "waspi run append.wasm hello --trace",
    )
)
def run(
    module: Annotated[Path, typer.Argument(metavar="MODULE", help="A .wasm, .wat or .js file.")],
    text: InputArgument = None,
    *,
    input_file: InputFileOption = None,
    abi: AbiOption = None,
    entry: EntryOption = None,
    fuel: FuelOption = None,
    memory_mib: MemoryOption = None,
    time_limit: TimeOption = None,
    output_kib: OutputOption = None,
    trace: Annotated[bool, typer.Option("--trace", help="Show on stderr what happens in memory.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of the raw output.")] = False,
) -> int:
    """Run MODULE once and write its raw output to stdout; its log and every message go to stderr.

    The limits are those of a device unless options say otherwise. Exit code 0, 1 when the guest or its ABI fails, 2
    for wrong use.
    """
    limits = limits_of(DEFAULT_LIMITS, fuel=fuel, memory_mib=memory_mib, time_limit=time_limit, output_kib=output_kib)
    description = abi_of(abi, entry)
    data = read_input(text, input_file)
    try:
        outcome = engine.run(module, data, abi=description, limits=limits, trace=trace)
    except WaspiError as error:
        write_log(error.log)
        if as_json and isinstance(error, GuestError):
            write_json({"ok": False, "error": json_of_error(error), **json_of_bytes("log", error.log), **_usage(error)})
        complain_of(error)
        return exit_code_of(error)
    if as_json:
        write_json(
            {
                "ok": True,
                **json_of_bytes("output", outcome.output),
                **json_of_bytes("log", outcome.log),
                **_usage(outcome),
                **({"trace": outcome.trace} if outcome.trace is not None else {}),
            }
        )
        return ExitCode.OK
    write_log(outcome.log)
    if outcome.trace is not None:
        for line in trace_lines(outcome.trace, outcome.output):
            note(line)
    write_bytes(outcome.output)
    return ExitCode.OK


def _usage(of: Outcome | WaspiError) -> dict[str, object]:
    return {"fuel": of.fuel, "memory_bytes": of.memory_bytes, "run_us": of.run_us}
