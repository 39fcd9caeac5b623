"""A job that waits for its answer, and where it is on its way."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from waspi.errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Callable

    from waspi.errors import WaspiError
    from waspi.model.result import Result
    from waspi.model.state import JobState


class Delivery(StrEnum):
    """How far a job is, seen from here."""

    WAITING = "waiting"
    """To be published: new, or to be sent again."""
    SENT = "sent"
    """Published; the broker has not acknowledged it."""
    TAKEN = "taken"
    """The broker has it."""
    DONE = "done"
    """Answered, given up or withdrawn."""


TRANSITIONS: Final[dict[Delivery, frozenset[Delivery]]] = {
    Delivery.WAITING: frozenset({Delivery.SENT, Delivery.DONE}),
    # Back to WAITING: the connection was lost, or the device said that it does not know the job.
    Delivery.SENT: frozenset({Delivery.TAKEN, Delivery.WAITING, Delivery.DONE}),
    Delivery.TAKEN: frozenset({Delivery.WAITING, Delivery.DONE}),
    Delivery.DONE: frozenset(),
}


@dataclass(slots=True)
class PendingJob:
    """What has to be known to send a job again, byte for byte, and to tell its answer from another's."""

    id: str
    device: str | None
    """``None``: every device of ``group``."""
    group: str | None
    topic: str
    body: bytes
    content_type: str
    correlation: bytes
    on_result: Callable[[Result], bool]
    """Takes an answer; says whether it was the last one."""
    on_failure: Callable[[WaspiError], object]
    on_taken: Callable[[], None]
    """Told when the broker has it."""
    detached: bool = False
    """Sent without Response Topic: the answer goes to the device's own result topic."""
    expires_at: float | None = None
    """Unix time; the broker drops the message then."""
    input_bytes: int = 0
    """Of all inputs together."""
    module_bytes: int = 0
    """Of the module, where it travels with the job."""
    state: Delivery = Delivery.WAITING
    answered: set[str] = field(default_factory=set)
    """Devices whose answer came: a second one is a duplicate."""
    said: JobState | None = None
    """The last that a device said of it before its answer."""
    sent: int = 0
    """How often it was published."""
    unheard: bool = False
    """Whether the broker said of the last time that nobody is subscribed."""
    resend_at: float = 0.0
    """Monotonic time before which no device's word has it sent again: a lie must not flood its board."""
    resends: int = 0
    """How often a device's word had it sent again."""

    def become(self, state: Delivery) -> None:
        """Take a transition of the table; raises :class:`OperatorError` for any other and stays as it is."""
        if state not in TRANSITIONS[self.state]:
            raise OperatorError(f"job {self.id}: no transition from {self.state} to {state}")
        self.state = state

    def is_for(self, device: str) -> bool:
        """Whether ``device`` may answer this job."""
        return self.device is None or self.device == device

    def take(self, result: Result) -> bool:
        """Hand over an answer unless it is a duplicate; returns whether the job is done."""
        if result.device in self.answered or not self.is_for(result.device):
            return False
        self.answered.add(result.device)
        return self.on_result(result)
