"""Which jobs a device knows: so that a broker that lost everything costs only time.

After each connect the device publishes to ``…/device/<id>/sync`` a report ``{v: 1, device, boot, jobs: {id: state},
complete, unknown?}`` that lists the newest jobs it knows, finished ones included, up to MAX_LISTED. ``complete`` says
that it knows no others. When it does, that one message tells everything.

When it does not (thousands of jobs), whoever waits for a job that is not listed asks, by a query ``{v: 1, ids}`` of up
to MAX_LISTED ids on ``…/device/<id>/sync-query``; the answer, a report again, goes to the query's Response Topic, else
to ``…/device/<id>/sync``, with the query's Correlation Data: in ``jobs`` the ids that the device knows, in ``unknown``
the others. So a message is bounded (about 20 KiB), a fleet that flaps does not list ten thousand ids at each connect,
and the work is proportional to what is really waited for. A client that reconnects may ask at any time.

:func:`reconcile` decides what a client does with a report. Resending a job that the device knows is always harmless:
it is answered with its stored result and not run again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from dataclasses import field as attribute
from typing import Final

from waspi.errors import EnvelopeError
from waspi.model.state import JobState
from waspi.protocol import cbor, field
from waspi.protocol.ids import is_id, shown

MAX_LISTED: Final = 256
"""Ids of one message."""
MAX_BYTES: Final = 64 * 1024
_MAX_ITEMS: Final = 4 * MAX_LISTED
_REPORT_KEYS: Final = frozenset(("v", "device", "boot", "jobs", "complete", "unknown"))
_QUERY_KEYS: Final = frozenset(("v", "ids"))
_STATES: Final = {state.value: state for state in JobState}


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What a device says of jobs that it knows."""

    device: str
    boot: str
    """The boot id of its presence."""
    jobs: Mapping[str, JobState] = attribute(default_factory=dict)
    """Up to MAX_LISTED job ids and their states."""
    complete: bool = False
    """Whether the device knows no other jobs than these."""
    unknown: tuple[str, ...] = ()
    """Ids that were asked for and that the device does not know."""


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What a client does after a report."""

    resend: frozenset[str]
    """Jobs that the device does not know, or whose result is there but did not arrive: publish them again."""
    ask: frozenset[str]
    """Jobs that the report does not speak of: ask for them."""


def encode_sync_report(report: SyncReport) -> bytes:
    """Encode deterministically; raises :class:`EnvelopeError` for more than MAX_LISTED ids."""
    if len(report.jobs) > MAX_LISTED or len(report.unknown) > MAX_LISTED:
        raise EnvelopeError(f"sync: {max(len(report.jobs), len(report.unknown))} ids: {MAX_LISTED} fit into a report")
    fields: dict[str, object] = {
        "v": field.VERSION,
        "device": report.device,
        "boot": report.boot,
        "jobs": {job: state.value for job, state in report.jobs.items()},
        "complete": report.complete,
    }
    if report.unknown:
        fields["unknown"] = list(report.unknown)
    return cbor.encode(fields)


def decode_sync_report(data: bytes) -> SyncReport:
    """Decode a report; raises :class:`EnvelopeError`, and nothing else, for whatever bytes."""
    fields = field.envelope(cbor.decode(data, max_bytes=MAX_BYTES, max_items=_MAX_ITEMS), "sync", _REPORT_KEYS)
    listed = fields.get("jobs")
    if type(listed) is not dict or len(listed) > MAX_LISTED:
        raise EnvelopeError(f"sync: 'jobs' must be a map of up to {MAX_LISTED} ids and states")
    jobs: dict[str, JobState] = {}
    for job, state in listed.items():
        known = _STATES.get(state) if type(state) is str else None
        if type(job) is not str or not is_id(job) or known is None:
            raise EnvelopeError(f"sync: 'jobs' holds {shown(job)}: {shown(state)}; an id and a state are expected")
        jobs[job] = known
    return SyncReport(
        device=field.identifier(fields, "device", "sync"),
        boot=field.identifier(fields, "boot", "sync"),
        jobs=jobs,
        complete=field.boolean(fields.get("complete"), "sync: 'complete'"),
        unknown=_ids(fields["unknown"], "sync: 'unknown'") if "unknown" in fields else (),
    )


def encode_sync_query(ids: Collection[str]) -> bytes:
    """Encode a query for up to MAX_LISTED ids; raises :class:`EnvelopeError` for more (see :func:`pages`) or none."""
    if not 0 < len(ids) <= MAX_LISTED:
        raise EnvelopeError(f"sync query: {len(ids)} ids: 1 to {MAX_LISTED} fit into a query")
    return cbor.encode({"v": field.VERSION, "ids": list(ids)})


def decode_sync_query(data: bytes) -> tuple[str, ...]:
    """The ids that a query asks for; raises :class:`EnvelopeError`, and nothing else, for whatever bytes."""
    fields = field.envelope(cbor.decode(data, max_bytes=MAX_BYTES, max_items=_MAX_ITEMS), "sync query", _QUERY_KEYS)
    ids = _ids(fields.get("ids"), "sync query: 'ids'")
    if not ids:
        raise EnvelopeError("sync query: 'ids' is empty; ask for at least one")
    return ids


def answer(asked: Iterable[str], known: Mapping[str, JobState], *, device: str, boot: str) -> SyncReport:
    """The report that answers a query; ``known`` holds (at least) the states of those ``asked`` for that exist."""
    ids = dict.fromkeys(asked)
    jobs = {job: known[job] for job in ids if job in known}
    return SyncReport(device, boot, jobs, complete=False, unknown=tuple(job for job in ids if job not in known))


def pages(ids: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """``ids``, sorted, in tuples of up to MAX_LISTED: one query each."""
    ordered = sorted(set(ids))
    for start in range(0, len(ordered), MAX_LISTED):
        yield tuple(ordered[start : start + MAX_LISTED])


def reconcile(report: SyncReport, waiting: Collection[str]) -> Reconciliation:
    """What to do about ``waiting``, the ids of jobs sent to ``report.device`` without a final result so far."""
    waits = frozenset(waiting)
    lost = waits.intersection(report.unknown)
    lost |= {job for job in waits.intersection(report.jobs) if report.jobs[job].final}
    silent = waits.difference(report.jobs, report.unknown)
    if report.complete:
        return Reconciliation(resend=lost | silent, ask=frozenset())
    return Reconciliation(resend=lost, ask=silent)


def _ids(value: object, name: str) -> tuple[str, ...]:
    ids: list[str] = []
    for job in field.items(value, name, most=MAX_LISTED):
        if type(job) is not str or not is_id(job):
            raise EnvelopeError(f"{name} holds {shown(job)}, which is no id")
        ids.append(job)
    return tuple(ids)
