"""The text of a mosquitto configuration and of its access list (mosquitto.conf(5), mosquitto 2.0 and later)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from waspi.protocol.topics import Topics

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from waspi.fleet.broker_plan import BrokerPlan

KIB = 1024


def configuration(plan: BrokerPlan) -> str:
    """Give ``mosquitto.conf``: two TLS listeners that know clients by certificate, bounded queues, nobody anonymous."""
    folder = plan.folder
    revoked = {name: _revoked(folder / f"{name}-ca.crl") for name in ("devices", "operators")}
    bind = f" {plan.bind}" if plan.bind else ""
    return f"""\
# Written by: waspi broker config. Run it with: mosquitto -c {folder}/mosquitto.conf
user {plan.run_as}
# waspi device tells the process of this file when access list or certificates have changed (SIGHUP).
pid_file {folder}/data/mosquitto.pid

allow_anonymous false
acl_file {folder}/acl

# Without it a round trip takes 40 ms longer than it should (Nagle's algorithm against delayed acknowledgements).
set_tcp_nodelay true

# What one client may have open and waiting: a device that is away for long must not fill the broker's memory.
max_inflight_messages 64
max_queued_messages 20000
max_queued_bytes {256 * KIB * KIB}
max_packet_size {plan.max_packet_kib * KIB}
max_keepalive 3600

# Sessions survive a restart. What is lost in between costs only time: devices and clients say what they know.
persistence true
persistence_location {folder}/data/
autosave_interval 60
persistent_client_expiration 14d

log_dest stderr
log_type error
log_type warning
log_type notice

# Devices. The certificate's common name is user name and client id: no device can pose as another or end its session.
listener {plan.device_port}{bind}
cafile {folder}/devices-ca.crt
certfile {folder}/server.crt
keyfile {folder}/server.key
{revoked["devices"]}tls_version tlsv1.2
require_certificate true
use_identity_as_username true
use_username_as_clientid true

# Operators. Another authority, so that no device gets in here; one operator may have several clients.
listener {plan.operator_port}{bind}
cafile {folder}/operators-ca.crt
certfile {folder}/server.crt
keyfile {folder}/server.key
{revoked["operators"]}tls_version tlsv1.2
require_certificate true
use_identity_as_username true
"""


def _revoked(file: Path) -> str:
    return f"crlfile {file}\n" if file.exists() else ""


def operator_name(operator: str) -> str:
    """The common name of an operator's certificate, by which the access list knows it; no device's id has a colon."""
    return f"operator:{operator}"


def access_list(fleet: str, devices: Mapping[str, Iterable[str]], operators: Sequence[str]) -> str:
    """Give the access list: what is not named is refused.

    ``devices`` are ids with the groups of each. ``%u`` is the common name of a client's certificate: a device's id.
    """
    root = Topics(fleet).root
    own = f"{root}/device/%u"
    asked = ("job", "run/#", "cancel/+", "sync-query", "chunk/+", "record/+")
    told = ("result/+", "error/+", "status/+", "presence", "reported", "sync", "flow/+", "depot/get/#")
    lines = [
        "# Written by: waspi broker config. Whoever is taken out of it gets no answers and no group's jobs.",
        "",
        "# Every client: the topics of the device that it is.",
        *(f"pattern read {own}/{what}" for what in asked),
        *(f"pattern write {own}/{what}" for what in told),
        "pattern write reply/+/%u",
    ]
    for device, groups in devices.items():
        lines += [
            "",
            f"user {device}",
            *(f"topic read {root}/group/{group}/{what}" for group in sorted(groups) for what in ("job", "run/+")),
            f"topic read {root}/depot/+/timestamp",
            f"topic read {root}/state-call",
        ]
    for operator in operators:
        lines += [
            "",
            f"user {operator_name(operator)}",
            *(f"topic write {root}/device/+/{what}" for what in asked),
            *(f"topic read {root}/device/+/{what}" for what in told),
            *(f"topic write {root}/group/+/{what}" for what in ("job", "run/+")),
            f"topic write {root}/state-call",
            f"topic readwrite {root}/depot/+/timestamp",
            "topic readwrite reply/#",
        ]
    return "\n".join(lines) + "\n"
