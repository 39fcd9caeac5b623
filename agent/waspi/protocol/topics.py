"""Every topic of the protocol: the only place where one is built or taken apart."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final, NamedTuple

from waspi.errors import TopicError
from waspi.protocol.ids import check_id, is_id, shown

PREFIX: Final = "waspi/"
"""First level of every topic of every fleet and version."""
VERSION: Final = 1


class RouteKind(StrEnum):
    """What a topic is for; the value is its last fixed level."""

    DEVICE_JOB = "device/job"
    GROUP_JOB = "group/job"
    RUN = "run"
    GROUP_RUN = "group/run"
    CANCEL = "cancel"
    RESULT = "result"
    ERROR = "error"
    STATUS = "status"
    PRESENCE = "presence"
    REPORTED = "reported"
    SYNC = "sync"
    SYNC_QUERY = "sync-query"
    CHUNK = "chunk"
    DEPOT_GET = "depot/get"
    DEPOT_TIMESTAMP = "depot/timestamp"
    STATE_CALL = "state-call"

    @property
    def plain(self) -> bool:
        """Whether it takes a plain request: raw input in, raw output out."""
        return self in (RouteKind.RUN, RouteKind.GROUP_RUN)


class Route(NamedTuple):
    """A topic, taken apart. Ids that its kind does not have are empty."""

    kind: RouteKind
    device: str = ""
    """Device id."""
    group: str = ""
    item: str = ""
    """RUN, GROUP_RUN: module name; CANCEL, RESULT, ERROR, STATUS: job id, or a plain request's own; CHUNK: token;
    DEPOT_GET, DEPOT_TIMESTAMP: depot's id."""
    request: str = ""
    """RUN: the id that the request gives itself."""


_OF_DEVICE: Final = {
    "job": RouteKind.DEVICE_JOB,
    "presence": RouteKind.PRESENCE,
    "reported": RouteKind.REPORTED,
    "sync": RouteKind.SYNC,
    "sync-query": RouteKind.SYNC_QUERY,
}
_OF_ITEM: Final = {
    "run": RouteKind.RUN,
    "cancel": RouteKind.CANCEL,
    "result": RouteKind.RESULT,
    "error": RouteKind.ERROR,
    "status": RouteKind.STATUS,
    "chunk": RouteKind.CHUNK,
}


