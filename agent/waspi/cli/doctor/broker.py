"""The broker: whether it is there, how fast it echoes, and what it lets through that it should not."""

from __future__ import annotations

import contextlib
import ipaddress
import secrets
import socket
import ssl
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from waspi.cli.doctor.finding import Area, Finding, Level, look
from waspi.errors import BrokerError, TlsError, UnreachableBrokerError
from waspi.fleet.echo import Echo
from waspi.fleet.trial import TRIALS, Need, Trial
from waspi.mqtt.settings import LinkSettings, Tls
from waspi.protocol.topics import Topics

if TYPE_CHECKING:
    from waspi.mqtt.address import BrokerAddress

ECHOES = 40
"""Enough to leave TCP's quick acknowledgements behind, which hide the delay on a young connection."""
DELAYED_S = 0.035
"""Linux delays an acknowledgement by 40 ms; a slower echo met Nagle's algorithm, or a slow network."""
ECHO_S = 5.0
"""What is not back after this time does not come, over however slow a network."""
SMALL_WINDOW = 8
HANDSHAKE_S = 10.0
REFUSAL_S = 1.0
NEEDS_BOTH = "an operator needs both: waspi broker config"


@dataclass(frozen=True, slots=True)
class Login:
    """As whom to look."""

    address: BrokerAddress
    fleet: str
    tls: Tls | None = None
    username: str | None = None
    password: str | None = None

    def echo(self) -> Echo:
        """Make a client, not connected."""
        return Echo(self.address, tls=self.tls, username=self.username, password=self.password)


def look_at_broker(login: Login, *, is_device: bool) -> Iterator[Finding]:
    """Look at a broker as one user sees it; ``is_device``: it is a device's, whose agent may be running."""
    address, tls = login.address, login.tls
    try:
        if is_device and address.tls and tls is not None and tls.certificate is not None:
            yield handshake(address, tls)
        else:
            with login.echo() as echo:
                yield Finding(Area.BROKER, "reachable", Level.OK, str(address))
                if not echo.taken_over:
                    yield from _look_inside(echo, login, is_device=is_device)
                else:
                    yield Finding(
                        Area.BROKER, "session", Level.WARN, "this user has one client only; it lost its session"
                    )
    except BrokerError as error:
        todo = "check its URL, this user, its certificates and its log"
        yield Finding(Area.BROKER, "reachable", Level.FAIL, error.message, todo)
        return
    yield encryption(address)
    yield from look(Area.BROKER, "anonymous", lambda: [anonymous(address, tls)])


def _look_inside(echo: Echo, login: Login, *, is_device: bool) -> Iterator[Finding]:
    spoken = True
    if not is_device:
        for each in look(Area.BROKER, "round trip", lambda: [_round_trip(echo, login)]):
            spoken = each.level is not Level.FAIL and each.todo != NEEDS_BOTH
            yield each
    yield limits(echo)
    yield from look(Area.BROKER, "access list", lambda: [access(echo, Topics(login.fleet))])
    if not is_device and spoken:
        for trial in TRIALS:
            yield from look(Area.BROKER, trial.name, partial(contract, trial, login))


def contract(trial: Trial, login: Login) -> list[Finding]:
    """Try one thing of the broker contract (docs/PROTOCOL.md)."""
    settings = LinkSettings(
        address=login.address, client_id="", tls=login.tls, username=login.username, password=login.password
    )
    try:
        failed = trial.run(settings, f"reply/doctor-{secrets.token_hex(4)}/{trial.name.replace(' ', '-')}")
    except BrokerError as error:
        failed = error.message
    if failed is None:
        return [Finding(Area.BROKER, trial.name, Level.OK, "works")]
    level = Level.FAIL if trial.need is Need.NEEDED else Level.WARN
    return [Finding(Area.BROKER, trial.name, level, failed, trial.follows)]


def _round_trip(echo: Echo, login: Login) -> Finding:
    with login.echo() as reflector:
        return round_trip(echo, reflector)


def handshake(address: BrokerAddress, tls: Tls) -> Finding:
    """Do the TLS handshake and no more: to log in with a device's certificate could end its agent's session."""
    context = ssl.create_default_context(cafile=None if tls.ca is None else str(tls.ca))
    try:
        if tls.certificate is not None:
            context.load_cert_chain(tls.certificate, tls.key)
        with (
            socket.create_connection((address.host, address.port), HANDSHAKE_S) as raw,
            context.wrap_socket(raw, server_hostname=address.host) as secure,
        ):
            # In TLS 1.3 a server refuses a client's certificate only after the client believes that all is well.
            secure.settimeout(REFUSAL_S)
            with contextlib.suppress(TimeoutError):
                secure.recv(1)
                raise TlsError(f"{address}: the broker ended the TLS session: it does not accept {tls.certificate}")
    except ssl.SSLError as error:
        raise TlsError(f"{address}: TLS fails with {tls.certificate}: {error.reason or error}") from error
    except OSError as error:
        raise UnreachableBrokerError(f"{address}: cannot connect: {error.strerror or error}") from error
    found = f"{address}, TLS is good; not logged in, since that could end the agent's session"
    return Finding(Area.BROKER, "reachable", Level.OK, found)


def round_trip(echo: Echo, reflector: Echo) -> Finding:
    """Time echoes between two clients, as jobs and results go."""
    base = f"reply/doctor-{secrets.token_hex(4)}"
    ping, pong = f"{base}/ping", f"{base}/pong"
    reflector.reflect(ping, pong)
    times = []
    for _ in range(ECHOES):
        taken = echo.comes_back(ping, on=pong, timeout_s=ECHO_S)
        if taken is None:
            found = "this user may not both write and read reply/..."
            return Finding(Area.BROKER, "round trip", Level.WARN, found, NEEDS_BOTH)
        times.append(taken)
    median = statistics.median(times[ECHOES // 2 :])
    found = f"{median * 1000:.1f} ms"
    if median < DELAYED_S:
        return Finding(Area.BROKER, "round trip", Level.OK, found)
    todo = "unless the network is slow: set_tcp_nodelay true in mosquitto.conf"
    return Finding(Area.BROKER, "round trip", Level.WARN, found, todo)


def limits(echo: Echo) -> Finding:
    """Look at the window that the broker grants."""
    window, packet = echo.server.receive_maximum, echo.server.max_packet_bytes
    found = f"window {window}, packets up to {'any size' if packet is None else f'{packet} bytes'}"
    if window < SMALL_WINDOW:
        return Finding(Area.BROKER, "limits", Level.WARN, found, "raise max_inflight_messages: jobs go one by one")
    return Finding(Area.BROKER, "limits", Level.OK, found)


def access(echo: Echo, topics: Topics) -> Finding:
    """Try to speak as a device that does not exist, and to hear it: no user may do both."""
    stranger = f"doctor-{secrets.token_hex(4)}"
    open_to_all = f"reply/{stranger}/after"
    if echo.comes_back(topics.status(stranger, "probe"), timeout_s=ECHO_S, before=open_to_all) is None:
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
