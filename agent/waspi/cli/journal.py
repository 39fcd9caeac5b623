"""``waspi journal``: what a device remembers, read on the device itself, while the agent runs or not."""

import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from waspi.cli.console import json_of_bytes, write_json, write_line
from waspi.cli.examples import examples
from waspi.cli.exit_code import ExitCode
from waspi.cli.result_report import json_of_result
from waspi.device.settings import default_state_dir
from waspi.errors import EnvelopeError, UsageError
from waspi.journal.inspect import list_jobs, prune_jobs, show_job, summarize
from waspi.journal.quotas import Quotas
from waspi.journal.rows import JobRow
from waspi.model.state import JobState
from waspi.protocol.result_envelope import decode_result

app = typer.Typer(
    rich_markup_mode="rich",
    add_completion=False,
    no_args_is_help=True,
    help="List, show and prune the jobs that a device remembers.",
)

StateDirOption = Annotated[
    Path | None,
    typer.Option("--state-dir", metavar="DIR", help="The device's device.state_dir, by default /var/lib/waspi."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_QUOTAS = Quotas()


@app.command("list", epilog=examples("waspi journal list", "waspi journal list --state FAILED --limit 20 --json"))
def list_rows(
    *,
    state_dir: StateDirOption = None,
    state: Annotated[list[JobState] | None, typer.Option("--state", help="Only jobs in this state.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="N", help="So many, newest first.")] = 50,
    as_json: JsonOption = False,
) -> int:
    """List jobs, newest first, then the totals."""
    path = _path(state_dir)
    rows = list_jobs(path, states=state or (), limit=limit)
    summary = summarize(path)
    if as_json:
        write_json({"jobs": [_json_of_row(row) for row in rows], **asdict(summary)})
        return ExitCode.OK
    if rows:
        write_line(f"{'received':<20} {'state':<12}{'tries':>5}  {'job':<24} module")
    for row in rows:
        write_line(f"{_time(row.received_at):<20} {row.state:<12}{row.attempt:>5}  {row.id:<24} {row.module}")
    counters = summary.counters
    write_line(
        f"received {counters.received}, succeeded {counters.succeeded}, failed {counters.failed},"
        f" timed out {counters.timed_out}, rejected {counters.rejected}, canceled {counters.canceled},"
        f" expired {counters.expired}; {summary.file_bytes} bytes on disk"
    )
    for name in summary.damaged:
        write_line(f"damaged journal that was set aside: {path.parent / name}")
    return ExitCode.OK


@app.command(epilog=examples("waspi journal show j-0123456789abcdef0123 --json"))
def show(
    job: Annotated[str, typer.Argument(metavar="JOB", help="The job's id.")],
    *,
    state_dir: StateDirOption = None,
    as_json: JsonOption = False,
) -> int:
    """Show one job, with its stored result."""
    row = show_job(_path(state_dir), job)
    if row is None:
        raise UsageError(f"this device does not remember a job {job!r}; waspi journal list shows those it does")
    document = _json_of_row(row) | {"topic": row.topic, "reply_to": row.reply_to, "sha256": row.body_hash.hex()}
    document["result"] = _json_of_result(row)
    if as_json:
        write_json(document)
        return ExitCode.OK
    for key, value in _flat(document):
        if value not in (None, ""):
            write_line(f"{key:<26} {value}")
    return ExitCode.OK


@app.command(
    epilog=examples("waspi journal prune --older-than-h 24", "waspi journal prune --keep 0 --older-than-h 0 --compact")
)
def prune(
    *,
    state_dir: StateDirOption = None,
    older_than_h: Annotated[
        float, typer.Option("--older-than-h", min=0, metavar="H", help="Only jobs received before so many hours.")
    ] = _QUOTAS.retention_s / 3600,
    keep: Annotated[
        int, typer.Option("--keep", min=0, metavar="N", help="Keep the newest N whatever their age.")
    ] = _QUOTAS.keep_jobs,
    compact: Annotated[bool, typer.Option("--compact", help="Give the space back: rewrites the file.")] = False,
    as_json: JsonOption = False,
) -> int:
    """Forget finished jobs whose results were delivered. A job that could still be sent again is kept."""
    count = prune_jobs(
        _path(state_dir), now=time.time(), keep_jobs=keep, older_than_s=older_than_h * 3600, compact=compact
    )
    left = summarize(_path(state_dir)).usage.jobs
    if as_json:
        write_json({"forgotten": count, "kept": left})
    else:
        write_line(f"forgot {count} jobs; {left} are kept")
    return ExitCode.OK


def _path(state_dir: Path | None) -> Path:
    return (state_dir or default_state_dir()) / "journal.db"


def _time(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _flat(document: dict[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Give the rows of a table: nested keys with dots, times as people read them, bytes that are text once."""
    for key, value in document.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        elif key.endswith("_at") and isinstance(value, float):
            yield prefix + key, _time(value)
        elif not key.endswith("_base64") or document[key.removesuffix("_base64")] is None:
            yield prefix + key, repr(value) if key in {"output", "log"} and value else value


def _json_of_row(row: JobRow) -> dict[str, object]:
    return {
        "id": row.id,
        "state": str(row.state),
        "received_at": row.received_at,
        "attempt": row.attempt,
        "module": row.module,
        "priority": row.priority,
        "expires_at": row.expires_at,
        "plain": row.plain,
    }


def _json_of_result(row: JobRow) -> dict[str, object] | None:
    if row.result is None:
        return None
    try:
        return json_of_result(decode_result(row.result))
    except EnvelopeError:  # a plain job's: raw output
        return json_of_bytes("output", row.result)
