"""TLS between services: the files of a process, read with care, and renewed while it runs.

certs/ca.pem               the certificates of the authorities that are trusted
certs/<service>/cert.pem   the service's certificate with its chain; its names have the service's
certs/<service>/key.pem    the key of that certificate

`common.cert_files` can make them; cert-manager and others make the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import grpc
import structlog
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from lockstep_clients.tls import State, state_of
from opentelemetry.metrics import Meter, Observation

from services.common.files import FileProblem, damaged, read_file
from services.common.settings import LOOPBACK, CommonSettings

OFF: Final = "off"
MUTUAL: Final = "mutual"
AUTHORITY: Final = "ca.pem"
CERTIFICATE: Final = "cert.pem"
KEY: Final = "key.pem"
MISSING: Final = "run `lockstep certs init`, or set LOCKSTEP_CERTS or LOCKSTEP_TLS_{CERT,KEY,CA}"
RENEW: Final = "restore it, or run `lockstep certs renew`"
# What cryptography raises about a certificate, some of it only when a part is looked at.
UNREADABLE: Final = (
    ValueError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
PLAIN_TEXT: Final = "tokens and passwords can be read on the network: set LOCKSTEP_TLS"

log = structlog.get_logger("lockstep.tls")


@dataclass(frozen=True, slots=True, repr=False)
class TlsTexts:
    """What the files hold, as PEM.

    Attributes:
        ends: When the first certificate of the chain expires that does.
    """

    cert: bytes
    key: bytes
    ca: bytes
    ends: datetime


class Tls:
    """The credentials of one process.

    A change of the files that cannot be used, such as a certificate whose key is not there yet,
    is logged once. What was read before it stays in use.

    Args:
        cert: The file of the certificate.
        key: The file of its key.
        ca: The file of the authorities.
        is_mutual: Whether callers must have a certificate, too.

    Raises:
        FileProblem: The files cannot be used.
    """

    def __init__(self, cert: Path, key: Path, ca: Path, *, is_mutual: bool) -> None:
        self.is_mutual: Final = is_mutual
        self._cert, self._key, self._ca = cert, key, ca
        self._state = self.state()
        self._pair = self._read()
        self._served = self._pair

    def state(self) -> State:
        """Return the state of the files."""
        return state_of(self._cert, self._key, self._ca)

    @property
    def pair(self) -> TlsTexts:
        """What the files hold now, or held when they could last be used."""
        state = self.state()
        if state not in ((), self._state):
            self._state = state
            try:
                self._pair = self._read()
            except FileProblem as error:
                log.error("certificate refused", reason=str(error))  # noqa: TRY400 - no bug
            else:
                log.info("certificate renewed", ends=self._pair.ends.isoformat())
        return self._pair

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """Return the credentials of a caller."""
        pair = self.pair
        if self.is_mutual:
            return grpc.ssl_channel_credentials(pair.ca, pair.key, pair.cert)
        return grpc.ssl_channel_credentials(pair.ca)

    def server_credentials(self) -> grpc.ServerCredentials:
        """Return the credentials of a server, which looks for new files at each handshake."""
        return grpc.dynamic_ssl_server_credentials(
            self._configuration(self._served),
            self._renewed,  # type: ignore[arg-type]  # None says that nothing has changed
            require_client_authentication=self.is_mutual,
        )

    def _renewed(self) -> grpc.ServerCertificateConfiguration | None:
        """Return what has changed since the last handshake; gRPC asks in a thread of its own."""
        try:
            pair = self.pair
            if pair is self._served:
                return None
            self._served = pair
            return self._configuration(pair)
        except Exception:  # gRPC would refuse the handshake
            log.exception("certificate refused")
            return None

    def _configuration(self, pair: TlsTexts) -> grpc.ServerCertificateConfiguration:
        trusted = pair.ca if self.is_mutual else None
        return grpc.ssl_server_certificate_configuration([(pair.key, pair.cert)], trusted)

    def _read(self) -> TlsTexts:
        cert, ca = read_certificates(self._cert), read_certificates(self._ca)
        key = read_file(self._key, remedy=_remedy(self._key))
        if public_of(self._key, key) != certified_key(self._cert, cert.found[0]):
            raise FileProblem(f"{self._key} is not the key of {self._cert}: {RENEW}")
        if not any(map(_is_authority, ca.found)):
            raise damaged(self._ca, "the certificate of an authority", remedy=RENEW)
        ends = cert.ends
        if ends <= datetime.now(UTC):
            raise FileProblem(f"{self._cert} has expired at {ends.isoformat()}: {RENEW}")
        return TlsTexts(cert.text, key, ca.text, ends)


@dataclass(frozen=True, slots=True)
class Certificates:
    """Certificates, as PEM and read."""

    text: bytes
    found: list[x509.Certificate]

    @property
    def ends(self) -> datetime:
        """When the first of them expires."""
        return min(each.not_valid_after_utc for each in self.found)


def tls_of(settings: CommonSettings, name: str) -> Tls | None:
    """Read the credentials of a service or of the command; None: TLS is off.

    Raises:
        FileProblem: They cannot be used.
    """
    if settings.tls == OFF:
        return None
    own = settings.certs / name
    return Tls(
        settings.tls_cert or own / CERTIFICATE,
        settings.tls_key or own / KEY,
        settings.tls_ca or settings.certs / AUTHORITY,
        is_mutual=settings.tls == MUTUAL,
    )


def service_tls(settings: CommonSettings, name: str) -> Tls | None:
    """Do the same for a process that starts, and warn if a network sees its plain text."""
    if settings.tls == OFF and settings.host not in LOOPBACK:
        log.warning("no tls", host=settings.host, reason=PLAIN_TEXT)
    return tls_of(settings, name)


def observe_ends(meter: Meter, ends: dict[str, Callable[[], datetime]]) -> None:
    """Create the metric of the time that is left to certificates.

    Args:
        meter: Creates it.
        ends: When each certificate expires, by its use.
    """

    def read(_options: object) -> Iterable[Observation]:
        for use, end in ends.items():
            try:
                left = end().timestamp() - time.time()
            except FileProblem:
                continue  # the server tells it
            yield Observation(left, {"lockstep.certificate.use": use})

    meter.create_observable_gauge(
        "lockstep.certificate.expiry",
        callbacks=[read],
        unit="s",
        description="The time that is left until the certificate expires",
    )


def read_certificates(path: Path, *, remedy: str = "") -> Certificates:
    """Read certificates as PEM.

    Args:
        path: The file.
        remedy: What to do when it cannot be used, if it is no certificate between services.

    Raises:
        FileProblem: There are none.
    """
    text = read_file(path, remedy=remedy or _remedy(path))
    try:
        found = x509.load_pem_x509_certificates(text)
        cut = text.count(b"-----BEGIN ") != text.count(b"-----END ")
    except UNREADABLE:
        found, cut = [], True
    if cut:
        raise damaged(path, "certificates as PEM", remedy=remedy or RENEW)
    return Certificates(text, found)


def public_of(path: Path, text: bytes) -> bytes:
    """Return the public key of a private one, in a form that can be compared.

    Raises:
        FileProblem: There is none, or it has a password.
    """
    try:
        return public_bytes(serialization.load_pem_private_key(text, password=None).public_key())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise damaged(path, "a private key as PEM, without a password", remedy=RENEW) from None


def public_bytes(key: PublicKeyTypes) -> bytes:
    """Return a public key in a form that can be compared."""
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _remedy(path: Path) -> str:
    return RENEW if path.exists() else MISSING


def certified_key(path: Path, certificate: x509.Certificate) -> bytes:
    """Return the public key of a certificate, in a form that can be compared.

    Raises:
        FileProblem: It is of an unknown type.
    """
    try:
        return public_bytes(certificate.public_key())
    except UNREADABLE:
        raise damaged(path, "a certificate whose key can be read", remedy=RENEW) from None


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        if certificate.subject == certificate.issuer:
            return True
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, *UNREADABLE):
        return False
