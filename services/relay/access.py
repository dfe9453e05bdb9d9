"""What the relay shows NATS, and what it wants to see there: credentials, and TLS."""

from __future__ import annotations

import base64
import binascii
import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from nats.aio.client import Client
from nats.errors import Error as NatsError

from services.common.files import Watched, damaged, read_file
from services.common.settings import CommonSettings, SettingsError
from services.common.tls import read_certificates

CA_REMEDY: Final = "put the certificates of NATS' authorities into it, or change LOCKSTEP_NATS_CA"
CREDENTIALS_REMEDY: Final = "make it with `nsc generate creds`, or change LOCKSTEP_NATS_CREDENTIALS"
# A seed has 2 bytes that say whose it is, 32 of the key, and 2 of a checksum, in base32.
SEED_BYTES: Final = 36
KEY_BYTES: Final = slice(2, 34)

_JWT: Final = re.compile(rb"-BEGIN NATS USER JWT-+\s+([\w.-]+)\s+-+END")
_SEED: Final = re.compile(rb"-BEGIN USER NKEY SEED-+\s+(SU[A-Z2-7]{56})\s+-+END")


@dataclass(frozen=True, slots=True, repr=False)
class _User:
    jwt: bytes
    key: Ed25519PrivateKey


class NatsCredentials:
    """A credentials file of NATS. A change counts at the next connection, as its JWT may end.

    Args:
        path: The file.

    Raises:
        FileProblem: It cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._watched: Final = Watched(path, lambda: _read_user(path))
        self._user = self._watched.value

    def sign(self, nonce: str) -> bytes:
        """Sign what the server asks to be signed. NATS calls it before `jwt`."""
        self._user = self._watched.value
        return base64.b64encode(self._user.key.sign(nonce.encode()))

    def jwt(self) -> bytes:
        """Return the JWT of the user whose key has signed."""
        return self._user.jwt


class NatsAuthorities:
    """The authorities that vouch for NATS. A change counts at the next connection.

    Args:
        path: The file of their certificates; None: those of the system.

    Raises:
        FileProblem: It cannot be used.
    """

    def __init__(self, path: Path | None) -> None:
        self._watched: Final = (
            Watched(_system_authorities(), ssl.create_default_context)
            if path is None
            else Watched(path, lambda: _trusting(path))
        )

    def context(self) -> ssl.SSLContext:
        """Return what trusts them, for one connection."""
        return self._watched.value


@dataclass(frozen=True, slots=True, repr=False)
class NatsAccess:
    """How to connect to NATS.

    Attributes:
        servers: The URLs of the servers.
        authorities: Whom the connection trusts; None: it may be in plain text.
        credentials: The credentials of the relay; None: the URLs have what is needed.
    """

    servers: Sequence[str]
    authorities: NatsAuthorities | None = None
    credentials: NatsCredentials | None = None

    @classmethod
    def of(cls, settings: CommonSettings) -> NatsAccess:
        """Read what the settings name.

        Raises:
            SettingsError: They name no server.
            FileProblem: A file cannot be used.
        """
        if settings.nats_url is None:
            raise SettingsError(["LOCKSTEP_NATS_URL must name the NATS server to publish to"])
        servers = [each.strip() for each in settings.nats_url.split(",")]
        wants_tls = any(each.lower().startswith("tls:") for each in servers)
        path = settings.nats_credentials
        return cls(
            servers,
            NatsAuthorities(settings.nats_ca) if wants_tls or settings.nats_ca else None,
            None if path is None else NatsCredentials(path),
        )

    def client(self) -> Client:
        """Return a client, which is not connected."""
        return Client() if self.authorities is None else _TlsClient(self.authorities)

    def options(self) -> dict[str, Any]:
        """Return the options of a connection."""
        found: dict[str, Any] = {"servers": list(self.servers)}
        if self.credentials is not None:
            found["signature_cb"] = self.credentials.sign
            found["user_jwt_cb"] = self.credentials.jwt
        return found


class _TlsClient(Client):
    """A client that leaves a server without required TLS. Its base would tell it the password.

    No option of nats-py does so: `tls_handshake_first` needs servers that are set up for it. The
    private method is the last one before the password goes out. Without it, no connection is made.
    """

    def __init__(self, authorities: NatsAuthorities) -> None:
        super().__init__()
        self._authorities = authorities

    @property
    def ssl_context(self) -> ssl.SSLContext:
        """What nats-py asks for at each connection."""
        return self._authorities.context()

    async def connect(self, *given: Any, **options: Any) -> None:
        if not hasattr(Client, "_connect_command"):
            raise NatsError("this version cannot demand TLS of a server: install nats-py 2.16")
        await super().connect(*given, **options)

    def _connect_command(self) -> bytes:
        if not self._server_info.get("tls_required"):
            raise NatsError("the server must require TLS, and does not")
        return super()._connect_command()


def _system_authorities() -> Path:
    places = ssl.get_default_verify_paths()
    return Path(places.cafile or places.openssl_cafile)


def _trusting(path: Path) -> ssl.SSLContext:
    """Give OpenSSL the certificates alone: it refuses comments that are not ASCII."""
    found = read_certificates(path, remedy=CA_REMEDY).found
    try:
        return ssl.create_default_context(
            cadata=b"".join(each.public_bytes(Encoding.DER) for each in found)
        )
    except (ssl.SSLError, ValueError):
        raise damaged(path, "certificates that OpenSSL can use", remedy=CA_REMEDY) from None


def _read_user(path: Path) -> _User:
    text = read_file(path, remedy=CREDENTIALS_REMEDY)
    jwt, seed = _JWT.search(text), _SEED.search(text)
    key = None if seed is None else _key_of(seed[1])
    if jwt is None or key is None:
        raise damaged(path, "a JWT and the seed of its user", remedy=CREDENTIALS_REMEDY)
    return _User(jwt[1], key)


def _key_of(seed: bytes) -> Ed25519PrivateKey | None:
    """Read a seed; None: its checksum is wrong."""
    decoded = base64.b32decode(seed + b"=" * (-len(seed) % 8))
    content, checksum = decoded[:-2], decoded[-2:]
    if len(decoded) != SEED_BYTES or binascii.crc_hqx(content, 0) != int.from_bytes(
        checksum, "little"
    ):
        return None
    return Ed25519PrivateKey.from_private_bytes(content[KEY_BYTES])
