"""Words of strangers as a terminal may show them.

A device, a guest or a module's author chooses what stands in a label, a log, an error or an export's name. On a
terminal such a text could be a command: set the title, move the cursor, hide what stands beside it, turn it round.
Everything that a command writes for people goes through :func:`visible`, and JSON through :func:`json_line`.
"""

from __future__ import annotations

import json
import unicodedata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_SPACES: Final = "Zs"
"""Unicode's category of spaces: not printable for Python, but harmless (U+3000 in Japanese)."""


def visible(text: str, *, keep: str = "") -> str:
    r"""Give ``text`` with each character that has no shape of its own (C0, C1, bidirectional marks) as an escape.

    ``keep`` names characters that pass, as ``"\n\t"`` does for text of many lines. Total: any string will do.
    """
    return _escaped(text, keep, lambda sign: sign.encode("unicode_escape").decode("ascii"))


def visible_bytes(content: bytes) -> str:
    r"""Give bytes as text of many lines; what is no UTF-8 stands as ``\xff``."""
    return visible(content.decode("utf-8", "backslashreplace"), keep="\n\t")


def json_line(document: Mapping[str, object] | Sequence[object]) -> str:
    """Give a document as JSON on one line that a terminal may be shown, too; a parser reads the same values.

    What is no text (a file's name may be bytes) stands as the escape of a lone surrogate, which JSON reads.
    """
    # Outside strings JSON has none of these characters, so each that is found may become JSON's own escape.
    return _escaped(json.dumps(document, ensure_ascii=False), "", lambda sign: json.dumps(sign)[1:-1])


def _escaped(text: str, keep: str, escape: Callable[[str], str]) -> str:
    if text.isprintable():
        return text
    return "".join(
        sign if sign.isprintable() or sign in keep or unicodedata.category(sign) == _SPACES else escape(sign)
        for sign in text
    )
