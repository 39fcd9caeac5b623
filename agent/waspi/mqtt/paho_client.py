"""paho's client on a :class:`~waspi.mqtt.stream.Stream`: everything that leans on a private name of paho stands here.

Four methods of paho 2.2 are overridden. paho calls them and documents none, so ``paho-mqtt`` is pinned to 2.2, and
``tests/unit/mqtt/test_paho_client.py`` shows of each that paho still calls it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from waspi.mqtt.stream import Stream

if TYPE_CHECKING:
    import socket
    from collections.abc import Container

_LARGEST_ID = 65_535


class PahoClient(Client):
    """Speaks MQTT 5, acknowledges nothing by itself, connects once, and writes only when it is told to."""

    def __init__(self, client_id: str, max_packet_bytes: int, in_flight: Container[int]) -> None:
        """``in_flight``: packet identifiers of the publishes that went past paho and are not answered."""
        self.stream: Stream | None = None
        self._max_packet_bytes = max_packet_bytes
        self._in_flight = in_flight
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            manual_ack=True,
            reconnect_on_failure=False,
        )
        # With this callback set paho queues packets and leaves the writing to its caller.
        self.on_socket_register_write = lambda *_: None

    def next_packet_id(self) -> int:
        """A packet identifier that is not in use; paho's SUBSCRIBE takes its own from the same row."""
        return self._mid_generate()

    # --- what paho calls and does not document ----------------------------------------------------------------------

    def _create_socket(self) -> Any:  # noqa: ANN401 - paho types it by a protocol of its own
        """Read and write by way of a stream."""
        sock = cast("socket.socket", super()._create_socket())
        self.stream = Stream(sock, self._max_packet_bytes)
        return self.stream

    def _sock_recv(self, bufsize: int) -> bytes:
        """Read from the stream; paho's own method names ``ssl`` in its handlers and so would load it."""
        if self.stream is None:
            raise ConnectionError
        return self.stream.recv(bufsize)

    def _mid_generate(self) -> int:
        """Pass over identifiers that are in flight: paho counts only its own publishes."""
        for _ in range(_LARGEST_ID):
            packet_id = super()._mid_generate()
            if packet_id not in self._in_flight:
                return packet_id
        raise ConnectionError("no packet identifier is free")

    def _get_proxy(self) -> None:
        """No proxy: paho would look for one in the environment by way of ``urllib.request``, 3 MB of modules."""
