"""``waspi rollback``: back to the release before, on the device itself."""

from typing import Annotated

import typer

from waspi.cli.console import write_line
from waspi.cli.examples import examples
from waspi.cli.exit_code import ExitCode
from waspi.cli.modules import StateDirOption, records_of
from waspi.device.settings import default_state_dir
from waspi.errors import UsageError
from waspi.updates.register import FOLDER
from waspi.updates.request_box import ask_rollback

app = typer.Typer(rich_markup_mode="rich", add_completion=False)


@app.command(epilog=examples("waspi rollback append"))
def rollback(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The module's name.")],
    *,
    state_dir: StateDirOption = None,
) -> int:
    """Have this device go back to a module's release before the one that serves; a deployment must say to retry it.

    The agent is asked by a file in its state folder: it does it at once, or when it is started next.
    """
    folder = state_dir or default_state_dir()
    record = next((record for record in records_of(folder) if record.name == name), None)
    serving = record.serving if record is not None else None
    if record is None or serving is None:
        raise UsageError(f"no release of {name} serves here; waspi modules shows what does")
    before = record.active if record.trial is not None else record.retired
    if before is None and record.trial is None:
        raise UsageError(f"{serving.label} is the only good release of {name} here: there is none to go back to")
    ask_rollback(folder / FOLDER, name)
    write_line(f"{serving.label} is to be rolled back{f' to {before.label}' if before is not None else ''}")
    return ExitCode.OK
