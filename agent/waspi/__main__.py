"""The one entry point: ``waspi`` and ``python -m waspi``.

``waspi agent`` and ``waspi --version`` must work on a device that has none of the command line's libraries, and an
agent must not carry them in its memory, so both are answered before anything of ``waspi.cli`` is imported.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

USAGE_EXIT = 2
DEVICE_EXIT = 4


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; ``argv`` without the program's name. Returns the exit code (:class:`waspi.cli.exit_code`)."""
    _open_standard_streams()
    arguments = list(sys.argv[1:] if argv is None else argv)
    asks_for_help = "--help" in arguments or "-h" in arguments
    if arguments[:1] == ["agent"] and not asks_for_help:
        from waspi.device.__main__ import main as agent_main  # noqa: PLC0415 - see the module's docstring

        return agent_main(arguments[1:])
    if arguments == ["--version"]:
        return _version()
    try:
        from waspi.cli.app import main as cli_main  # noqa: PLC0415 - see the module's docstring
    except ModuleNotFoundError as error:
        from waspi.extras import how_to_add, is_of  # noqa: PLC0415 - an agent never comes here

        if not is_of("cli", error.name):
            raise
        print(  # noqa: T201 - a command line speaks
            "waspi: operator: the command line is for the operator's machine, and not installed here"
            f" (waspi agent works without); {how_to_add('cli')}",
            file=sys.stderr,
        )
        return USAGE_EXIT
    return cli_main(arguments)


def _open_standard_streams() -> None:
    """Make streams that came closed /dev/null: else what is opened next has their number, and is written to.

    Standard output becomes one that cannot be written to: a command whose result nobody gets must not end well.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDONLY if name == "stdout" else os.O_RDWR)
            if descriptor != number:
                os.dup2(descriptor, number)
                os.close(descriptor)
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))  # noqa: SIM115


def _version() -> int:
    from waspi import __version__  # noqa: PLC0415

    python = ".".join(str(part) for part in sys.version_info[:3])
    try:
        from waspi import _wasmer  # noqa: PLC0415
    except ImportError as error:
        print(f"waspi {__version__} (no engine, python {python})")  # noqa: T201
        print(f"waspi: device: the native module does not load: {error}; reinstall waspi", file=sys.stderr)  # noqa: T201
        return DEVICE_EXIT
    print(f"waspi {__version__} ({_wasmer.ENGINE}, {_scripts()}, {_wasmer.TARGET}, python {python})")  # noqa: T201
    return 0


def _scripts() -> str:
    """What runs scripts here."""
    from waspi import javascript  # noqa: PLC0415
    from waspi.errors import DeviceError  # noqa: PLC0415

    try:
        return javascript.engine().name
    except DeviceError:
        return "no JavaScript"


if __name__ == "__main__":
    sys.exit(main())
