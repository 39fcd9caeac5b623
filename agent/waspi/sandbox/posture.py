"""What a child says of its lock-down, against what the configuration demands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from waspi.errors import LockdownError

if TYPE_CHECKING:
    from collections.abc import Mapping


def missing_parts(posture: Mapping[str, str], require: frozenset[str]) -> LockdownError | None:
    """The error to raise or report when a demanded part is not on, else ``None``."""
    for part in sorted(require):
        state = posture.get(part, "off: unknown to this version of waspi")
        if state.startswith("off"):
            return LockdownError(
                f"the configuration requires {part}, but here it is {state}; use a kernel that has it, or require less"
            )
    return None
