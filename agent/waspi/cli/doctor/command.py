"""``waspi doctor``: the command."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from waspi.cli.broker_options import BrokerOptions, speaks_to_broker
from waspi.cli.console import write_json, write_line
from waspi.cli.doctor.broker import Login, look_at_broker
from waspi.cli.doctor.finding import Area, Finding, Level, exit_code_of, look
from waspi.cli.doctor.machine import look_at_machine
from waspi.cli.doctor.settings import look_at_config
from waspi.cli.examples import examples
from waspi.cli.json_option import JsonOption
from waspi.device.config import load
from waspi.device.settings import Config, default_state_dir
from waspi.errors import ConfigError

app = typer.Typer(rich_markup_mode="rich", add_completion=False)

_COLOURS = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "red"}


@app.command(
    epilog=examples(
        "waspi doctor",
        "waspi doctor --config /etc/waspi/waspi.toml",
        "waspi doctor --broker mqtts://broker.lan:8884 --ca ca.crt --cert ops.crt --key ops.key --json",
    )
)
@speaks_to_broker
def doctor(
    *,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="A device's configuration; its broker is looked at too."),
    ] = None,
    as_json: JsonOption = False,
    at: BrokerOptions,
) -> int:
    """Look for what is dangerous or missing: on this machine, in a configuration, at the broker.

    Every finding says what to do. Exit code 0 when nothing failed (warnings may remain), 2 when the configuration
    fails, 3 when the broker does, 4 when this machine does.
    """
    findings: list[Finding] = []
    for finding in _findings(config, at):
        findings.append(finding)
        if not as_json:
            _tell(finding)
    if as_json:
        write_json({"ok": not exit_code_of(findings), "findings": [finding.as_json() for finding in findings]})
    return exit_code_of(findings)


def _findings(file: Path | None, at: BrokerOptions) -> Iterator[Finding]:
    config: Config | None = None
    if file is not None:
        try:
            config = load(file)
        except ConfigError as error:
            yield Finding(
                Area.CONFIG, "configuration", Level.FAIL, error.message, "waspi config example shows every key"
            )
    state_dir = config.state_dir if config is not None else default_state_dir()
    yield from look_at_machine(state_dir, config.policy.require if config is not None else ())
    if config is not None and file is not None:
        yield from look_at_config(config, file)
    try:
        choice = at.choice_if_stated()
    except ConfigError as error:
        choice = None
        yield Finding(
            Area.CONFIG, "broker", Level.FAIL, error.message, "mend the profile, or give --broker mqtt://host"
        )
    if choice is not None:
        login = Login(choice.address, choice.fleet, choice.tls, choice.username, choice.password)
        yield from look(Area.BROKER, "reachable", lambda: look_at_broker(login, is_device=False))
    if config is not None:
        own = config.broker
        login = Login(own.address, config.fleet, own.tls, own.username, own.password)
        yield from look(Area.BROKER, "reachable", lambda: look_at_broker(login, is_device=True))


def _tell(finding: Finding) -> None:
    said = f" {finding.area}: {finding.what}: {finding.found}"
    write_line(said, head=f"{finding.level:<5}", colour=_COLOURS[finding.level])
    if finding.todo:
        write_line(f"      -> {finding.todo}")
