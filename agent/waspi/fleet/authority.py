"""A small certificate authority in a folder: for the broker, its devices and its operators (X.509, RFC 5280)."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from waspi.errors import KeyFileError
from waspi.fleet.operator_file import PRIVATE, PUBLIC, write_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

AUTHORITY_DAYS = 3650
SOON = timedelta(days=30)
"""A certificate that ends within this time is to be replaced."""
_CLOCK_SKEW = timedelta(days=1)
"""Certificates begin a day early: a board's clock may lag behind."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its private key, on disk; ``new`` says whether they were made just now."""

    certificate: Path
    key: Path
    new: bool


class Authority:
    """An authority whose ``<name>.crt`` and ``<name>.key`` (mode 0600) lie in ``folder``; made at the first use.

    Its key is needed for issuing alone, and may lie elsewhere at other times. It is never made anew beside a
    certificate: nobody would trust what the old one had issued.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.certificate_path = folder / f"{name}.crt"
        self.key_path = folder / f"{name}.key"
        self.revoked_path = folder / f"{name}.crl"
        """The certificates that it took back (a CRL, RFC 5280 section 5)."""
        self._subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"waspi {name}")])
        if self.certificate_path.exists():
            self._subject = _load_certificate(self.certificate_path).subject
        else:
            self._make()

    def issue_server(self, certificate: Path, key: Path, hosts: Sequence[str], days: int) -> Issued:
        """Issue a certificate for a server that is reached by ``hosts`` (names or addresses).

        One that is there already, names them all and does not end soon is kept. Raises :class:`OperatorError` when it
        cannot be written, :class:`KeyFileError` when the authority's key is elsewhere.
        """
        if _is_good(certificate, key) and set(hosts) <= _hosts_of(_load_certificate(certificate)):
            return Issued(certificate, key, new=False)
        names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
        return self._issue(certificate, key, hosts[0], ExtendedKeyUsageOID.SERVER_AUTH, days, names)

    def issue_client(self, certificate: Path, key: Path, name: str, days: int) -> Issued:
        """Issue a client certificate whose common name is ``name``; one that is there and does not end soon is kept.

        Raises as :meth:`issue_server`.
        """
        if _is_good(certificate, key) and common_name_of(certificate) == name:
            return Issued(certificate, key, new=False)
        return self._issue(certificate, key, name, ExtendedKeyUsageOID.CLIENT_AUTH, days, None)

    def revoke(self, certificates: Sequence[Path]) -> None:
        """Take certificates back, for good; the list is written even for none.

        It is signed for as long as an authority lasts: a broker refuses everybody once its list has ended. Raises as
        :meth:`issue_server`.
        """
        now = datetime.now(UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._subject)
            .last_update(now - _CLOCK_SKEW)
            .next_update(now + timedelta(days=AUTHORITY_DAYS))
        )
        known = {}
        if self.revoked_path.exists():
            known = {each.serial_number: each for each in x509.load_pem_x509_crl(self.revoked_path.read_bytes())}
        for path in certificates:
            serial = _load_certificate(path).serial_number
            revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now - _CLOCK_SKEW)
            known.setdefault(serial, revoked.build())
        for each in known.values():
            builder = builder.add_revoked_certificate(each)
        signed = builder.sign(self._key("take a certificate back"), hashes.SHA256())
        write_file(self.revoked_path, signed.public_bytes(Encoding.PEM), PUBLIC)

    def _key(self, purpose: str) -> ec.EllipticCurvePrivateKey:
        if not self.key_path.exists():
            raise KeyFileError(f"{self.key_path} is not here; bring it back to {purpose}")
        return _load_key(self.key_path)

    def _issue(
        self,
        certificate: Path,
        key_path: Path,
        name: str,
        usage: x509.ObjectIdentifier,
        days: int,
        names: x509.SubjectAlternativeName | None,
    ) -> Issued:
        authority = self._key(f"issue a certificate for {name}")
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = (
            self._builder(authority, subject, key.public_key(), days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(_key_usage(authority=False), critical=True)
        )
        if names is not None:
            builder = builder.add_extension(names, critical=False)
        write_file(key_path, _pem(key), PRIVATE)
        write_file(certificate, builder.sign(authority, hashes.SHA256()).public_bytes(Encoding.PEM), PUBLIC)
        return Issued(certificate, key_path, new=True)

    def _make(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            self._builder(key, self._subject, key.public_key(), AUTHORITY_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(authority=True), critical=True)
        )
        write_file(self.key_path, _pem(key), PRIVATE)
        write_file(self.certificate_path, builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM), PUBLIC)

    def _builder(
        self, issuer: ec.EllipticCurvePrivateKey, subject: x509.Name, key: ec.EllipticCurvePublicKey, days: int
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        own = x509.SubjectKeyIdentifier.from_public_key(issuer.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _CLOCK_SKEW)
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own), critical=False)
        )


def _is_good(certificate: Path, key: Path) -> bool:
    return certificate.exists() and key.exists() and expiry_of(certificate) - datetime.now(UTC) > SOON


def expiry_of(path: Path) -> datetime:
    """Give the moment at which a certificate file expires; raises :class:`KeyFileError`."""
    return _load_certificate(path).not_valid_after_utc


def common_name_of(path: Path) -> str:
    """Give the common name in a certificate file; raises :class:`KeyFileError`."""
    names = _load_certificate(path).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _hosts_of(certificate: x509.Certificate) -> set[str]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name) for kind in (x509.DNSName, x509.IPAddress) for name in names.get_values_for_type(kind)}


def _load_certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise KeyFileError(f"cannot read the certificate {path}: {error.strerror}") from error
    except ValueError as error:
        raise KeyFileError(f"{path} is no certificate in PEM") from error


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        raise KeyFileError(f"cannot read the key {path}: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise KeyFileError(f"{path} is no private key in plain PEM") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise KeyFileError(f"{path} is no elliptic curve key, as waspi broker config makes them")
    return key


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
