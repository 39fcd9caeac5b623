"""Starts the updater, or says what is missing for it: ``python -m waspi.updates``, with the agent at descriptor 3."""

from __future__ import annotations

import socket

from waspi.errors import ConfigError
from waspi.extras import how_to_add, is_of
from waspi.updates.updater_messages import SOCKET_FD, Finished, encode_message


def main() -> None:
    """Run the updater to its end."""
    try:
        from waspi.updates.updater import main as run  # noqa: PLC0415 - what it needs may not be installed
    except ModuleNotFoundError as error:
        if not is_of("ota", error.name):
            raise
        told = f"updates need {error.name}: {how_to_add('ota')}"
        with socket.socket(fileno=SOCKET_FD) as sock:
            sock.send(encode_message(Finished(ConfigError.kind, told)))
        return
    run()


if __name__ == "__main__":
    main()
