"""Tokens: every service can verify access tokens; only Auth can verify refresh tokens."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from jwt.algorithms import ECAlgorithm

from services.common.keys import SigningKeys
from services.kernel.ids import new_id
from services.kernel.rpc.access import ALGORITHMS, AUDIENCE, ISSUER
from services.kernel.secret import Secret

ACCESS_SECONDS: Final = 6 * 3600
REFRESH_LENGTH: Final = 112

_ID_BYTES, _GENERATION_BYTES, _SEED_BYTES, _MAC_BYTES = 16, 4, 32, 32


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


@dataclass(frozen=True, slots=True, repr=False)
class Refresh:
    """The content of a refresh token.

    Attributes:
        seed: Bytes that are random in each session. The database has only their hash.
    """

    session_id: UUID
    generation: int
    seed: bytes

    @property
    def next(self) -> Refresh:
        """The content of the token that follows."""
        return replace(self, generation=self.generation + 1)


@dataclass(frozen=True, slots=True)
class RefreshTokens:
    """Makes refresh tokens, always the same one for a session, a generation and a seed.

    So callers that refresh at the same time can get the same successor. It takes both the
    seed, which only the session's owner has, and the secret, which only Auth has.
    """

    secret: Secret

    def new(self, session_id: UUID) -> Refresh:
        """Return the content of the first token of a session."""
        return Refresh(session_id, 0, secrets.token_bytes(_SEED_BYTES))

    def make(self, refresh: Refresh) -> str:
        """Return the token with this content."""
        named = refresh.session_id.bytes + refresh.generation.to_bytes(_GENERATION_BYTES)
        named += refresh.seed
        return base64.urlsafe_b64encode(named + self.secret.digest(_signed(named))).decode()

    def read(self, token: str) -> Refresh | None:
        """Return a token's content, or None when Auth did not make the token."""
        if len(token) != REFRESH_LENGTH or not token.isascii():
            return None
        try:
            raw = base64.b64decode(token, altchars=b"-_", validate=True)
        except ValueError:
            return None
        named, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        if not self.secret.verifies(_signed(named), mac):
            return None
        generation = int.from_bytes(named[_ID_BYTES:-_SEED_BYTES])
        return Refresh(UUID(bytes=named[:_ID_BYTES]), generation, named[-_SEED_BYTES:])


def seed_hash(seed: bytes) -> bytes:
    """Return the hash that is stored instead of a seed."""
    return hashlib.sha256(seed).digest()


def _signed(named: bytes) -> bytes:
    return b"refresh\0" + named
