"""TLS toward the broker."""

from __future__ import annotations

import ssl
import time

from waspi.errors import BrokerError, ConfigError, TlsError, UnreachableBrokerError
from waspi.mqtt.address import BrokerAddress
from waspi.mqtt.settings import Tls

_TIME = frozenset({9, 10})
"""OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED: a board without a clock meets the first."""


def make_context(tls: Tls) -> ssl.SSLContext:
    """A context that checks certificate and name. Raises ``ConfigError`` for files that cannot be loaded."""
    try:
        context = ssl.create_default_context(cafile=str(tls.ca) if tls.ca else None)
        if tls.certificate:
            context.load_cert_chain(str(tls.certificate), str(tls.key) if tls.key else None)
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(str(name) for name in (tls.ca, tls.certificate, tls.key) if name)
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigError(f"broker.tls: cannot load {files}: {reason}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def explain(address: BrokerAddress, error: OSError | ValueError) -> BrokerError:
    """The error that says why a TLS connection was not to be had."""
    if isinstance(error, ssl.SSLCertVerificationError):
        told = f"{address}: the broker's certificate is refused: {error.verify_message}"
        if error.verify_code in _TIME:
            told += f"; this machine's clock says {time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC: is it right?"
        return TlsError(told)
    if isinstance(error, ssl.SSLError):
        return TlsError(f"{address}: TLS handshake failed: {error.reason or error}; is this a TLS port?")
    if isinstance(error, ConnectionResetError):
        return TlsError(f"{address}: the broker cut the TLS handshake; does it want a client certificate?")
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return UnreachableBrokerError(f"{address}: cannot connect: {reason}")
