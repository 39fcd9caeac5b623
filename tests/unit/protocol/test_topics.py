from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.protocol.strategies import ids
from waspi.errors import TopicError
from waspi.protocol.ids import check_id, is_digest, is_id, is_version, shown
from waspi.protocol.topics import Route, RouteKind, Topics, error_topic

HOME = Topics("home")

HOSTILE_IDS = [
    "",
    "#", "+", "a/b", "$share", "a#", "a+", "-a", "A", "é", "a b", "a\0", "a\n", "a" * 64, "..", "a.b", "a_b", "\ud800",
    "a\u0301", "\uff41", "\u0661",
]  # fmt: skip


@pytest.mark.parametrize("hostile", HOSTILE_IDS)
def test_fault_24_hostile_ids_are_refused_everywhere(hostile: str) -> None:
    assert not is_id(hostile)
    with pytest.raises(TopicError, match="device id"):
        check_id(hostile, "device")
    with pytest.raises(TopicError):
        Topics(hostile)
    for build in (HOME.device_job, HOME.group_job, HOME.presence, HOME.reported, HOME.sync, HOME.sync_query,
                  HOME.device_filters, HOME.updater_filters, HOME.operator_filters, HOME.depot_filters,
                  HOME.depot_timestamp, HOME.depot_get):  # fmt: skip
        with pytest.raises(TopicError):
            build(hostile)
    for build_two in (HOME.run, HOME.cancel, HOME.result, HOME.status, HOME.chunk):
        with pytest.raises(TopicError):
            build_two("pi-1", hostile)
        with pytest.raises(TopicError):
            build_two(hostile, "x")
    with pytest.raises(TopicError):
        HOME.device_filters("pi-1", [hostile])
    for topic in (
        f"device/{hostile}/job",
        f"device/{hostile}/run/m",
        f"device/pi/cancel/{hostile}",
        f"device/pi/run/{hostile}/x",
        f"device/pi/run/m/{hostile}",
        f"group/{hostile}/job",
        f"group/g/run/{hostile}",
    ):
        with pytest.raises(TopicError):
            HOME.parse(f"waspi/v1/home/{topic}")


@given(ids, ids)
def test_what_is_built_is_parsed(one: str, two: str) -> None:
    for topic, route in [
        (HOME.device_job(one), Route(RouteKind.DEVICE_JOB, one)),
        (HOME.group_job(one), Route(RouteKind.GROUP_JOB, group=one)),
        (HOME.run(one, two), Route(RouteKind.RUN, one, item=two)),
        (f"{HOME.run(one, two)}/q-1", Route(RouteKind.RUN, one, item=two, request="q-1")),
        (HOME.group_run(one, two), Route(RouteKind.GROUP_RUN, group=one, item=two)),
        (HOME.state_call, Route(RouteKind.STATE_CALL)),
        (error_topic(HOME.result(one, two)), Route(RouteKind.ERROR, one, item=two)),
        (HOME.cancel(one, two), Route(RouteKind.CANCEL, one, item=two)),
        (HOME.result(one, two), Route(RouteKind.RESULT, one, item=two)),
        (HOME.status(one, two), Route(RouteKind.STATUS, one, item=two)),
        (HOME.presence(one), Route(RouteKind.PRESENCE, one)),
        (HOME.reported(one), Route(RouteKind.REPORTED, one)),
        (HOME.sync(one), Route(RouteKind.SYNC, one)),
        (HOME.sync_query(one), Route(RouteKind.SYNC_QUERY, one)),
        (HOME.chunk(one, two), Route(RouteKind.CHUNK, one, item=two)),
        (HOME.depot_get(one), Route(RouteKind.DEPOT_GET, one)),
        (HOME.depot_get(one, two), Route(RouteKind.DEPOT_GET, one, item=two)),
        (HOME.depot_timestamp(one), Route(RouteKind.DEPOT_TIMESTAMP, item=one)),
    ]:
        assert HOME.parse(topic) == route


