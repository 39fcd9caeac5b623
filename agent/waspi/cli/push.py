"""``waspi push``: a job for a device, or for every device of a group."""

import re
from dataclasses import replace
from typing import Annotated

import typer

from waspi.cli.broker_options import BrokerOptions, speaks_to_broker
from waspi.cli.console import note, write_line
from waspi.cli.duration import WaitOption, seconds
from waspi.cli.examples import examples
from waspi.cli.exit_code import ExitCode
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
from waspi.cli.result_report import report_group, report_result
from waspi.errors import NoAnswerError, UsageError
from waspi.fleet.client import Client
from waspi.fleet.job_order import JobOptions
from waspi.fleet.module_source import abi_for, module_from
from waspi.model.limits import Limits
from waspi.model.module import BYTECODE, InlineModule, ModuleRef
from waspi.model.result import Result
from waspi.protocol.ids import check_id

app = typer.Typer(rich_markup_mode="rich", add_completion=False)

WORTH_TELLING_BYTES = 64 * 1024
"""Debug information that is left out without a word when there is less of it."""


@app.command(
    epilog=examples(
        "waspi push --device pi-7 append.wasm 'The input string'",
        "waspi push --device pi-7 stats@1.2.0 --input-file readings.json --timeout 10s --json",
        "waspi push --group kitchen --sign ops sha256:9f86d0... 'hello'",
        "job=$(waspi push --device pi-7 --no-wait long.wasm ''); waspi cancel --device pi-7 $job",
    )
)
@speaks_to_broker
def push(
    module: Annotated[
        str, typer.Argument(metavar="MODULE", help="A file, sha256:DIGEST, or NAME or NAME@VERSION of a deployed one.")
    ],
    text: InputArgument = None,
    *,
    device: Annotated[str | None, typer.Option("--device", metavar="ID", help="Device that runs it.")] = None,
    group: Annotated[str | None, typer.Option("--group", metavar="ID", help="Group whose devices all run it.")] = None,
    input_file: InputFileOption = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the result, or print the job's id.")] = True,
    timeout: WaitOption = 60.0,
    abi: AbiOption = None,
    entry: EntryOption = None,
    fuel: FuelOption = None,
    memory_mib: MemoryOption = None,
    time_limit: TimeOption = None,
    output_kib: OutputOption = None,
    priority: Annotated[int, typer.Option("--priority", min=-100, max=100, help="Higher runs first.")] = 0,
    expires_in: Annotated[
        float | None,
        typer.Option("--expires-in", metavar="TIME", parser=seconds, help="Must not start later than this: 30s, 1h."),
    ] = None,
    job_id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="The job's id; the same job twice runs once.")
    ] = None,
    sign: Annotated[
        str | None, typer.Option("--sign", metavar="KEY", help="Sign with this key: an id of waspi keys, or a file.")
    ] = None,
    strip: Annotated[
        bool, typer.Option("--strip/--no-strip", help="Send a file without its debug information.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print results as JSON, one a line.")] = False,
    at: BrokerOptions,
) -> int:
    """Run MODULE on a device and write its raw output to stdout; everything else goes to stderr.

    It is sent again by itself when the broker or the network loses it, and still has one result. Exit code 0, 1 when
    the job failed, 2 for wrong use, 3 when the broker or the device did not answer.
    """
    if (device is None) == (group is None):
        raise UsageError("give --device ID or --group ID")
    check_id(device or group or "", "device" if device is not None else "group")
    choice = at.choice()
    options = JobOptions(
        limits=limits_of(Limits(), fuel=fuel, memory_mib=memory_mib, time_limit=time_limit, output_kib=output_kib),
        abi=abi_for(module, abi_of(abi, entry)),
        priority=priority,
        expires_in_s=expires_in,
        detached=not wait,
    )
    if job_id is not None:
        options["job_id"] = job_id
    whole = module_from(module)
    source = _stripped(whole) if strip else whole
    data = read_input(text, input_file)
    with choice.client(sign=sign) as client:
        if group is not None:
            return _push_to_group(client, group, source, data, options, wait=wait, timeout=timeout, as_json=as_json)
        handle = client.submit(device or "", source, data, **options)
        if not wait:
            handle.wait_until_taken(timeout)
            write_line(handle.id)
            return ExitCode.OK
        try:
            result = handle.result(timeout)
        except (NoAnswerError, KeyboardInterrupt):
            note(_what_next(handle.id, f"waspi cancel --device {device} {handle.id}"))
            raise
        return report_result(_located(result, whole, source), as_json=as_json)


def _push_to_group(
    client: Client,
    group: str,
    source: ModuleRef,
    data: bytes,
    options: JobOptions,
    *,
    wait: bool,
    timeout: float,
    as_json: bool,
) -> ExitCode:
    handle = client.submit_group(group, source, data, **options)
    if not wait:
        handle.wait_until_taken(timeout)
        write_line(handle.id)
        return ExitCode.OK
    if not handle.expected:
        note(f"no device is online that reports to be in group {group}; waiting {timeout:g} s for any answer")
    try:
        codes = [report_group(result, as_json=as_json) for result in handle.results(timeout)]
    except KeyboardInterrupt:
        names = " ".join(sorted(handle.missing)) or "each device"
        note(_what_next(handle.id, f"waspi cancel --device ID {handle.id}, for {names}"))
        raise
    if handle.missing or not codes:
        raise NoAnswerError(f"no answer in {timeout:g} s from {', '.join(sorted(handle.missing)) or f'group {group}'}")
    return max(codes)


def _located(result: Result, whole: ModuleRef, sent: ModuleRef) -> Result:
    """The result with the names and places of the file, where the board saw a module without its names."""
    error = result.error
    index = None if error is None else re.fullmatch(r"func\[(\d+)\]", error.function or "")
    if error is None or index is None or whole is sent or not isinstance(whole, InlineModule):
        return result
    from waspi import _wasmer  # noqa: PLC0415 - as below

    name, offset = _wasmer.locate(whole.wasm, int(index[1]), error.offset or 0)
    place, found = f"{error.function} (at byte {error.offset} of the module)", f"{name} (at byte {offset} of the file)"
    told = replace(
        error,
        message=error.message.replace(place, found).replace(error.function or "", name),
        function=name,
        offset=None if error.offset is None else offset,
    )
    return replace(result, error=told)


def _what_next(job_id: str, cancel: str) -> str:
    return f"job {job_id} goes on without you; to stop it: {cancel}; to wait on: the same command with --id {job_id}"


def _stripped(module: ModuleRef) -> ModuleRef:
    if not isinstance(module, InlineModule) or not module.wasm.startswith(BYTECODE):
        return module
    from waspi import _wasmer  # noqa: PLC0415 - pushing a deployed module needs no native module here

    wasm = _wasmer.strip(module.wasm)
    if len(module.wasm) - len(wasm) >= WORTH_TELLING_BYTES:
        note(f"sending {len(wasm)} of {len(module.wasm)} bytes: debug information stays here (--no-strip sends it)")
    return InlineModule(wasm)
