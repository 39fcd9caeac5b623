from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waspi.errors import ConfigError, TopicError
from waspi.protocol.response_topic import MAX_BYTES, ResponseTopics
from waspi.protocol.topics import Topics

TOPICS = Topics("home")
REPLIES = ResponseTopics(TOPICS, "pi-1")


@pytest.mark.parametrize(
    "topic", ["reply/x", "reply/a/b/c", "waspi/v1/home/reply/c1", "waspi/v1/home/client/7", "reply/ü x",
              "waspi/v1/home/device/pi-1/result/j"]
)  # fmt: skip
def test_allowed(topic: str) -> None:
    assert REPLIES.check(topic) == topic


@pytest.mark.parametrize(
    ("folder", "topic"),
    [
        ("reply/", "reply/pi-1"),
        ("reply/op-1/", "reply/op-1/pi-1"),
        ("reply/op-1//", "reply/op-1//pi-1"),
        ("waspi/v1/home/reply/", "waspi/v1/home/reply/pi-1"),
        ("waspi/v1/home/device/pi-1/result/", "waspi/v1/home/device/pi-1/result/pi-1"),
    ],
)
def test_below_a_folder_a_device_answers_on_its_own_id(folder: str, topic: str) -> None:
    assert REPLIES.check(folder) == REPLIES.check(folder) == topic


@pytest.mark.parametrize(
    ("topic", "says"),
    [
        ("", "outside"),
        ("reply", "outside"),
        ("replyx/y", "outside"),
        ("other/x", "outside"),
        ("/reply/x", "outside"),
        ("$SYS/x", "'\\$'"),
        ("$share/g/reply/x", "'\\$'"),
        ("reply/+", "'\\+'"),
        ("reply/#", "'#'"),
        ("reply/$x", "'\\$'"),
        ("reply/\0", "control"),
        ("reply/\x07", "control"),
        ("reply/\x7f", "control"),
        ("reply/\x85", "control"),
        ("reply/\u2028", "control"),
        ("reply/\ud800", "UTF-8"),
        ("reply/\uffff", "control"),
        ("reply/" + "x" * MAX_BYTES, "longer"),
        ("reply/" + "ü" * (MAX_BYTES // 2), "longer"),
        ("waspi/v1/home", "outside"),
        ("waspi/v1/homes/x", "outside"),
        ("waspi/v1/other/reply/x", "outside"),
        ("waspi/v1/home/device", "protocol uses"),
        ("waspi/v1/home/device/pi-1/job", "protocol uses"),
        ("waspi/v1/home/device/pi-1/run/m", "protocol uses"),
        ("waspi/v1/home/device/pi-1/presence", "protocol uses"),
        ("waspi/v1/home/device/pi-1/result", "protocol uses"),
        ("waspi/v1/home/device/", "protocol uses"),
        ("waspi/v1/home/device/pi-2/result/j", "protocol uses"),
        ("waspi/v1/home/device/pi-2/job", "protocol uses"),
        ("waspi/v1/home/device/pi-2/cancel/j", "protocol uses"),
        ("waspi/v1/home/group/g/job", "protocol uses"),
        ("waspi/v1/home/depot/timestamp", "protocol uses"),
    ],
)
def test_refused(topic: str, says: str) -> None:
    with pytest.raises(TopicError, match=says):
        REPLIES.check(topic)


def test_prefixes_of_the_configuration() -> None:
    replies = ResponseTopics(TOPICS, "pi-1", ["zigbee/", "waspi/"])
    assert replies.check("zigbee/x") == "zigbee/x"
    with pytest.raises(TopicError, match="outside"):
        replies.check("reply/x")
    # However wide a prefix is, other fleets and the protocol's own topics stay closed.
    for topic in ("waspi/v1/other/reply/x", "waspi/v2/home/x", "waspi/v1/home/device/pi-2/job"):
        with pytest.raises(TopicError):
            replies.check(topic)
    for prefix in ("", "/", "x", "a/+/", "#/", "$SYS/"):
        with pytest.raises(ConfigError, match="reply prefix"):
            ResponseTopics(TOPICS, "pi-1", [prefix])


@given(st.text(max_size=60))
def test_no_answer_can_look_like_another_message(text: str) -> None:
    for asked in (text, f"reply/{text}", f"waspi/v1/home/{text}", f"waspi/v1/home/device/{text}"):
        try:
            topic = REPLIES.check(asked)
        except TopicError:
            continue
        assert topic.encode()
        assert not set(topic) & set("+#$\0")
        try:
            route = TOPICS.parse(topic)
        except TopicError:
            continue
        assert (route.kind, route.device) == ("result", "pi-1")
