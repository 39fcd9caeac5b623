"""``waspi inspect``: what a module is, and whether a device would take it."""

import hashlib
from pathlib import Path
from typing import Annotated

import typer

from waspi import _wasmer, javascript
from waspi.abi_description import abi_for_file
from waspi.cli.console import complain_of, json_of_error, write_json, write_line
from waspi.cli.examples import examples
from waspi.cli.exit_code import ExitCode
from waspi.cli.guest_options import AbiOption, EntryOption, abi_of
from waspi.cli.json_option import JsonOption
from waspi.engine import Module, source_of, wasm_from
from waspi.errors import GuestError
from waspi.model.abi import DEFAULT_ABI, ModuleFormat

app = typer.Typer(rich_markup_mode="rich", add_completion=False)


@app.command(epilog=examples("waspi inspect append.wasm", "waspi inspect --entry resize image.wasm --json"))
def inspect(
    module: Annotated[Path, typer.Argument(metavar="MODULE", help="A .wasm, .wat or .js file.")],
    *,
    abi: AbiOption = None,
    entry: EntryOption = None,
    as_json: JsonOption = False,
) -> int:
    """Show exports, imports, sizes and the ABI's verdict; say what would be refused and why.

    Exit code 0 when a device with default bounds would run it, 1 when it would refuse.
    """
    description = abi_for_file(abi_of(abi, entry), module.name) or DEFAULT_ABI
    script = description.format is not ModuleFormat.WASM
    wasm = source_of(module) if script else wasm_from(module)
    report: dict[str, object] = {
        "file": str(module),
        "sha256": hashlib.sha256(wasm).hexdigest(),
        "bytes": len(wasm),
        "engine": javascript.engine().name if script else _wasmer.ENGINE,
    }
    refusal: GuestError | None = None
    try:
        with Module.compile(wasm, abi=description if script else None) as compiled:  # what is refused is shown, too
            if not script:
                report["stripped_bytes"] = len(_wasmer.strip(wasm))
                report["artifact_bytes"] = len(compiled.serialize())
                report["exports"] = [{"name": name, "type": kind} for name, kind in compiled.exports]
                report["imports"] = [{"module": of, "name": name, "type": kind} for of, name, kind in compiled.imports]
            compiled.check_abi(description)
    except GuestError as error:
        refusal = error
    report["accepted"] = refusal is None
    report["refused"] = None if refusal is None else json_of_error(refusal)
    if as_json:
        write_json(report)
    else:
        _tell(report)
    if refusal is None:
        return ExitCode.OK
    complain_of(refusal)
    return ExitCode.JOB_FAILED


def _tell(report: dict[str, object]) -> None:
    write_line(f"module    {report['file']}")
    write_line(f"digest    sha256:{report['sha256']}")
    sizes = [f"{report['bytes']} bytes"]
    if "stripped_bytes" in report:
        sizes.append(f"{report['stripped_bytes']} without custom sections")
    if "artifact_bytes" in report:
        sizes.append(f"{report['artifact_bytes']} compiled for {_wasmer.TARGET}")
    write_line(f"size      {', '.join(sizes)}")
    if "exports" not in report:
        write_line(f"engine    {report['engine']}")
    for heading, key in (("exports", "exports"), ("imports", "imports")):
        rows = report.get(key)
        if isinstance(rows, list):
            _tell_rows(heading, rows)
    refused = report["refused"]
    if isinstance(refused, dict):
        write_line(f"verdict   refused ({refused['kind']}): {refused['message']}")
    else:
        write_line("verdict   accepted: it keeps to the ABI")


def _tell_rows(heading: str, rows: list[dict[str, str]]) -> None:
    if not rows:
        write_line(f"{heading:<10}none")
    for row in rows:
        name = f"{row['module']}.{row['name']}" if "module" in row else row["name"]
        write_line(f"{heading:<10}{name}: {row['type']}")
        heading = ""
