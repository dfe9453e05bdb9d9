"""Credentials: a user proves itself by an access token, a service by a token that it signs."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import grpc
import jwt
from lockstep_clients.details import path_of, with_metadata

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

Request = TypeVar("Request")
Response = TypeVar("Response")

HEADER = "x-lockstep-service"
TOKEN_SECONDS = 60
RENEW_BELOW_SECONDS = 20
# Several services have the methods of these packages.
SHARED_PACKAGES = frozenset({"saga"})


def bearer(token: str) -> tuple[tuple[str, str]]:
    """Return the metadata that proves a user: `stub.GetCart(request, metadata=bearer(token))`."""
    return (("authorization", f"Bearer {token}"),)


class ServiceIdentity:
    """Signs the tokens that prove which service calls.

    Args:
        name: The name of the service, such as `auth`.
        key: Its private key, on the curve P-256; the callee trusts the public key.
        clock: Returns the seconds since the epoch.
    """

    def __init__(
        self,
        name: str,
        key: EllipticCurvePrivateKey,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self._key = key
        self._clock = clock
        self._tokens: dict[str, _Token] = {}

    def token(self, audience: str) -> str:
        """Return a token for the service `audience`, valid for at least 20 seconds."""
        now = self._clock()
        known = self._tokens.get(audience)
        if known is None or known.expires_at - now < RENEW_BELOW_SECONDS:
            known = self._tokens[audience] = self._sign(audience, int(now))
        return known.text

    def _sign(self, audience: str, now: int) -> _Token:
        expires_at = now + TOKEN_SECONDS
        claims = {
            "iss": self.name,
            "sub": self.name,
            "aud": audience,
            "iat": now,
            "exp": expires_at,
        }
        text = jwt.encode(claims, self._key, algorithm="ES256", headers={"kid": self.name})
        return _Token(text, expires_at)


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    expires_at: int


class IdentityInterceptor(grpc.aio.UnaryUnaryClientInterceptor):
    """Proves to the callee which service calls.

    Args:
        identity: The service that calls.
        audience: The service that is called; by default the one in the method's package.
    """

    def __init__(self, identity: ServiceIdentity, audience: str | None = None) -> None:
        self._identity = identity
        self._audience = audience

    async def intercept_unary_unary(
        self,
        continuation: Callable[
            [grpc.aio.ClientCallDetails, Request],
            Awaitable[grpc.aio.UnaryUnaryCall[Request, Response]],
        ],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Request,
    ) -> grpc.aio.UnaryUnaryCall[Request, Response]:
        """Add the token."""
        audience = self._audience or audience_of(path_of(client_call_details))
        token = self._identity.token(audience)
        return await continuation(with_metadata(client_call_details, HEADER, token), request)


def audience_of(path: str) -> str:
    """Return the service that has a method: the second part of the method's package.

    Raises:
        ValueError: Several services have the method, or it is not Lockstep's.
    """
    match path.split("."):
        case ["/lockstep", service, *_] if service not in SHARED_PACKAGES:
            return service
    raise ValueError(f"{path} does not name the service that is called: connect with an audience")
