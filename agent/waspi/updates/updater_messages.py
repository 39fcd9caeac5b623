"""What the agent and its updater say to each other: JSON over a pair of local sockets that keep messages apart.

The agent opens with a :class:`CheckRequest`. The updater answers with :class:`Refreshed` once the signed metadata is
in, with :class:`Fetched` or :class:`NotFetched` for each release that it lacks, with :class:`Working` while a download
goes on, and with :class:`Finished`. In between run the depot's envelopes, as they are. The first byte of a message says
which it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Final

from waspi.errors import Fault
from waspi.model.result import JobError
from waspi.protocol import json_document

MAX_BYTES: Final = 160 * 1024
"""Of one message; the largest that a local socket takes without asking the administrator is above 200 KiB."""
SOCKET_FD: Final = 3
"""The updater's end."""

DEPOT: Final = b"D"
"""Followed by an envelope of :mod:`waspi.protocol.depot`: an answer, or a request, before which stand the id of the
depot that it goes to (none: to all) and a zero byte."""
_CHECK: Final = b"E"
_NAMED: Final = b"N"
_PLAN: Final = b"P"
_FETCHED: Final = b"F"
_REFUSED: Final = b"R"
_WORKING: Final = b"W"
_FINISHED: Final = b"Z"


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """What the updater needs to know of its device."""

    device: str
    groups: tuple[str, ...]
    url: str
    """Of the repository: ``https://…``, or empty for the depots on MQTT."""
    ca: str
    """File with the authority's certificate for ``url``; empty: the system's."""
    root: str
    """File with the root metadata that is trusted from the start."""
    folder: str
    """Where the updater keeps metadata and what is half fetched."""
    now: float
    """Unix seconds, not before the clock's floor."""
    room: int
    """Bytes that the module cache can make room for."""
    range_bytes: int
    window: int
    """Ranges asked for at once."""
    serving: Mapping[str, str] = field(default_factory=dict)
    """Module name to the version that serves."""
    held: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Module name to the versions that need not be fetched."""
    barred: Mapping[str, tuple[tuple[str, int], ...]] = field(default_factory=dict)
    """Module name to the versions that were given up, with the ``retry`` that a deployment has to pass."""
    fixed: tuple[str, ...] = ()
    """Modules that the device's configuration names itself."""
    depots: tuple[str, ...] = ()
    """Ids of depots that have announced themselves, in the order in which this device asks them."""
    redirect_hosts: tuple[str, ...] = ()
    """Hosts besides its own that the server at ``url`` may send to."""
    cached: tuple[str, ...] = ()
    """SHA-256 of modules whose bytes are here, under whatever name."""


@dataclass(frozen=True, slots=True)
class NamedRelease:
    """What a deployment names for this device."""

    name: str
    version: str
    """Empty: nothing so far."""
    offered: str
    group: str
    serial: int


@dataclass(frozen=True, slots=True)
class Refreshed:
    """The signed metadata is in, and all that is :class:`NamedRelease` was told."""

    serials: Mapping[str, int]
    """Group to the serial of its newest deployment."""
    floor: float
    """Unix seconds that have certainly passed."""
    timestamp: str
    """SHA-256 of ``timestamp.json``."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A release is in the updater's folder, and its bytes are those that were signed."""

    name: str
    version: str
    group: str
    serial: int
    retry: int


@dataclass(frozen=True, slots=True)
class NotFetched:
    """A wanted release that another try at the same metadata will not bring."""

    name: str
    version: str
    group: str
    serial: int
    retry: int
    fault: str
    kind: str
    message: str

    @property
    def error(self) -> JobError:
        """The reason."""
        return JobError(Fault(self.fault), self.kind, self.message)


@dataclass(frozen=True, slots=True)
class Working:
    """A download goes on: sent every few seconds, so that the agent can tell a slow one from one that hangs."""

    path: str
    """Of the file in the repository."""
    received: int
    """Bytes of it, in this run."""
    total: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The last word; without a ``kind`` all went well."""

    kind: str = ""
    message: str = ""
    requests: int = 0
    """Ranges that were asked for."""
    fetched_bytes: int = 0
    """Of modules."""
    fetched_ms: int = 0
    """Milliseconds that these took."""
    silent: tuple[str, ...] = ()
    """Depots that did not answer."""
    peak_kib: int = 0
    """KiB of memory that the updater had resident at most."""


Message = CheckRequest | NamedRelease | Refreshed | Fetched | NotFetched | Working | Finished
_KINDS: Final[dict[bytes, type[Message]]] = {
    _CHECK: CheckRequest,
    _NAMED: NamedRelease,
    _PLAN: Refreshed,
    _FETCHED: Fetched,
    _REFUSED: NotFetched,
    _WORKING: Working,
    _FINISHED: Finished,
}
_MARKS: Final = {kind: mark for mark, kind in _KINDS.items()}


def encode_message(message: Message) -> bytes:
    """Encode; a request of a board with hundreds of modules may be longer than MAX_BYTES, and is not sent then."""
    return _MARKS[type(message)] + json_document.encode_document(
        {each.name: getattr(message, each.name) for each in fields(message)}
    )


def decode_message(data: bytes) -> Message | None:
    """Decode what the other half of the same installation sent; ``None`` for what is no message.

    Raises :class:`~waspi.errors.EnvelopeError` for broken JSON. Fields are not checked: both sides are one program.
    """
    kind = _KINDS.get(data[:1])
    if kind is None:
        return None
    document = json_document.decode_document(data[1:], "updater's message", max_bytes=MAX_BYTES)
    known = {each.name for each in fields(kind)}
    if document.keys() - known:
        return None
    flat = {key: tuple(value) if isinstance(value, list) else value for key, value in document.items()}
    return kind(**flat)  # type: ignore[arg-type]
