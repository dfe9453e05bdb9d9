"""Certificates as the command makes and renews them: a small authority for trying TLS."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from services.common.files import FileProblem, damaged, locked, read_file, write_file
from services.common.keys import SERVICES
from services.common.tls import (
    AUTHORITY,
    CERTIFICATE,
    KEY,
    MISSING,
    RENEW,
    UNREADABLE,
    certified_key,
    public_of,
    read_certificates,
)
from services.kernel.rpc.peers import SPIFFE

AUTHORITY_KEY: Final = "ca-key.pem"
DAYS: Final = 90
AUTHORITY_DAYS: Final = 3650
CLOCKS_DIFFER: Final = timedelta(hours=1)
"""A certificate is valid from this long ago on, because the clocks of machines differ."""
LOCAL: Final = ("localhost", "127.0.0.1", "::1")
USAGES: Final = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)

PrivateKey = ec.EllipticCurvePrivateKey
Hosts = Mapping[str, Sequence[str]]
"""Further host names and IPs of services."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A certificate that is there."""

    service: str
    names: tuple[str, ...]
    ends: datetime


def initialise(
    folder: Path, hosts: Hosts | None = None, services: Sequence[str] = SERVICES
) -> list[str]:
    """Make the authority and the pairs that are missing, and change no others.

    Args:
        folder: The folder of all certificates.
        hosts: Further host names and IPs of services.
        services: The services, and the command.

    Returns:
        The names of the services that got a pair.

    Raises:
        FileProblem: A file cannot be used or made.
    """
    with locked(folder):
        if not (folder / AUTHORITY).exists() and not (folder / AUTHORITY_KEY).exists():
            _make_authority(folder)
        missing = [name for name in services if not (folder / name / CERTIFICATE).exists()]
        for name in missing:
            _make(folder, name, _names(name, (hosts or {}).get(name, ())))
    return missing


def renew(folder: Path, hosts: Hosts | None = None) -> list[str]:
    """Make new pairs in place of those that are there, with the same names and further ones.

    Raises:
        FileProblem: A file cannot be used or made.
    """
    with locked(folder):
        there = [path.parent.name for path in sorted(folder.glob(f"*/{CERTIFICATE}"))]
        if not there:
            raise FileProblem(f"{folder} has no certificates: run `lockstep certs init`")
        for name in there:
            more = (hosts or {}).get(name, ())
            _make(folder, name, [*_kept_names(folder, name), *more])
    return there


def listed(folder: Path) -> list[Listed]:
    """List the certificates.

    Raises:
        FileProblem: There are none, or one cannot be read.
    """
    paths = sorted(folder.glob(f"*/{CERTIFICATE}"))
    if not paths:
        raise FileProblem(f"{folder} has no certificates: run `lockstep certs init`")
    found = [(path, read_certificates(path)) for path in paths]
    return [
        Listed(path.parent.name, tuple(_names_in(path, each.found[0])), each.ends)
        for path, each in found
    ]


def _names(service: str, hosts: Iterable[str]) -> list[str]:
    return [service, *LOCAL, *hosts]


def _kept_names(folder: Path, service: str) -> list[str]:
    path = folder / service / CERTIFICATE
    try:
        return _names_in(path, read_certificates(path).found[0])
    except FileProblem:
        return _names(service, ())


def _names_in(path: Path, certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    except UNREADABLE:
        raise damaged(path, "a certificate whose names can be read", remedy=RENEW) from None
    ips = names.get_values_for_type(x509.IPAddress)
    return [*names.get_values_for_type(x509.DNSName), *map(str, ips)]


def _make_authority(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _subject("Lockstep local authority")
    certificate = (
        _builder(name, name, key.public_key(), days=AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(is_authority=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    # The certificate last: while it is missing, all of it is made anew.
    write_file(folder / AUTHORITY_KEY, _text_of(key))
    write_file(folder / AUTHORITY, certificate.public_bytes(serialization.Encoding.PEM))


def _make(folder: Path, service: str, names: Iterable[str]) -> None:
    authority, authority_key = _authority(folder)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(_subject(service), authority.subject, key.public_key(), days=DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(is_authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(USAGES), critical=False)
        .add_extension(_alternative_names(service, names), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    write_file(folder / service / KEY, _text_of(key))
    text = certificate.public_bytes(serialization.Encoding.PEM)
    write_file(folder / service / CERTIFICATE, text)


def _authority(folder: Path) -> tuple[x509.Certificate, PrivateKey]:
    certificate = read_certificates(folder / AUTHORITY).found[0]
    path = folder / AUTHORITY_KEY
    text = read_file(path, remedy=RENEW if path.exists() else MISSING)
    if public_of(path, text) != certified_key(folder / AUTHORITY, certificate):
        raise FileProblem(f"{path} is not the key of {folder / AUTHORITY}: restore the one or both")
    key = serialization.load_pem_private_key(text, password=None)
    if not isinstance(key, PrivateKey):
        raise damaged(
            path, "a private key on an elliptic curve", remedy=f"restore it and {AUTHORITY}"
        )
    return certificate, key


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, *, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCKS_DIFFER)
        .not_valid_after(now + timedelta(days=days))
    )


def _alternative_names(service: str, names: Iterable[str]) -> x509.SubjectAlternativeName:
    general: list[x509.GeneralName] = [_general(each) for each in dict.fromkeys(names)]
    return x509.SubjectAlternativeName([*general, x509.UniformResourceIdentifier(SPIFFE + service)])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _text_of(key: PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
