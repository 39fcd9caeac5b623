"""``waspi agent``: the lean entry, which imports nothing of the command line."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from waspi.errors import ConfigError, Fault, LockdownError, WaspiError

USAGE = "usage: waspi agent --config FILE"
_USAGE_EXIT = 2
_CONFIG_EXIT = 78  # EX_CONFIG of sysexits(3): systemd's RestartPreventExitStatus knows it
_DEVICE_EXIT = 4


def main(argv: Sequence[str] | None = None) -> int:
    """Run the agent until it is told to stop; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    path = os.environ.get("WASPI_CONFIG", "/etc/waspi/waspi.toml")
    while arguments:
        option, _, value = arguments.pop(0).partition("=")
        if option != "--config" or not (value or arguments):
            print(f"waspi: operator: {USAGE}", file=sys.stderr)  # noqa: T201 - a command line speaks
            return _USAGE_EXIT
        path = value or arguments.pop(0)
    try:
        from waspi.device import lean  # noqa: PLC0415 - first of all, so that it can keep modules out

        lean.spare_modules()
        from waspi.device.config import load  # noqa: PLC0415
        from waspi.device.log import set_up  # noqa: PLC0415

        config = load(Path(path))
        set_up(config.log_level, os.environ)
        from waspi.device.agent import Agent  # noqa: PLC0415

        agent = Agent(config, os.environ)
        lean.settle()
        agent.run()
    except WaspiError as error:
        if logging.root.handlers:
            logging.getLogger("waspi").error("%s: %s", error.fault, error.message)  # noqa: TRY400 - one line, no traceback
        else:
            print(f"waspi: {error.fault}: {error.message}", file=sys.stderr)  # noqa: T201
        if isinstance(error, ConfigError | LockdownError) or error.fault is Fault.OPERATOR:
            return _CONFIG_EXIT
        return _DEVICE_EXIT
    return 0


if __name__ == "__main__":
    sys.exit(main())