class Topics:
    """The topics of one fleet, below the root ``waspi/v1/<fleet>``.

    Every method that takes an id raises :class:`TopicError` when it is none.
    """

    __slots__ = ("_base", "fleet", "root")

    def __init__(self, fleet: str) -> None:
        self.fleet: Final = check_id(fleet, "fleet")
        self.root: Final = f"{PREFIX}v{VERSION}/{fleet}"
        """``waspi/v1/<fleet>``, without a slash at the end."""
        self._base: Final = f"{self.root}/"

    def device_job(self, device: str) -> str:
        """Where ``device`` takes jobs."""
        return self._of_device(device, "job")

    def group_job(self, group: str) -> str:
        """Where every device of ``group`` takes jobs."""
        return f"{self._base}group/{check_id(group, 'group')}/job"

    def run(self, device: str, module: str) -> str:
        """The plain way: raw input for the deployed module ``module``, raw output as the answer."""
        return self._of_device(device, f"run/{check_id(module, 'module')}")

    def group_run(self, group: str, module: str) -> str:
        """The plain way to every device of ``group``; each answers for itself."""
        return f"{self._base}group/{check_id(group, 'group')}/run/{check_id(module, 'module')}"

    def cancel(self, device: str, job: str) -> str:
        """Where somebody says that ``job`` shall stop."""
        return self._of_device(device, f"cancel/{check_id(job, 'job')}")

    def result(self, device: str, job: str) -> str:
        """Where the result of ``job`` goes when its request named no Response Topic."""
        return self._of_device(device, f"result/{check_id(job, 'job')}")

    def status(self, device: str, job: str) -> str:
        """Where the device tells the changes of the state of ``job``."""
        return self._of_device(device, f"status/{check_id(job, 'job')}")

    def presence(self, device: str) -> str:
        """Retained, also the will."""
        return self._of_device(device, "presence")

    def reported(self, device: str) -> str:
        """Retained: what the device is and has."""
        return self._of_device(device, "reported")

    def sync(self, device: str) -> str:
        """Where the device tells after each connect which jobs it knows (:mod:`waspi.protocol.sync`)."""
        return self._of_device(device, "sync")

    def sync_query(self, device: str) -> str:
        """Where anybody asks ``device`` which of some jobs it knows."""
        return self._of_device(device, "sync-query")

    def chunk(self, device: str, token: str) -> str:
        """Where a depot sends a range of a file that ``device`` asked for under ``token``."""
        return self._of_device(device, f"chunk/{check_id(token, 'token')}")

    def depot_get(self, device: str, depot: str = "") -> str:
        """Where ``device`` asks ``depot``, or without one every depot, for a range of a file of the repository."""
        return self._of_device(device, f"depot/get/{check_id(depot, 'depot')}" if depot else "depot/get")

    def depot_timestamp(self, depot: str) -> str:
        """Retained: ``depot`` is there, and has this timestamp; empty when it is gone."""
        return f"{self._base}depot/{check_id(depot, 'depot')}/timestamp"

    @property
    def state_call(self) -> str:
        """Where a client asks every device for its state (:mod:`waspi.protocol.state_call`)."""
        return f"{self._base}state-call"

    def device_filters(self, device: str, groups: Iterable[str] = ()) -> tuple[str, ...]:
        """What an agent subscribes to (QoS 1): its own jobs and those of its groups, in a stable order.

        Subscribe with Retain As Published (MQTT 5.0, 3.8.3.1): without it a retained job that comes to a live
        subscription looks like any other, and :mod:`waspi.protocol.admission` cannot refuse it.
        """
        check_id(device, "device")
        below = f"{self._base}device/{device}"
        own = (self.device_job(device), f"{below}/run/+", f"{below}/run/+/+", f"{below}/cancel/+")
        names = sorted(set(groups))
        shared = (each for name in names for each in (self.group_job(name), f"{self._base}group/{name}/run/+"))
        return (*own, self.sync_query(device), self.state_call, *shared)

    def updater_filters(self, device: str) -> tuple[str, ...]:
        """What a device's updater subscribes to: its chunks and the depots' announcements."""
        return (f"{self._of_device(device, 'chunk')}/+", f"{self._base}depot/+/timestamp")

    def operator_filters(self, device: str | None = None) -> tuple[str, ...]:
        """What an operator watches, of one device or (``None``) of all: results, states, presence, sync."""
        who = "+" if device is None else check_id(device, "device")
        below = f"{self._base}device/{who}"
        return tuple(f"{below}/{what}" for what in ("result/+", "error/+", "status/+", "presence", "reported", "sync"))

    def depot_filters(self, depot: str) -> tuple[str, ...]:
        """What ``depot`` subscribes to: requests to it, and those to whoever is there."""
        every = f"{self._base}device/+/depot/get"
        return (every, f"{every}/{check_id(depot, 'depot')}")

    def parse(self, topic: str) -> Route:
        """Take apart a topic that a message came on.

        Raises :class:`TopicError` for a topic of another fleet or version, one that the protocol does not have, and
        one with an id outside the grammar.
        """
        levels = topic[len(self._base) :].split("/") if topic.startswith(self._base) else []
        route = _route(levels)
        if route is None or not all(map(is_id, (*levels[1:2], *levels[3:]))):
            raise TopicError(f"{shown(topic)} is no topic of {self.root}: see the protocol's table of topics")
        return route

    def _of_device(self, device: str, rest: str) -> str:
        return f"{self._base}device/{check_id(device, 'device')}/{rest}"


def error_topic(result_topic: str) -> str:
    """Where the error of a plain request goes whose output would go to ``result_topic``.

    On the protocol's own result topic an error would pass for an output; on a Response Topic who asked tells them apart
    by content type and user property.
    """
    if not result_topic.startswith(PREFIX):
        return result_topic
    head, result, item = result_topic.rpartition("/result/")
    return f"{head}/error/{item}" if result else result_topic


def _route(levels: list[str]) -> Route | None:
    """What a topic is for, by its levels below the fleet's root; whether its ids are ids is looked at by the caller."""
    route: Route | None = None
    match levels:
        case ["device", device, what] if what in _OF_DEVICE:
            route = Route(_OF_DEVICE[what], device)
        case ["device", device, what, item] if what in _OF_ITEM:
            route = Route(_OF_ITEM[what], device, "", item)
        case ["device", device, "run", module, request]:
            route = Route(RouteKind.RUN, device, "", module, request)
        case ["device", device, "depot", "get"]:
            route = Route(RouteKind.DEPOT_GET, device)
        case ["device", device, "depot", "get", depot]:
            route = Route(RouteKind.DEPOT_GET, device, "", depot)
        case ["group", group, "job"]:
            route = Route(RouteKind.GROUP_JOB, "", group)
        case ["group", group, "run", module]:
            route = Route(RouteKind.GROUP_RUN, "", group, module)
        case ["depot", depot, "timestamp"]:
            route = Route(RouteKind.DEPOT_TIMESTAMP, "", "", depot)
        case ["state-call"]:
            route = Route(RouteKind.STATE_CALL)
    return route
