"""``waspi bench``: how fast a module's calls are here."""

from pathlib import Path
from typing import Annotated

import typer

from waspi import engine
from waspi.cli.call_timing import CallTiming, time_fresh, time_warm
from waspi.cli.console import note, write_json, write_line
from waspi.cli.examples import examples
from waspi.cli.exit_code import ExitCode
from waspi.cli.guest_options import AbiOption, EntryOption, abi_of
from waspi.cli.input_source import InputArgument, InputFileOption, read_input
from waspi.cli.json_option import JsonOption

app = typer.Typer(rich_markup_mode="rich", add_completion=False)


@app.command(
    epilog=examples("waspi bench append.wasm 'The input string'", "waspi bench fft.wasm --input-file s.raw --json")
)
def bench(
    module: Annotated[Path, typer.Argument(metavar="MODULE", help="A .wasm, .wat or .js file.")],
    text: InputArgument = None,
    *,
    input_file: InputFileOption = None,
    abi: AbiOption = None,
    entry: EntryOption = None,
    seconds: Annotated[float, typer.Option("--seconds", min=0.01, max=600, help="Time for each of the two.")] = 1.0,
    as_json: JsonOption = False,
) -> int:
    """Time calls on a warm instance and on a fresh one each: calls per second and percentiles.

    A device uses a fresh instance for every job; warm is what an instance of the Python API gives.
    """
    data = read_input(text, input_file)
    with engine.Module.compile(module, abi=abi_of(abi, entry)) as compiled:
        compiled.check_abi()
        timings = {"warm": time_warm(compiled, data, seconds), "fresh": time_fresh(compiled, data, seconds)}
    if as_json:
        write_json({name: timing.as_json() for name, timing in timings.items()})
        return ExitCode.OK
    write_line(f"{'':<7}{'calls/s':>12}{'p50 us':>10}{'p90 us':>10}{'p99 us':>10}{'max us':>10}{'calls':>10}")
    for name, timing in timings.items():
        write_line(_row(name, timing))
    spent = timings["warm"].instances - 1
    if spent:
        note(f"warm: the guest used up its instance {spent} times (it does not free its buffers) and got a new one")
    return ExitCode.OK


def _row(name: str, timing: CallTiming) -> str:
    figures = "".join(f"{timing.percentile_us(part):>10.2f}" for part in (0.5, 0.9, 0.99, 1.0))
    return f"{name:<7}{timing.per_second:>12,.0f}{figures}{timing.calls:>10}"
