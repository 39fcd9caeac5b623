"""``waspi agent`` on a board whose clock was never set: it woke in 1970, and seconds pass from there."""

from __future__ import annotations

import sys
import time

time.time = time.monotonic  # before waspi is imported, which takes its clock from here

from waspi.__main__ import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(["agent", *sys.argv[1:]]))
