"""The Response Topic of a request: a topic that a stranger chose and that this device is asked to publish to.

One that ends with ``/`` is a folder: each device answers below it on its own id. That is how waspi's clients ask
(``reply/<client>/``), so that an access list can let a device write ``reply/+/<its own id>`` and nothing else: then no
device can answer for another, not even for one of the same group.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from waspi.errors import ConfigError, TopicError
from waspi.protocol.ids import check_id, shown
from waspi.protocol.topics import PREFIX, Topics

MAX_BYTES: Final = 512
"""Longest Response Topic, in bytes of UTF-8."""
DEFAULT_PREFIXES: Final = ("reply/",)
"""Where answers may go besides the device's own fleet."""


class ResponseTopics:
    """Which Response Topics a device answers to.

    Allowed is what lies under one of ``prefixes`` or in the device's own fleet (``waspi/v1/<fleet>/``). Below the
    fleet's root every topic that the protocol gives a meaning (``device/``, ``group/``, ``depot/``, ``state-call``) is
    refused, but for results of the device itself: an answer must not look like a job, a cancel or another device's
    word. Topics of other fleets are refused whatever the prefixes say.

    Raises :class:`ConfigError` for a prefix that is empty, has a wildcard or a ``$``, or does not end with ``/``.
    """

    __slots__ = ("_base", "_device", "_latest", "_own", "_prefixes")

    def __init__(self, topics: Topics, device: str, prefixes: Iterable[str] = DEFAULT_PREFIXES) -> None:
        self._base: Final = f"{topics.root}/"
        self._device: Final = check_id(device, "device")
        self._own: Final = f"{topics.root}/device/{device}/result/"
        own = tuple(prefixes)
        for prefix in own:
            if len(prefix) < 2 or not prefix.endswith("/") or any(sign in prefix for sign in "+#$"):  # noqa: PLR2004 - "x/"
                raise ConfigError(
                    f"reply prefix {shown(prefix)} is not allowed: it must end with '/' and hold no '+', '#' or '$'"
                )
        self._prefixes: Final = (self._base, *own)
        self._latest = ("", "")  # a client has one, as a rule

    def check(self, asked: str) -> str:
        """Return the topic to answer ``asked`` on; raises :class:`TopicError` that says why the device may not."""
        if asked and asked == self._latest[0]:
            return self._latest[1]
        topic = f"{asked}{self._device}" if asked.endswith("/") else asked
        # isprintable: no control character, no NUL, no lone surrogate (which is no UTF-8), no line separator.
        if not topic.isprintable():
            raise TopicError(f"Response Topic {shown(topic)} holds a control character or is no valid UTF-8")
        if len(topic) > MAX_BYTES or len(topic.encode()) > MAX_BYTES:
            raise TopicError(f"Response Topic {shown(topic)} is longer than {MAX_BYTES} bytes")
        if "+" in topic or "#" in topic or "$" in topic:
            raise TopicError(f"Response Topic {shown(topic)} holds '+', '#' or '$': name one plain topic")
        if not topic.startswith(self._prefixes):
            raise TopicError(f"Response Topic {shown(topic)} lies outside the allowed: {', '.join(self._prefixes)}")
        if topic.startswith(PREFIX):
            self._check_reserved(topic)
        self._latest = (asked, topic)
        return topic

    def _check_reserved(self, topic: str) -> None:
        if not topic.startswith(self._base):
            raise TopicError(f"Response Topic {shown(topic)} belongs to another fleet")
        head = topic[len(self._base) :].split("/", 1)[0]
        if head in {"device", "group", "depot", "state-call"} and not topic.startswith(self._own):
            raise TopicError(
                f"Response Topic {shown(topic)} is one that the protocol uses: take one below {self._base}reply/"
            )
