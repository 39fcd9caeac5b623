"""One connection to the broker: one paho client object, thrown away with it.

paho connects, subscribes and reads the answers to that; PUBLISH, PUBACK and pings go past it as bytes
(:mod:`waspi.mqtt.packet`). With a new object for each connection no packet id can leak into the next one. paho's
callbacks only append to :attr:`Connection.events`.
"""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from time import monotonic

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from waspi.errors import (
    BrokenPacketError,
    BrokerError,
    RefusedByBrokerError,
    SessionTakenOverError,
    TlsError,
    UnheardError,
    UnreachableBrokerError,
)
from waspi.model.value import value
from waspi.mqtt.acknowledgements import Acknowledgements, Entry
from waspi.mqtt.address import BrokerAddress
from waspi.mqtt.message import Incoming, Outgoing, ServerLimits
from waspi.mqtt.packet import (
    CONNACK,
    KIND,
    NAMES,
    PINGREQ,
    PINGRESP,
    PUBACK,
    PUBLISH,
    Refusal,
    puback,
    publish,
    pubrec_refused,
    read_puback,
    read_publish,
)
from waspi.mqtt.paho_client import PahoClient
from waspi.mqtt.settings import LinkSettings, Tls
from waspi.mqtt.stream import Stream

_ALL = 1 << 30
_SUCCESS = MQTTErrorCode.MQTT_ERR_SUCCESS
_LARGEST_FOR_PAHO = 4096
"""Bytes of a packet that is no PUBLISH; paho's parser copies the rest of a packet for each property."""
_UNHEARD = 0x10  # no matching subscribers (MQTT 5.0, 3.4.2.1)
_FAILURE = 0x80  # reason codes from here on are failures (MQTT 5.0, 2.4)
_WRONG_VERSION = 0x84
_NOT_AUTHORIZED = 0x87
_TAKEN_OVER = 0x8E
_TOO_LARGE = 0x95
_QUIET = 0.75
"""Part of the keep-alive after which a ping is due: one that is due later would come too late at times."""

_CONNACK_MEANS = {
    0x85: "the client id is refused",
    0x86: "user name or password are wrong",
    _NOT_AUTHORIZED: "user name or password are wrong, or this user may not connect",
    0x8A: "this client is banned",
    0x97: "the broker's quota is used up",
    0x9A: "this broker retains nothing, and waspi needs retained messages",
    0x9B: "this broker takes QoS 0 only, and waspi needs QoS 1",
}
_PUBACK_MEANS = {
    0x80: "unspecified error",
    0x83: "implementation specific error",
    _NOT_AUTHORIZED: "this user may not write there; check the broker's access list",
    0x90: "the topic's name is invalid",
    0x91: "the packet identifier is in use",
    _TOO_LARGE: "the message is too large for this broker",
    0x97: "a quota is used up",
    0x99: "the payload has not the format that it claims",
    0x9A: "this broker retains nothing",
    0x9B: "this broker does not take this QoS",
}

_log = logging.getLogger(__name__)


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
    """The broker's answer to the publish that was given ``token``."""

    token: int
    refused: BrokerError | None


@value
class Subscribed:
    """SUBACK."""

    refused: BrokerError | None


Event = Accepted | Closed | Published | Subscribed | Incoming


@value
class InFlight:
    """A QoS 1 publish that the broker has not answered."""

    token: int
    topic: str
    size: int
    """Bytes of the packet."""


