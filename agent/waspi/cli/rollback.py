"""``waspi rollback``: back to the release before, on the device itself."""

from typing import Annotated

import typer

from waspi.cli.console import write_line
from waspi.cli.examples import examples
from waspi.cli.exit_code import ExitCode
from waspi.cli.modules import StateDirOption, records_of
from waspi.device.settings import default_state_dir
from waspi.errors import UsageError
from waspi.updates import lifecycle
from waspi.updates.local_requests import RollbackRequest, ask_rollback
from waspi.updates.modules_file import FOLDER

app = typer.Typer(rich_markup_mode="rich", add_completion=False)


@app.command(epilog=examples("waspi rollback append", "waspi rollback append --force"))
def rollback(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The module's name.")],
    *,
    state_dir: StateDirOption = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also when there is no release to go back to: then none serves.")
    ] = False,
) -> int:
    """Have this device go back to a module's release before the one that serves; a deployment must say to retry it.

    The agent is asked by a file in its state folder: it does it at once, or when it is started next.
    """
    folder = state_dir or default_state_dir()
    record = next((record for record in records_of(folder) if record.name == name), None)
    serving = record.serving if record is not None else None
    if record is None or serving is None:
        raise UsageError(f"no release of {name} serves here; waspi modules shows what does")
    lifecycle.roll_back(record, serving.release.version, retry=serving.retry, force=force)  # would it be done?
    before = lifecycle.before_serving(record)
    ask_rollback(folder / FOLDER, RollbackRequest(name, serving.release.version, serving.retry, force))
    whereto = f"to {before.label}" if before is not None else f"and no release of {name} serves then"
    write_line(f"{serving.label} is to be rolled back {whereto}")
    return ExitCode.OK
