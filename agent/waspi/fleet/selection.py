"""Which devices somebody wants to see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from waspi.fleet.registry import DeviceView


@dataclass(frozen=True, slots=True)
class Selection:
    """Everything that is stated must hold; nothing stated takes every device."""

    groups: frozenset[str] = frozenset()
    """It is in each of them."""
    labels: Mapping[str, str | None] = field(default_factory=dict)
    """It has each of them, with this value, or with any where ``None`` stands."""
    module: str = ""
    """It reports this module."""
    version: str = ""
    """In this version."""
    online: bool | None = None

    def takes(self, view: DeviceView) -> bool:
        """Whether the device is one of them."""
        if self.online is not None and view.online is not self.online:
            return False
        if not self.groups.issubset(view.groups):
            return False
        reported = view.reported
        labels = reported.labels if reported is not None else {}
        if any(key not in labels or value not in {None, labels[key]} for key, value in self.labels.items()):
            return False
        modules = reported.modules if reported is not None else ()
        return not self.module or any(
            module.name == self.module and self.version in {"", module.version} for module in modules
        )
