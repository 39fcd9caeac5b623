"""The broker: whether it is there, how fast it echoes, and what it lets through that it should not."""

from __future__ import annotations

import ipaddress
import secrets
import statistics
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from waspi.cli.doctor.finding import Area, Finding, Level
from waspi.errors import BrokerError
from waspi.fleet.echo import Echo
from waspi.mqtt.settings import Tls
from waspi.protocol.topics import Topics

if TYPE_CHECKING:
    from waspi.mqtt.address import BrokerAddress

ECHOES = 40
"""Enough to leave TCP's quick acknowledgements behind, which hide the delay on a young connection."""
DELAYED_S = 0.035
"""Linux delays an acknowledgement by 40 ms; a slower echo met Nagle's algorithm, or a slow network."""
SMALL_WINDOW = 8


def look_at_broker(
    address: BrokerAddress,
    fleet: str,
    tls: Tls | None,
    username: str | None,
    password: str | None,
    *,
    device: str | None,
) -> Iterator[Finding]:
    """Look at a broker as one user sees it; ``device`` is the id of the device whose user it is."""
    try:
        with Echo(address, tls=tls, username=username, password=password) as echo:
            yield Finding(Area.BROKER, "reachable", Level.OK, str(address))
            yield round_trip(echo, Topics(fleet), device)
            yield receive_maximum(echo)
            yield access(echo, Topics(fleet))
    except BrokerError as error:
        yield Finding(
            Area.BROKER,
            "reachable",
            Level.FAIL,
            error.message,
            "check its URL, this user, its certificates and its log",
        )
        return
    yield encryption(address)
    yield anonymous(address, tls)


def round_trip(echo: Echo, topics: Topics, device: str | None) -> Finding:
    """Time echoes through a topic that this user may use."""
    token = secrets.token_hex(4)
    candidates = [f"reply/doctor-{token}/probe"]
    if device is not None:
        candidates.append(topics.result(device, f"doctor-{token}"))
    topic = next((each for each in candidates if echo.comes_back(each, timeout_s=1.0) is not None), None)
    if topic is None:
        return Finding(
            Area.BROKER, "round trip", Level.OK, "not measured: this user may not read what it writes, as it should be"
        )
    times = [taken for _ in range(ECHOES) if (taken := echo.comes_back(topic)) is not None][ECHOES // 2 :]
    median = statistics.median(times) if times else float("inf")
    found = f"{median * 1000:.1f} ms"
    if median < DELAYED_S:
        return Finding(Area.BROKER, "round trip", Level.OK, found)
    return Finding(
        Area.BROKER,
        "round trip",
        Level.WARN,
        found,
        "unless the network is slow: set_tcp_nodelay true in mosquitto.conf",
    )


def receive_maximum(echo: Echo) -> Finding:
    """Look at the window that the broker grants."""
    window, packet = echo.server.receive_maximum, echo.server.max_packet_bytes
    found = f"window {window}, packets up to {'any size' if packet is None else f'{packet} bytes'}"
    if window < SMALL_WINDOW:
        return Finding(Area.BROKER, "limits", Level.WARN, found, "raise max_inflight_messages: jobs go one by one")
    return Finding(Area.BROKER, "limits", Level.OK, found)


def access(echo: Echo, topics: Topics) -> Finding:
    """Try to speak as a device that does not exist, and to hear it: no user may do both."""
    stranger = f"doctor-{secrets.token_hex(4)}"
    if echo.comes_back(topics.status(stranger, "probe"), timeout_s=1.0) is None:
        return Finding(Area.BROKER, "access list", Level.OK, "this user cannot pose as another device")
    return Finding(
        Area.BROKER,
        "access list",
        Level.FAIL,
        "this user may speak and listen as any device: results can be forged, jobs read",
        "write an access list: waspi broker config makes one",
    )


def encryption(address: BrokerAddress) -> Finding:
    """Look at whether others on the network can listen."""
    if address.tls:
        return Finding(Area.BROKER, "encryption", Level.OK, "TLS")
    if _is_loopback(address.host):
        return Finding(Area.BROKER, "encryption", Level.OK, "none, but it stays on this machine")
    return Finding(
        Area.BROKER,
        "encryption",
        Level.WARN,
        "none: who is on the network can read jobs and the password, and change them",
        "use mqtts:// (waspi broker config)",
    )


def anonymous(address: BrokerAddress, tls: Tls | None) -> Finding:
    """Try to come in without user name and certificate."""
    bare = replace(address, username=None, password=None)
    try:
        with Echo(bare, tls=Tls(ca=tls.ca) if tls is not None else None, timeout_s=5.0):
            level = Level.WARN if _is_loopback(address.host) else Level.FAIL
            return Finding(
                Area.BROKER,
                "anonymous",
                level,
                "anybody may connect",
                "set allow_anonymous false (waspi broker config)",
            )
    except BrokerError:
        return Finding(Area.BROKER, "anonymous", Level.OK, "refused")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