class Connection:
    """A connection from TCP to DISCONNECT; ``number`` counts the session's connections."""

    def __init__(self, settings: LinkSettings, address: BrokerAddress, number: int) -> None:
        self.number = number
        self.address = address
        self.events: deque[Event] = deque()
        self.keepalive_s = settings.keepalive_s
        self.in_flight: dict[int, InFlight] = {}
        """By packet identifier, in the order in which they were sent."""
        self.acknowledgements = Acknowledgements(settings.receive_maximum, settings.max_packet_bytes)
        self._settings = settings
        self._closed = False
        self._answered = False
        self._pinged_at: float | None = None
        self._told_of_refusal = False
        client = PahoClient(settings.client_id, settings.max_packet_bytes, self.in_flight)
        client.connect_timeout = settings.connect_timeout_s
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        if address.tls:
            from waspi.mqtt.tls import make_context  # noqa: PLC0415 - 4 MB that an agent on plain MQTT does not pay

            client.tls_set_context(make_context(settings.tls or Tls()))
        username = settings.username or address.username
        if username:
            client.username_pw_set(username, settings.password or address.password)
        if settings.will:
            properties = None
            if settings.will.delay_s:  # with a delay of 0 some brokers cut off whoever subscribes to the will later
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
        address = self.address
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
    def closed(self) -> bool:
        """Whether it is over; :attr:`events` may still hold what came before."""
        return self._closed

    @property
    def waiting(self) -> bool:
        """Whether packets were received that :meth:`read` left for the next call."""
        return not self._closed and self.stream.packets > 0

    # --- reading ----------------------------------------------------------------------------------------------------

    def read(self, most: int = _ALL) -> None:
        """Take in what the socket holds, ``most`` packets of it; all that came of it stands in :attr:`events`."""
        stream = self.stream
        kind = 0
        try:
            if not stream.packets:
                stream.fill()
            stream.quota = most
            ends = stream.ends
            while ends and stream.quota and not self._closed:
                kind = stream.received[stream.at] & KIND
                if kind == PUBLISH:
                    self._read_publish(stream)
                elif kind == PUBACK:
                    self._read_puback(stream)
                elif kind == PINGRESP:
                    stream.next()
                    self._pinged_at = None
                else:
                    self._read_by_paho(stream, kind)
            if stream.ended and not stream.packets:
                self._close(UnreachableBrokerError(f"{self.address}: the broker closed the connection"))
        except OSError as error:
            self._close(UnreachableBrokerError(f"{self.address}: the connection is lost: {words(error)}"))
        except BrokenPacketError as error:
            if error.packet_id:
                # Nobody will ever read it: unacknowledged it would come again, and end each connection.
                stream.send(puback(error.packet_id))
            self._close(self._broken(NAMES.get(kind, "packet"), error.message))

    def _read_publish(self, stream: Stream) -> None:
        found = read_publish(stream.received, stream.at, stream.ends[0], self.number)
        stream.next()
        if isinstance(found, Refusal):
            self._refuse(found)
        elif not found.qos or self.acknowledgements.enter(found.packet_id, len(found.payload)) is Entry.NEW:
            self.events.append(found)

    def _refuse(self, message: Refusal) -> None:
        if message.qos == 1:
            if self.acknowledgements.enter(message.packet_id, 0) is not Entry.NEW:
                return
            self.acknowledge(message.packet_id)
        elif message.qos:
            self.stream.send(pubrec_refused(message.packet_id))
        if not self._told_of_refusal:
            self._told_of_refusal = True
            _log.warning("a message to %r is refused: %s (told once)", message.topic[:200], message.reason)

    def _read_puback(self, stream: Stream) -> None:
        """Paho would not know it: it did not send what this answers."""
        packet_id, code, reason = read_puback(stream.received, stream.at, stream.ends[0])
        stream.next()
        sent = self.in_flight.pop(packet_id, None)
        if sent is None:
            return
        refused: BrokerError | None = None
        if code >= _FAILURE:
            means = _PUBACK_MEANS.get(code, "a code that MQTT 5.0 does not have for it")
            said = f", the broker says {reason!r}" if reason else ""
            told = f"{self.address}: publish to {sent.topic} refused: PUBACK 0x{code:02X} ({means}){said}"
            refused = RefusedByBrokerError(told, code)
        elif code == _UNHEARD:
            refused = UnheardError(f"{self.address}: nobody is subscribed to {sent.topic}", code)
        self.events.append(Published(sent.token, refused))

    def _read_by_paho(self, stream: Stream, kind: int) -> None:
        begin, end = stream.at, stream.ends[0]
        name = NAMES.get(kind, "packet of a reserved kind")
        if end - begin > _LARGEST_FOR_PAHO:
            told = f"a {name} of {end - begin} bytes, more than the {_LARGEST_FOR_PAHO} that are read"
            raise BrokenPacketError(told)
        packet = bytes(stream.received[begin:end])
        if packet == bytes((CONNACK, 2, 0, 1)):
            self._answered = True
            self._close(self._wrong_version())
            return
        try:
            result = self._client.loop_read()
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - paho raises whatever a broken packet provokes in it
            self._close(self._broken(name, f"{packet[:32].hex(' ')} ({words(error)})"))
            return
        if result == MQTTErrorCode.MQTT_ERR_PROTOCOL:
            self._close(self._broken(name, packet[:32].hex(" ")))
        elif result != _SUCCESS:
            self._close(UnreachableBrokerError(f"{self.address}: the connection is lost"))

    def _broken(self, name: str, why: str) -> BrokenPacketError:
        return BrokenPacketError(f"{self.address}: the broker sent a broken {name}: {why}")

    def _wrong_version(self) -> RefusedByBrokerError:
        told = f"{self.address}: this broker speaks MQTT 3.1.1; waspi needs MQTT 5"
        return RefusedByBrokerError(told, _WRONG_VERSION)

    # --- writing ----------------------------------------------------------------------------------------------------

    def flush(self) -> bool:
        """Write what waits. Returns whether all is written."""
        if self._closed:
            return True
        try:
            if self._client.want_write() and self._client.loop_write() != _SUCCESS:
                self._close(UnreachableBrokerError(f"{self.address}: the connection is lost"))
                return True
            return self.stream.flush()
        except OSError as error:
            self._close(UnreachableBrokerError(f"{self.address}: the connection is lost: {words(error)}"))
            return True

    def keep_alive(self) -> None:
        """Send PINGREQ when it is due and notice a broker that does not answer; call every few seconds."""
        if self._closed or not self.keepalive_s:
            return
        now, stream = monotonic(), self.stream
        if self._pinged_at is not None:
            if now - self._pinged_at >= self.keepalive_s:
                self._close(UnreachableBrokerError(f"{self.address}: the broker no longer answers pings"))
        elif now - min(stream.spoke_at, stream.heard_at) >= _QUIET * self.keepalive_s:
            stream.send(PINGREQ)
            self._pinged_at = now

    def publish(self, message: Outgoing, token: int, largest: int | None) -> None:
        """Hand a PUBLISH to the stream; ``token`` names a QoS 1 message in the broker's answer.

        Raises ``BrokerError`` when closed, and for a message that MQTT cannot say or that is larger than ``largest``.
        """
        if self._closed:
            raise UnreachableBrokerError(f"{self.address}: not connected")
        packet_id = self._client.next_packet_id() if message.qos else 0
        packet = publish(message, packet_id)
        if largest is not None and len(packet) > largest:
            raise RefusedByBrokerError(f"the broker takes packets of {largest} bytes at most", _TOO_LARGE)
        self.stream.send(packet)
        if message.qos:
            self.in_flight[packet_id] = InFlight(token, message.topic, len(packet))

    def acknowledge(self, packet_id: int) -> bool:
        """PUBACK; ``False`` when it waits for those of messages that came before."""
        ready = self.acknowledgements.settle(packet_id)
        for each in ready:
            self.stream.send(puback(each))
        return packet_id in ready

    def subscribe(self, filters: list[str], *, qos: int = 1, retained: bool = True) -> None:
        """SUBSCRIBE with Retain As Published, so that a retained message can be told from a live one.

        ``qos`` is the largest that is wanted; without ``retained`` the broker sends nothing that it has kept.
        """
        handling = SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE if retained else SubscribeOptions.RETAIN_DO_NOT_SEND
        options = SubscribeOptions(qos=qos, retainAsPublished=True, retainHandling=handling)
        self._client.subscribe([(name, options) for name in filters])
        # What is published next must not overtake it: who reads "online" may count on the subscription.
        self._client.loop_write()

    def unsubscribe(self, filters: list[str]) -> None:
        """UNSUBSCRIBE."""
        self._client.unsubscribe(filters)
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
            if self.address.tls and not self._answered and not isinstance(reason, RefusedByBrokerError):
                # In TLS 1.3 a server refuses a client's certificate only after the handshake has ended for the client.
                own = self._settings.tls.certificate if self._settings.tls else None
                what = f"does it accept the certificate {own}?" if own else "does it want a client certificate?"
                reason = TlsError(f"{self.address}: the broker ended the TLS session unanswered; {what}")
            self.events.append(Closed(reason))

    # --- paho's callbacks: translate and append, nothing else -------------------------------------------------------

    def _on_connect(
        self, _client: Client, _data: object, flags: ConnectFlags, code: ReasonCode, properties: Properties | None
    ) -> None:
        self._answered = True
        if code.value == _WRONG_VERSION:
            self._close(self._wrong_version())
            return
        if code.is_failure:
            hint = _CONNACK_MEANS.get(code.value, str(code))
            told = f"{self.address}: connection refused: CONNACK 0x{code.value:02X}: {hint}"
            self._close(RefusedByBrokerError(told, code.value))
            return
        known = properties.json() if properties is not None else {}
        limits = ServerLimits(
            receive_maximum=int(known.get("ReceiveMaximum", 65_535)),
            max_packet_bytes=known.get("MaximumPacketSize"),
            keepalive_s=known.get("ServerKeepAlive"),
            session_expiry_s=known.get("SessionExpiryInterval"),
            max_qos=known.get("MaximumQoS", 2),
            retain=bool(known.get("RetainAvailable", True)),
            wildcards=bool(known.get("WildcardSubscriptionAvailable", True)),
            shared=bool(known.get("SharedSubscriptionAvailable", True)),
        )
        self.keepalive_s = limits.keepalive_s or self.keepalive_s
        self.events.append(Accepted(flags.session_present, limits))

    def _on_disconnect(
        self, _client: Client, _data: object, flags: DisconnectFlags, code: ReasonCode, _properties: Properties | None
    ) -> None:
        if not flags.is_disconnect_packet_from_server:
            return  # our own side found a fault, and knows better which
        if code.value == _TAKEN_OVER:
            told = f"{self.address}: another client connected as {self._settings.client_id!r}"
            self._close(SessionTakenOverError(told, code.value))
            return
        told = f"{self.address}: the broker ended the connection: DISCONNECT 0x{code.value:02X} ({code})"
        if code.value == _TOO_LARGE and self.in_flight:
            # Only one of what is in flight can be meant, and if any of it is too large, the largest is.
            packet_id, sent = max(self.in_flight.items(), key=lambda each: each[1].size)
            del self.in_flight[packet_id]
            told += f", after {sent.size} bytes for {sent.topic}"
            self.events.append(Published(sent.token, RefusedByBrokerError(told, code.value)))
        self._close(RefusedByBrokerError(told, code.value))

    def _on_subscribe(
        self, _client: Client, _data: object, _packet_id: int, codes: list[ReasonCode], _properties: Properties | None
    ) -> None:
        bad = [code for code in codes if code.value >= _FAILURE]
        refused = None
        if bad:
            told = f"subscription refused: SUBACK 0x{bad[0].value:02X} ({bad[0]}); check the broker's access list"
            refused = RefusedByBrokerError(f"{self.address}: {told}", bad[0].value)
        self.events.append(Subscribed(refused))


def words(error: BaseException) -> str:
    """What an exception of the system says, without its number."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
