"""Cells of the tables that commands draw."""

from __future__ import annotations

from rich.text import Text

from waspi.cli.visible import visible


def cell(text: str, style: str = "") -> Text:
    """Give a stranger's words as one cell: no markup, no control characters, no line of its own making."""
    return Text(visible(text), style=style)
