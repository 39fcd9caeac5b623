"""A job's result on stdout and stderr."""

from __future__ import annotations

import json

from waspi.cli.console import complain, json_of_bytes, json_of_error, write_bytes, write_json, write_line, write_log
from waspi.cli.exit_code import ExitCode
from waspi.model.result import Result
from waspi.model.state import JobState


def report_result(result: Result, *, as_json: bool) -> ExitCode:
    """Write a result: its outputs raw, one after the other, or one JSON document; its error as the one line."""
    if as_json:
        write_json(json_of_result(result))
    else:
        write_log(result.log)
        write_bytes(b"".join(result.outputs))
    return _end(result, f"job {result.id} on {result.device}")


def report_group(result: Result, *, as_json: bool) -> ExitCode:
    """Write one of many results on a line of its own: ``device<TAB>state<TAB>output`` or JSON."""
    if as_json:
        write_json(json_of_result(result))
    else:
        output = b"".join(result.outputs)
        write_line(f"{result.device}\t{result.state}\t{_one_line(output)}")
    return _end(result, result.device)


def json_of_result(result: Result) -> dict[str, object]:
    """Give a result as the protocol has it, with bytes as text and base64."""
    document: dict[str, object] = {"id": result.id, "device": result.device, "state": str(result.state)}
    if result.batch:
        document["outputs"] = [json_of_bytes("output", output) for output in result.outputs]
    elif result.outputs:
        document |= json_of_bytes("output", result.outputs[0])
    if result.error is not None:
        document["error"] = json_of_error(result.error)
    usage = result.usage
    return {
        **document,
        **json_of_bytes("log", result.log),
        "usage": {
            "fuel": usage.fuel,
            "memory_bytes": usage.memory_bytes,
            "run_us": usage.run_us,
            "queue_us": usage.queue_us,
            "module": None if usage.module is None else str(usage.module),
        },
        "attempt": result.attempt,
        "module": result.module,
    }


def _end(result: Result, what: str) -> ExitCode:
    if result.state is JobState.SUCCEEDED:
        return ExitCode.OK
    if result.error is None:
        complain("device", f"{what}: {result.state}")
    else:
        complain(result.error.fault, f"{what}: {result.state} ({result.error.kind}): {result.error.message}")
    return ExitCode.JOB_FAILED


def _one_line(output: bytes) -> str:
    try:
        text = output.decode()
    except UnicodeDecodeError:
        return output.hex()
    # Text with control characters is quoted: it must neither break the line nor reach the terminal as commands.
    return text if text.isprintable() else json.dumps(text)
