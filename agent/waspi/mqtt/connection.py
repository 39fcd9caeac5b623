"""One connection to the broker: one paho client object, thrown away with it.

paho connects, subscribes, pings and reads every packet that is rare or wrong; the packets of the hot path go past it as
bytes (:mod:`waspi.mqtt.packet`). With a new object for each connection no packet id can leak into the next one. paho's
callbacks only append to :attr:`Connection.events`.
"""

from __future__ import annotations

import contextlib
import socket
from collections import deque
from typing import Any, cast

from paho.mqtt import _packet
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from waspi.errors import (
    BrokerError,
    ConfigError,
    RefusedByBrokerError,
    TlsError,
    UnheardError,
    UnreachableBrokerError,
)
from waspi.model.value import value
from waspi.mqtt.message import Incoming, Outgoing, ServerLimits
from waspi.mqtt.packet import KIND, PUBACK, PUBLISH, puback, publish, read_puback, read_publish
from waspi.mqtt.settings import LinkSettings, Tls
from waspi.mqtt.stream import Stream

_ALL = 1 << 30
_SUCCESS = MQTTErrorCode.MQTT_ERR_SUCCESS
_TAKEN_OVER = 0x8E
_UNHEARD = 0x10  # no matching subscribers (MQTT 5.0, 3.4.2.1)
_FAILURE = 0x80  # reason codes from here on are failures (MQTT 5.0, 2.4)


@value
class Accepted:
    """CONNACK with success."""

    session_present: bool
    limits: ServerLimits


@value
class Closed:
    """The connection is over."""

    reason: BrokerError


@value
class Published:
    """PUBACK."""

    packet_id: int
    refused: BrokerError | None


@value
class Subscribed:
    """SUBACK."""

    refused: BrokerError | None


Event = Accepted | Closed | Published | Subscribed | Incoming


class _StreamClient(Client):
    """paho's client on a :class:`Stream`."""

    max_packet_bytes = 0
    stream: Stream | None = None

    def _create_socket(self) -> Any:  # noqa: ANN401 - paho types it by a protocol of its own
        sock = cast("socket.socket", super()._create_socket())
        self.stream = Stream(sock, self.max_packet_bytes)
        return self.stream

    def _sock_recv(self, bufsize: int) -> bytes:
        """Read from the stream; paho's own method names ``ssl`` in its handlers and so would load it."""
        if self.stream is None:
            raise ConnectionError
        return self.stream.recv(bufsize)

    def next_packet_id(self) -> int:
        """A packet identifier; paho's SUBSCRIBE takes them from the same row."""
        return self._mid_generate()

    def note_traffic(self, stream: Stream) -> None:
        """Tell paho's keep-alive what went past it."""
        self._last_msg_out = max(self._last_msg_out, stream.spoke_at)
        self._last_bytes_received = max(self._last_bytes_received, stream.heard_at)

    def _get_proxy(self) -> None:
        """No proxy: paho would look for one in the environment by way of ``urllib.request``, 3 MB of modules."""


