"""``waspi rollout``: a release, stage by stage."""

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Annotated

import typer
from rich.live import Live

from waspi.cli.broker_options import BrokerOptions, speaks_to_broker
from waspi.cli.console import note, write_json, write_line
from waspi.cli.duration import seconds
from waspi.cli.examples import examples
from waspi.cli.exit_code import ExitCode
from waspi.cli.repo_options import KeysOption, RepoOption, percent, release_named
from waspi.cli.rollout_board import json_of_progress, legend, line_of_progress, now_s, render
from waspi.errors import BrokerError, UsageError
from waspi.fleet.client import Client
from waspi.fleet.repository.repository import Repository
from waspi.fleet.rollout.census import Census
from waspi.fleet.rollout.plan import RolloutPlan, Stage, stage_named
from waspi.fleet.rollout.record import Phase, RolloutRecord
from waspi.fleet.rollout.runner import Rollout

app = typer.Typer(rich_markup_mode="rich", add_completion=False)

Show = Callable[[RolloutRecord, Census, float], None]
LOOK_TIMEOUT_S = 30.0


@app.command(
    epilog=examples(
        "waspi rollout stats@1.2.0 --group kitchen --repo ./releases",
        "waspi rollout stats@1.2.0 --group kitchen --canary pi-7,pi-9 --stages 10%,100% --soak 1h",
        "waspi rollout stats@1.2.0 --group kitchen --stages 1,5%,100% --max-failed 0% --json",
        "waspi rollout stats@1.2.0 --group kitchen --abort",
    )
    + "\n\n"
    + legend()
)
@speaks_to_broker
def rollout(
    release: Annotated[str, typer.Argument(metavar="NAME@VERSION", help="A release of the repository.")],
    *,
    group: Annotated[str, typer.Option("--group", metavar="ID", help="Group whose devices shall run it.")],
    repo: RepoOption,
    stages: Annotated[
        str,
        typer.Option("--stages", metavar="LIST", help="Numbers or shares of the devices, rising."),
    ] = "1%,10%,50%,100%",
    canary: Annotated[
        str, typer.Option("--canary", metavar="IDS", help="Devices that take it first, as a stage of their own.")
    ] = "",
    max_failed: Annotated[
        str, typer.Option("--max-failed", metavar="PERCENT", help="Share of a stage that may fail.")
    ] = "2%",
    soak: Annotated[str, typer.Option("--soak", metavar="TIME", help="How long each stage must stay well.")] = "10m",
    patience: Annotated[
        str, typer.Option("--patience", metavar="TIME", help="How long a device may take before it counts as lost.")
    ] = "30m",
    abort: Annotated[bool, typer.Option("--abort", help="Call the rollout off: all go back.")] = False,
    look: Annotated[str, typer.Option("--look", metavar="TIME", help="How often to look at the fleet.")] = "2s",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document a line for each change.")] = False,
    keys: KeysOption = None,
    at: BrokerOptions,
) -> int:
    """Roll a release out stage by stage, as far as the devices' own reports allow.

    A share is of the group's devices that are online when the stage begins, rounded up. Which devices those are is
    printed before the stage begins; a stage that would add none is passed over. It pauses by itself while too many
    devices are lost, and takes the release back when it fails on too many: exit code 1. Stopped or killed, it goes on
    where it was with the same command.
    """
    name, version = release_named(release)
    repository = Repository(repo, keys=keys)
    choice = at.choice()
    named = (Stage(devices=tuple(each.strip() for each in canary.split(","))),) if canary else ()
    plan = RolloutPlan(
        group=group,
        name=name,
        version=version,
        stages=(*named, *map(stage_named, stages.split(","))),
        max_failed=percent(max_failed),
        soak_s=seconds(soak),
        patience_s=seconds(patience),
    ).check()
    look_s = seconds(look)
    with choice.client() as client, _display(as_json=as_json) as show:
        if abort:
            running = Rollout.resume(repository, group, name)
            running.abort(now_s())
        else:
            members = {view.id for view in client.devices(LOOK_TIMEOUT_S).values() if group in view.groups}
            if not members:
                raise UsageError(f"no device reports to be in group {group}; nothing was published")
            strangers = [device for stage in named for device in stage.devices if device not in members]
            if strangers:
                raise UsageError(f"no device {strangers[0]} reports to be in group {group}; nothing was published")
            running = Rollout.begin(repository, plan, now_s())
        last = _run(running, client, look_s, show)
    ended = running.record
    if ended.phase is Phase.DONE:
        note(f"{ended.plan.label} is on {ended.selection.chosen} of {ended.selection.known} devices of {group}")
        return ExitCode.OK
    if abort:
        left = f"; {len(last.serving)} devices still serve it" if last.serving else ""
        note(f"the rollout of {ended.plan.label} to {group} is called off, as you asked{left}")
        return ExitCode.OK
    note(f"{ended.plan.label} was taken back from {group}: {ended.reason}")
    return ExitCode.JOB_FAILED


def _run(running: Rollout, client: Client, look_s: float, show: Show) -> Census:
    """Look and step until the rollout is over; the last look."""
    pause = threading.Event()
    while True:
        try:
            views = client.devices(LOOK_TIMEOUT_S).values()
        except BrokerError as error:
            note(f"the rollout waits for the broker: {error.message}")
        else:
            census = running.step(views, now_s())
            show(running.record, census, now_s())
            if running.record.phase.final:
                return census
        try:
            pause.wait(look_s)
        except KeyboardInterrupt:
            note("stopped; the same command goes on with it, and with --abort it takes it back")
            raise


@contextlib.contextmanager
def _display(*, as_json: bool) -> Iterator[Show]:
    if as_json or not sys.stdout.isatty():
        yield _Lines(as_json=as_json)
        return
    with Live(auto_refresh=False) as live:
        yield lambda record, census, now: live.update(render(record, census, now), refresh=True)


class _Lines:
    """Writes a line when something changed."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._last: object = None

    def __call__(self, record: RolloutRecord, census: Census, now: float) -> None:
        seen = (record.phase, record.stage, record.reason, census)
        if seen == self._last:
            return
        self._last = seen
        if self._as_json:
            write_json(json_of_progress(record, census, now))
        else:
            write_line(line_of_progress(record, census, now))
            sys.stdout.flush()
