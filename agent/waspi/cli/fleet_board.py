"""What a watcher sees: the devices, and the last jobs."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from waspi.cli.result_report import json_of_result
from waspi.fleet.event import EventKind, FleetEvent

if TYPE_CHECKING:
    from waspi.fleet.registry import DeviceView

MOST_JOBS = 200
"""Jobs that are kept; the oldest go first."""


@dataclass(frozen=True, slots=True)
class JobLine:
    """The last that was heard of a job."""

    id: str
    device: str
    state: str
    at: float
    attempt: int
    note: str = ""


class FleetBoard:
    """Takes events in and keeps the present picture. Used by one thread at a time."""

    def __init__(self) -> None:
        self.devices: dict[str, DeviceView] = {}
        self.jobs: OrderedDict[tuple[str, str], JobLine] = OrderedDict()

    def take(self, event: FleetEvent) -> None:
        """Bring the picture up to date."""
        self.devices[event.device.id] = event.device
        if event.result is not None:
            result = event.result
            note = result.error.message if result.error is not None else f"{result.usage.run_us} us"
            self._put(JobLine(result.id, result.device, str(result.state), event.at, result.attempt, note))
        elif event.status is not None:
            status = event.status
            known = self.jobs.get((status.device, status.id))
            note = "" if known is None or known.state != str(status.state) else known.note
            self._put(JobLine(status.id, status.device, str(status.state), event.at, status.attempt, note))

    def _put(self, line: JobLine) -> None:
        key = (line.device, line.id)
        self.jobs[key] = line
        self.jobs.move_to_end(key)
        while len(self.jobs) > MOST_JOBS:
            self.jobs.popitem(last=False)


def json_of_event(event: FleetEvent) -> dict[str, object]:
    """Give an event for scripts, one document a line."""
    document: dict[str, object] = {"event": str(event.kind), "at": round(event.at, 3), "device": event.device.id}
    if event.device.unreadable:
        document["unreadable"] = event.device.unreadable
    if event.kind is EventKind.PRESENCE:
        return {**document, **json_of_presence(event.device)}
    if event.kind is EventKind.REPORTED:
        return {**document, "reported": json_of_reported(event.device)}
    if event.status is not None:
        status = event.status
        return {**document, "job": status.id, "state": str(status.state), "attempt": status.attempt}
    if event.result is not None:
        return {**document, "job": event.result.id, **json_of_result(event.result)}
    return document


def json_of_device(view: DeviceView) -> dict[str, object]:
    """Give a device for scripts."""
    unreadable = {"unreadable": view.unreadable} if view.unreadable else {}
    return {"device": view.id, **json_of_presence(view), **unreadable, "reported": json_of_reported(view)}


def json_of_presence(view: DeviceView) -> dict[str, object]:
    """Give a device's presence."""
    presence = view.presence
    if presence is None:
        return {"state": view.state}
    return {"state": view.state, "since": presence.since, "boot": presence.boot, "degraded": presence.degraded or None}


def json_of_reported(view: DeviceView) -> dict[str, object] | None:
    """Give what a device reports of itself."""
    reported = view.reported
    if reported is None:
        return None
    return {
        "version": reported.version,
        "engine": reported.engine,
        "arch": reported.arch,
        "sandbox": dict(reported.sandbox),
        "modules": [
            {
                "name": module.name,
                "version": module.version,
                "sha256": module.sha256,
                "state": module.state,
                "reason": module.reason or None,
                "available": module.available or None,
            }
            for module in reported.modules
        ],
        "groups": list(reported.groups),
        "labels": dict(reported.labels),
        "counters": dict(reported.counters),
        "deployments": dict(reported.deployments),
        "clock": "unset" if reported.clock_unset else None,
        "updates": reported.updates or None,
        "last_job": (
            {"id": reported.last_job.id, "state": str(reported.last_job.state), "at": reported.last_job.at}
            if reported.last_job is not None
            else None
        ),
    }