class Connection:
    """A connection from TCP to DISCONNECT; ``number`` counts the session's connections."""

    def __init__(self, settings: LinkSettings, number: int) -> None:
        self.number = number
        self.events: deque[Event] = deque()
        self.keepalive_s = settings.keepalive_s
        self._settings = settings
        self._closed = False
        self._answered = False
        client = _StreamClient(
            CallbackAPIVersion.VERSION2,
            client_id=settings.client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            manual_ack=True,
            reconnect_on_failure=False,
        )
        client.max_packet_bytes = settings.max_packet_bytes
        client.connect_timeout = settings.connect_timeout_s
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_subscribe = self._on_subscribe
        # With this callback set paho queues packets and leaves the writing to flush().
        client.on_socket_register_write = lambda *_: None
        address = settings.address
        if address.tls:
            from waspi.mqtt.tls import make_context  # noqa: PLC0415 - 4 MB that an agent on plain MQTT does not pay

            client.tls_set_context(make_context(settings.tls or Tls()))
        username = settings.username or address.username
        if username:
            client.username_pw_set(username, settings.password or address.password)
        if settings.will:
            properties = Properties(PacketTypes.WILLMESSAGE)
            properties.WillDelayInterval = settings.will.delay_s
            client.will_set(settings.will.topic, settings.will.payload, 1, settings.will.retain, properties)
        self._client = client

    def open(self) -> None:
        """Connect TCP, do the TLS handshake and send CONNECT. Blocks; raises ``BrokerError``."""
        settings = self._settings
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = settings.session_expiry_s
        properties.ReceiveMaximum = settings.receive_maximum
        properties.MaximumPacketSize = settings.max_packet_bytes
        address = settings.address
        try:
            self._client.connect(
                address.host,
                address.port,
                keepalive=settings.keepalive_s,
                clean_start=settings.clean_start,
                properties=properties,
            )
        except (OSError, ValueError) as error:
            if address.tls:
                from waspi.mqtt.tls import explain  # noqa: PLC0415 - see above

                raise explain(address, error) from error
            raise UnreachableBrokerError(f"{address}: cannot connect: {words(error)}") from error

    @property
    def stream(self) -> Stream:
        """The stream under the connection; only after :meth:`open`."""
        stream = self._client.stream
        if stream is None:
            raise UnreachableBrokerError("the connection was never opened")
        return stream

    @property
    def waiting(self) -> bool:
        """Whether packets were received that :meth:`read` left for the next call."""
        return not self._closed and self.stream.packets > 0

    def read(self, most: int = _ALL) -> None:
        """Take in what the socket holds, ``most`` packets of it; all that came of it stands in :attr:`events`."""
        stream = self.stream
        try:
            if not stream.packets:
                stream.fill()
            stream.quota = most
            ends = stream.ends
            while ends and stream.quota and not self._closed:
                kind = stream.received[stream.at] & KIND
                if kind == PUBLISH:
                    message = read_publish(stream.received, stream.at, ends[0], self.number)
                    if message is not None:
                        stream.next()
                        self.events.append(message)
                        continue
                elif kind == PUBACK:
                    self._read_puback(stream)
                    continue
                result = self._client.loop_read()
                if result == MQTTErrorCode.MQTT_ERR_PROTOCOL:
                    self._close(BrokerError(f"{self._settings.address}: the broker sent a broken packet"))
                elif result != _SUCCESS:
                    self._close(UnreachableBrokerError(f"{self._settings.address}: the connection is lost"))
            if stream.ended and not stream.packets:
                self._close(UnreachableBrokerError(f"{self._settings.address}: the broker closed the connection"))
        except ConnectionError as error:
            self._close(UnreachableBrokerError(f"{self._settings.address}: the connection is lost: {words(error)}"))
        except Exception as error:  # noqa: BLE001 - paho raises whatever a broken packet provokes in it
            self._close(BrokerError(f"{self._settings.address}: the broker sent a broken packet: {words(error)}"))

    def _read_puback(self, stream: Stream) -> None:
        """Paho would not know it: it did not send what this answers."""
        packet_id = read_puback(stream.received, stream.at, stream.ends[0])
        refused: BrokerError | None = None
        if packet_id is None:
            packet = bytes(stream.received[stream.at : stream.ends[0]])
            body = next(place for place in range(1, len(packet)) if not packet[place] & 0x80) + 1
            answer = _packet.decode_puback(packet[0], packet[body:], MQTTProtocolVersion.MQTTv5)
            packet_id = answer.mid
            if answer.reason.value >= _FAILURE:
                refused = RefusedByBrokerError(f"{self._settings.address}: publish refused: {answer.reason}")
            elif answer.reason.value == _UNHEARD:
                refused = UnheardError(f"{self._settings.address}: nobody is subscribed")
        stream.next()
        self.events.append(Published(packet_id, refused))

    def flush(self) -> bool:
        """Write what waits. Returns whether all is written."""
        if self._closed:
            return True
        try:
            if self._client.want_write() and self._client.loop_write() != _SUCCESS:
                self._close(UnreachableBrokerError(f"{self._settings.address}: the connection is lost"))
                return True
            return self.stream.flush()
        except OSError as error:
            self._close(UnreachableBrokerError(f"{self._settings.address}: the connection is lost: {words(error)}"))
            return True

    def keep_alive(self) -> None:
        """Send PINGREQ when it is due and notice a broker that does not answer; call every few seconds."""
        if self._closed:
            return
        self._client.note_traffic(self.stream)
        if self._client.loop_misc() != _SUCCESS:
            self._close(UnreachableBrokerError(f"{self._settings.address}: the broker no longer answers pings"))

    def publish(self, message: Outgoing) -> int:
        """Hand a PUBLISH to the stream; returns its packet id (0 for QoS 0). Raises ``BrokerError`` when closed."""
        if self._closed:
            raise UnreachableBrokerError(f"{self._settings.address}: not connected")
        packet_id = self._client.next_packet_id() if message.qos else 0
        self.stream.send(publish(message, packet_id))
        return packet_id

    def acknowledge(self, packet_id: int) -> None:
        """PUBACK."""
        self.stream.send(puback(packet_id))

    def subscribe(self, filters: list[str]) -> None:
        """SUBSCRIBE with QoS 1 and Retain As Published, so that a retained message can be told from a live one."""
        options = SubscribeOptions(qos=1, retainAsPublished=True)
        self._client.subscribe([(name, options) for name in filters])
        # What is published next must not overtake it: who reads "online" may count on the subscription.
        self._client.loop_write()

    def disconnect(self, *, with_will: bool = False) -> None:
        """DISCONNECT (reason 0x04 asks the broker for the will), flush and close."""
        if not self._closed:
            self._closed = True
            reason = ReasonCode(PacketTypes.DISCONNECT, identifier=0x04 if with_will else 0x00)
            self._client.disconnect(reason)
            with contextlib.suppress(OSError):  # the broker may have gone first
                self._client.loop_write()
        self.abandon()

    def abandon(self) -> None:
        """Close the socket without a word."""
        self._closed = True
        if self._client.stream is not None:
            self._client.stream.close()

    def _close(self, reason: BrokerError) -> None:
        if not self._closed:
            self._closed = True
            if self._settings.address.tls and not self._answered and not isinstance(reason, RefusedByBrokerError):
                # In TLS 1.3 a server refuses a client's certificate only after the handshake has ended for the client.
                own = self._settings.tls.certificate if self._settings.tls else None
                what = f"does it accept the certificate {own}?" if own else "does it want a client certificate?"
                reason = TlsError(f"{self._settings.address}: the broker ended the TLS session unanswered; {what}")
            self.events.append(Closed(reason))

    # --- paho's callbacks: translate and append, nothing else ---------------------------------------------------

    def _on_connect(
        self, _client: Client, _data: object, flags: ConnectFlags, code: ReasonCode, properties: Properties | None
    ) -> None:
        self._answered = True
        if code.is_failure:
            hint = {
                0x85: "the client id is refused",
                0x86: "user name or password are wrong",
                0x87: "user name or password are wrong, or this user may not connect",
                0x8A: "this client is banned",
                0x97: "the broker's quota is used up",
            }.get(code.value, str(code))
            self._close(RefusedByBrokerError(f"{self._settings.address}: connection refused: {hint}"))
            return
        known = properties.json() if properties is not None else {}
        limits = ServerLimits(
            receive_maximum=int(known.get("ReceiveMaximum", 65_535)),
            max_packet_bytes=known.get("MaximumPacketSize"),
            keepalive_s=known.get("ServerKeepAlive"),
        )
        self.keepalive_s = limits.keepalive_s or self.keepalive_s
        self.events.append(Accepted(flags.session_present, limits))

    def _on_disconnect(
        self, _client: Client, _data: object, flags: DisconnectFlags, code: ReasonCode, _properties: Properties | None
    ) -> None:
        address = self._settings.address
        if not flags.is_disconnect_packet_from_server:
            return  # our own side found a fault, and knows better which
        if code.value == _TAKEN_OVER:
            self._close(SessionTakenOverError(f"{address}: another client connected as {self._settings.client_id!r}"))
        else:
            self._close(RefusedByBrokerError(f"{address}: the broker ended the connection: {code}"))

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        properties = message.properties
        reply_to = correlation = expiry = content_type = None
        user: tuple[tuple[str, str], ...] = ()
        if properties is not None and not properties.isEmpty():
            reply_to = getattr(properties, "ResponseTopic", None)
            correlation = getattr(properties, "CorrelationData", None)
            expiry = getattr(properties, "MessageExpiryInterval", None)
            content_type = getattr(properties, "ContentType", None)
            user = tuple(getattr(properties, "UserProperty", ()))
        topic = message.topic  # raises on bad UTF-8, which read() takes for the broken packet that it is
        if not topic:
            raise ConfigError("an empty topic, or a topic alias that nobody asked for")
        self.events.append(
            Incoming(
                topic=topic,
                payload=bytes(message.payload),
                qos=message.qos,
                retain=message.retain,
                dup=message.dup,
                packet_id=message.mid,
                connection=self.number,
                reply_to=reply_to,
                correlation=bytes(correlation) if correlation is not None else None,
                expires_in_s=expiry,
                content_type=content_type,
                user_properties=user,
            )
        )

    def _on_subscribe(
        self, _client: Client, _data: object, _packet_id: int, codes: list[ReasonCode], _properties: Properties | None
    ) -> None:
        bad = [code for code in codes if code.value >= _FAILURE]
        refused = None
        if bad:
            refused = RefusedByBrokerError(
                f"{self._settings.address}: subscription refused: {bad[0]}; check the broker's access list"
            )
        self.events.append(Subscribed(refused))


class SessionTakenOverError(RefusedByBrokerError):
    """A second client uses this client id (MQTT 5.0, reason 0x8E): told, not fought with."""

    kind = "session-taken-over"


def words(error: BaseException) -> str:
    """What an exception of the system says, without its number."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
