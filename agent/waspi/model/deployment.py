"""A deployment: which modules, in which versions, the devices of a group shall run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DeploymentEntry:
    """One module of a deployment."""

    name: str
    version: str
    """The version that devices within the stage run."""
    stage: float = 100.0
    """Per cent of the devices, 0 to 100 in steps of 0.01, that are to run ``version``: drawn by hash."""
    base: str | None = None
    """The version that the other devices run; ``None``: they keep what they have, which may be nothing."""
    retry: int = 0
    """Raised by one, it has devices on which ``version`` was given up try it once more."""
    devices: tuple[str, ...] = ()
    """Devices that are to run ``version`` besides those that are drawn, by id."""

    @property
    def label(self) -> str:
        """``name@version`` (``str``): the release by which the stage is drawn."""
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, slots=True)
class Deployment:
    """Everything that a group's devices shall run; a module that is not named any more is taken off them."""

    group: str
    serial: int
    """Counts the group's deployments, from 1; a device refuses one below the highest that it has seen."""
    entries: tuple[DeploymentEntry, ...] = ()
    """By name, each name once."""

    def entry(self, name: str) -> DeploymentEntry | None:
        """The entry of module ``name``, or ``None``."""
        return next((entry for entry in self.entries if entry.name == name), None)
