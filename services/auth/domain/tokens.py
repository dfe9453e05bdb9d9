"""Tokens: every service can verify access tokens; only Auth can verify refresh tokens."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from jwt.algorithms import ECAlgorithm

from services.common.keys import SigningKeys
from services.kernel.ids import new_id
from services.kernel.rpc.access import ALGORITHMS, AUDIENCE, ISSUER

ACCESS_SECONDS: Final = 6 * 3600
REFRESH_LENGTH_MAX: Final = 100

_ID_BYTES, _GENERATION_BYTES, _MAC_BYTES = 16, 4, 32


@dataclass(frozen=True, slots=True)
class AccessTokenSigner:
    """Signs access tokens (RFC 7519, ES256)."""

    keys: SigningKeys
    clock: Callable[[], float] = time.time

    def sign(self, *, user_id: UUID, session_id: UUID, role: str) -> str:
        """Return a token for six hours. Its role informs the client and permits nothing."""
        now = int(self.clock())
        kid, key = self.keys.signing
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": str(user_id),
            "sid": str(session_id),
            "role": role,
            "jti": str(new_id()),
            "iat": now,
            "nbf": now,
            "exp": now + ACCESS_SECONDS,
        }
        return jwt.encode(claims, key, algorithm=ALGORITHMS[0], headers={"kid": kid})


@dataclass(frozen=True, slots=True)
class LocalKeys:
    """Finds the keys for Auth's own access checks (`access.VerificationKeys`)."""

    keys: SigningKeys

    async def find(self, key_id: str) -> EllipticCurvePublicKey | None:
        """See `access.VerificationKeys`."""
        return self.keys.verifying.get(key_id)


def jwks(keys: SigningKeys) -> list[dict[str, str]]:
    """Return the public keys as JSON Web Keys (RFC 7517), the signing one first."""
    signing, _ = keys.signing
    listed = sorted(keys.verifying.items(), key=lambda entry: entry[0] != signing)
    return [_jwk(kid, key) for kid, key in listed]


def _jwk(kid: str, key: EllipticCurvePublicKey) -> dict[str, str]:
    point = ECAlgorithm.to_jwk(key, as_dict=True)
    names = ("kty", "crv", "x", "y")
    fields = {name: str(point[name]) for name in names}
    return {**fields, "kid": kid, "use": "sig", "alg": ALGORITHMS[0]}


@dataclass(frozen=True, slots=True)
class Refresh:
    """The content of a refresh token."""

    session_id: UUID
    generation: int


@dataclass(frozen=True, slots=True)
class RefreshTokens:
    """Makes refresh tokens, always the same one for a session and a generation.

    So callers that refresh at the same time can get the same successor, although the
    database has only its hash.
    """

    secret: bytes = field(repr=False)

    def make(self, session_id: UUID, generation: int) -> str:
        """Return the token of a session and a generation."""
        named = session_id.bytes + generation.to_bytes(_GENERATION_BYTES)
        return base64.urlsafe_b64encode(named + self._mac(named)).rstrip(b"=").decode()

    def read(self, token: str) -> Refresh | None:
        """Return a token's content, or None when Auth did not make the token."""
        if len(token) > REFRESH_LENGTH_MAX or not token.isascii():
            return None
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except ValueError:
            return None
        named, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        if len(named) != _ID_BYTES + _GENERATION_BYTES:
            return None
        if not hmac.compare_digest(mac, self._mac(named)):
            return None
        return Refresh(UUID(bytes=named[:_ID_BYTES]), int.from_bytes(named[_ID_BYTES:]))

    def hash(self, token: str) -> bytes:
        """Return the hash that is stored instead of a token."""
        return hashlib.sha256(token.encode()).digest()

    def _mac(self, named: bytes) -> bytes:
        return hmac.digest(self.secret, b"refresh\0" + named, hashlib.sha256)
