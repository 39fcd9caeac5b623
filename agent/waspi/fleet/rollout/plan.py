"""What an operator asks of a rollout, and which devices a stage is to take in: counted from the devices that are there.

A stage is a number of devices, a share of them, or names. A share is of the devices of the group that are online when
the stage begins, rounded up, so that no stage is empty; whoever is in a stage is in every later one. Up to MAX_NAMED
devices are named in the deployment: a stage of one device stays one, whoever joins the group meanwhile. A larger stage
is drawn by hash (:func:`waspi.protocol.wanted.bucket`), so that ten thousand devices need no list, and those that join
have their share of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil
from typing import Final

from waspi.errors import EnvelopeError, UsageError
from waspi.protocol.deployment_document import MAX_NAMED
from waspi.protocol.ids import is_id, is_version
from waspi.protocol.wanted import bucket, hundredths

MOST_STAGES: Final = 32
ALL: Final = 100.0
"""Per cent."""


@dataclass(frozen=True, slots=True)
class Stage:
    """How far a rollout goes in one step: exactly one of these is stated."""

    percent: float = 0.0
    """Of the group's devices."""
    count: int = 0
    devices: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether it takes in every device, those included that come later (``bool``)."""
        return self.percent == ALL

    def size(self, known: int) -> int:
        """How many of ``known`` devices it takes in: at least one."""
        wanted = self.count or ceil(hundredths(self.percent) * known / 10_000)
        return min(known, max(1, wanted))

    def __str__(self) -> str:
        """As it is written: ``10%``, ``3``, ``pi-7,pi-9``."""
        return ",".join(self.devices) or (str(self.count) if self.count else f"{self.percent:g}%")


@dataclass(frozen=True, slots=True)
class RolloutPlan:
    """A release, a group, and how carefully."""

    group: str
    name: str
    version: str
    stages: tuple[Stage, ...] = (Stage(1.0), Stage(10.0), Stage(50.0), Stage(ALL))
    max_failed: float = 2.0
    """Per cent of a stage's devices on which it may fail; one more, and the rollout is aborted."""
    soak_s: float = 600.0
    """Seconds for which a stage must stay well before the next begins."""
    patience_s: float = 1800.0
    """Seconds after which a device that has not come through counts as lost."""

    @property
    def label(self) -> str:
        """``name@version``."""
        return f"{self.name}@{self.version}"

    def check(self) -> RolloutPlan:
        """Return the plan; raises :class:`UsageError` when it makes no sense."""
        if not is_id(self.group) or not is_id(self.name) or not is_version(self.version):
            raise UsageError(f"{self.label} to {self.group}: an id, a version and a group are expected")
        if not 0 < len(self.stages) <= MOST_STAGES:
            raise UsageError(f"a rollout has 1 to {MOST_STAGES} stages")
        shares = [stage.percent for stage in self.stages if stage.percent]
        counts = [stage.count for stage in self.stages if stage.count]
        if shares != sorted(set(shares)) or counts != sorted(set(counts)):
            raise UsageError("stages must rise, for example 1,10%,50%,100%")
        for stage in self.stages:
            _check_stage(stage)
        if not 0 <= self.max_failed <= ALL or self.soak_s < 0 or self.patience_s <= 0:
            raise UsageError("--max-failed goes from 0% to 100%; --soak and --patience are no negative times")
        return self


def _check_stage(stage: Stage) -> None:
    if sum(map(bool, (stage.percent, stage.count, stage.devices))) != 1:
        raise UsageError("a stage takes in at least one device: 1, 10% or names")
    try:
        hundredths(stage.percent)
    except EnvelopeError as error:
        raise UsageError(error.message) from error
    if stage.count < 0 or len(stage.devices) > MAX_NAMED or len(set(stage.devices)) != len(stage.devices):
        raise UsageError(f"a stage names up to {MAX_NAMED} devices, each once")
    for device in stage.devices:
        if not is_id(device):
            raise UsageError(f"{device!r} is no device id")


def stage_named(text: str) -> Stage:
    """Read ``10%`` or ``3``; raises :class:`UsageError`."""
    number = text.strip()
    try:
        if number.endswith("%"):
            return Stage(percent=float(number[:-1]))
        if number.isascii() and number.isdecimal():
            return Stage(count=int(number))
    except ValueError:
        pass
    raise UsageError(f"{text!r} is no stage; write a number of devices or a share of them, for example 1,10%,100%")


@dataclass(frozen=True, slots=True)
class Selection:
    """The devices of a stage, as the deployment states them."""

    percent: float = 0.0
    """Of the draw by hash."""
    names: tuple[str, ...] = ()
    known: int = 0
    """Devices that were there to choose from: the group decides on them, and they are online."""
    chosen: int = 0
    """How many of them are in it."""
    added: tuple[str, ...] = ()
    """Those that the stage before did not take in, by id."""

    def holds(self, device: str, release: str) -> bool:
        """Whether the device is in it."""
        return device in self.names or bucket(device, release) < hundredths(self.percent)


NOBODY: Final = Selection()


def select(stage: Stage, before: Selection, release: str, online: Iterable[str]) -> Selection:
    """The devices that ``stage`` takes in: those of ``before``, the stage before it, and as many as are missing."""
    known = sorted(online, key=lambda device: (bucket(device, release), device))
    held = [device for device in known if before.holds(device, release)]
    percent, names = before.percent, before.names
    if stage.whole:
        percent = ALL
    elif stage.devices:
        names = tuple(sorted({*names, *stage.devices}))
    else:
        lacking = [device for device in known if not before.holds(device, release)]
        more = lacking[: max(0, stage.size(len(known)) - len(held))]
        if more and not percent and len({*names, *more}) <= MAX_NAMED:
            names = tuple(sorted({*names, *more}))
        elif more:
            percent = (bucket(more[-1], release) + 1) / 100
    after = Selection(percent, names)
    chosen = [device for device in known if after.holds(device, release)]
    return Selection(percent, names, len(known), len(chosen), tuple(sorted({*chosen} - {*held})))
