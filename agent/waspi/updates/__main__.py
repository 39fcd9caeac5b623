"""Starts the updater, or says what is missing for it: ``python -m waspi.updates``, with the agent at descriptor 3."""

from __future__ import annotations

import socket

from waspi.errors import ConfigError
from waspi.updates.updater_messages import SOCKET_FD, Finished, encode_message

_OTA_EXTRA = frozenset(("tuf", "securesystemslib", "cryptography", "urllib3"))


def main() -> None:
    """Run the updater to its end."""
    try:
        from waspi.updates.updater import main as run  # noqa: PLC0415 - what it needs may not be installed
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _OTA_EXTRA:
            raise
        told = f"updates need {missing}, which is not installed here; install it with: pip install 'waspi[ota]'"
        with socket.socket(fileno=SOCKET_FD) as sock:
            sock.send(encode_message(Finished(ConfigError.kind, told)))
        return
    run()


if __name__ == "__main__":
    main()