def test_topics_are_those_of_the_protocol_page() -> None:
    assert HOME.device_job("pi") == "waspi/v1/home/device/pi/job"
    assert HOME.group_job("g") == "waspi/v1/home/group/g/job"
    assert HOME.run("pi", "m") == "waspi/v1/home/device/pi/run/m"
    assert HOME.result("pi", "j") == "waspi/v1/home/device/pi/result/j"
    assert HOME.depot_get("pi") == "waspi/v1/home/device/pi/depot/get"
    assert HOME.depot_get("pi", "d") == "waspi/v1/home/device/pi/depot/get/d"
    assert HOME.depot_timestamp("d") == "waspi/v1/home/depot/d/timestamp"
    assert HOME.device_filters("pi", ["b", "a", "b"]) == (
        "waspi/v1/home/device/pi/job",
        "waspi/v1/home/device/pi/run/+",
        "waspi/v1/home/device/pi/run/+/+",
        "waspi/v1/home/device/pi/cancel/+",
        "waspi/v1/home/device/pi/sync-query",
        "waspi/v1/home/state-call",
        "waspi/v1/home/group/a/job",
        "waspi/v1/home/group/a/run/+",
        "waspi/v1/home/group/b/job",
        "waspi/v1/home/group/b/run/+",
    )
    assert HOME.updater_filters("pi") == ("waspi/v1/home/device/pi/chunk/+", "waspi/v1/home/depot/+/timestamp")
    assert HOME.operator_filters()[0] == "waspi/v1/home/device/+/result/+"
    assert HOME.operator_filters("pi")[-1] == "waspi/v1/home/device/pi/sync"
    assert HOME.depot_filters("d") == ("waspi/v1/home/device/+/depot/get", "waspi/v1/home/device/+/depot/get/d")


@pytest.mark.parametrize(
    "topic",
    [
        "", "/", "waspi", "waspi/v1/home", "waspi/v1/home/", "waspi/v1/other/device/pi/job",
        "waspi/v2/home/device/pi/job",
        "waspi/v1/home/device", "waspi/v1/home/device/pi", "waspi/v1/home/device/pi/job/",
        "waspi/v1/home/device/pi/run",
        "waspi/v1/home/device/pi/job/x", "waspi/v1/home/device/pi/run/m/x/y", "waspi/v1/home//pi/job", "$SYS/x",
        "waspi/v1/home/group/g/run", "waspi/v1/home/state-call/x",
        "waspi/v1/home/group/g", "waspi/v1/home/depot", "waspi/v1/home/depot/x",
        "waspi/v1/home/depot/get/x", "waspi/v1/home/depot/timestamp", "waspi/v1/home/device/pi/depot/get/x/y",
        "waspi/v1/home/device/pi/depot/get/", "waspi/v1/home/device/pi/depot/put", "waspi/v1/home/depot/+/timestamp",
        "waspi/v1/homely/device/pi/job", "/waspi/v1/home/device/pi/job",
        "waspi/v1/home/device/pi/JOB", "waspi/v1/home/device/pi/job\n", "waspi/v1/home/device/+/job",
    ],
)  # fmt: skip
def test_other_topics_are_refused(topic: str) -> None:
    with pytest.raises(TopicError, match="no topic of"):
        HOME.parse(topic)


@given(st.text())
def test_arbitrary_topics_raise_nothing_else(topic: str) -> None:
    for candidate in (topic, f"waspi/v1/home/{topic}", f"waspi/v1/home/device/{topic}"):
        try:
            HOME.parse(candidate)
        except TopicError as error:
            assert error.message.isascii()  # noqa: PT017 - every other outcome is an error of the test


def test_small_grammars() -> None:
    assert is_version("1.2.3-rc.1+build_7")
    assert not any(map(is_version, ("", "-1", "1/2", "1 2", "v" * 64, "1\n")))
    assert is_digest("0" * 64)
    assert not any(map(is_digest, ("0" * 63, "A" * 64, "0" * 65, "0" * 64 + "\n")))
    assert len(shown("x" * 10_000)) < 100
    assert shown("a\nb\0") == "'a\\nb\\x00'"
