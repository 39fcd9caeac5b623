"""Examples below a command's help."""

from __future__ import annotations


def examples(*lines: str) -> str:
    """Give an epilog that shows each command line on a line of its own."""
    return "\n\n".join(["Examples:", *(f"  {line}".replace("[", r"\[") for line in lines)])
