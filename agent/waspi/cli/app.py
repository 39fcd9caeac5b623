"""The command line's frame: which commands there are, and how every one of them ends."""

from __future__ import annotations

import traceback
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import typer
from typer.core import TyperGroup

from waspi.cli.console import complain, complain_of, drop_stdout, note, set_up_streams, stdout
from waspi.cli.exit_code import ExitCode, exit_code_of
from waspi.errors import WaspiError
from waspi.extras import how_to_add, is_of

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS: Final = {
    "new": "waspi.cli.new",
    "test": "waspi.cli.function_test",
    "dev": "waspi.cli.dev",
    "run": "waspi.cli.run",
    "inspect": "waspi.cli.inspect",
    "bench": "waspi.cli.bench",
    "push": "waspi.cli.push",
    "cancel": "waspi.cli.cancel",
    "watch": "waspi.cli.watch",
    "agent": "waspi.cli.agent",
    "config": "waspi.cli.config",
    "journal": "waspi.cli.journal",
    "modules": "waspi.cli.modules",
    "rollback": "waspi.cli.rollback",
    "doctor": "waspi.cli.doctor.command",
    "keys": "waspi.cli.keys",
    "profile": "waspi.cli.profiles",
    "broker": "waspi.cli.broker",
    "device": "waspi.cli.device",
    "repo": "waspi.cli.repo",
    "golden": "waspi.cli.golden",
    "depot": "waspi.cli.depot",
    "rollout": "waspi.cli.rollout",
    "fleet": "waspi.cli.fleet",
    "install-service": "waspi.cli.install_service",
    "backup": "waspi.cli.backup",
    "restore": "waspi.cli.restore",
}
"""Command to the module whose ``app`` it is; in the order in which ``--help`` shows them."""


class LazyGroup(TyperGroup):
    """Imports a command's module when it is called, so that ``waspi run`` does not wait for MQTT, TLS and tables."""

    def list_commands(self, ctx: object) -> list[str]:
        """Names of the commands, in the table's order."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: object, cmd_name: str) -> Any:  # noqa: ANN401 - typer's type of a command is private
        """Give the command called ``cmd_name``, or ``None``."""
        del ctx
        module = COMMANDS.get(cmd_name)
        if module is None:
            return None
        command = typer.main.get_command(import_module(module).app)
        command.name = cmd_name
        return command


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 the guest or the job failed, 2 wrong use, 3 broker or no answer, 4 device, "
    "78 configuration of waspi agent.",
)


@app.callback()
def waspi(
    version: bool = typer.Option(False, "--version", help="Show version, engine and processor."),
) -> None:
    """Run WebAssembly functions here or on a fleet of boards."""
    del version  # answered in waspi.__main__ when it stands alone, which is the only way it makes sense


def main(argv: Sequence[str]) -> int:
    """Run the command in ``argv`` and give its exit code; every error is one line on stderr.

    A traceback comes before it only where waspi itself is at fault.
    """
    set_up_streams()
    try:
        try:
            result = typer.main.get_command(app).main(args=list(argv), prog_name="waspi", standalone_mode=False)
            with stdout():
                pass  # --help, too, has to reach its reader
        except SystemExit as error:
            if not isinstance(error.__context__, BrokenPipeError):
                raise
            drop_stdout()  # click ends with 1, which says that a guest failed
            return ExitCode.PIPE
    except typer.Exit as error:
        return error.exit_code
    except WaspiError as error:
        complain_of(error)
        return exit_code_of(error)
    except (typer.Abort, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - exit code 1, Python's own, says that a guest failed
        return _end_by(error, argv)
    return result if isinstance(result, int) else ExitCode.OK


def _end_by(error: Exception, argv: Sequence[str]) -> ExitCode:
    if isinstance(error, typer.TyperException):
        text = error.format_message() or "no command given"
        complain("operator", f"{text} (see waspi {_command_of(argv)}--help)")
        return ExitCode.USAGE
    if isinstance(error, ImportError) and is_of("ota", error.name):
        complain("operator", f"this command needs {error.name}: {how_to_add('ota')}")
        return ExitCode.USAGE
    if isinstance(error, ImportError) and "_wasmer" in str(error):
        complain("device", f"the native module does not load: {error}; reinstall waspi")
    elif isinstance(error, OSError):
        drop_stdout()  # it may be what failed; what came out before is flushed
        complain("device", f"{error.strerror or error}" + (f": {error.filename}" if error.filename else ""))
    else:
        for line in "".join(traceback.format_exception(error)).splitlines():
            note(line)
        complain("device", f"a fault of waspi itself, please report the lines above: {type(error).__name__}: {error}")
    return ExitCode.DEVICE


def _command_of(argv: Sequence[str]) -> str:
    return f"{argv[0]} " if argv and argv[0] in COMMANDS else ""
