"""Who may call what: tokens of users, tokens of services, and the rules of methods.

Default deny: a method says who may call it, and forgetting refuses to start. A token
proves identity only; what a user may do follows from the role that Auth gives now.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from lockstep.options.v1 import options_pb2 as options_pb

from services.kernel.errors import Forbidden, InvalidToken, SessionEnded
from services.kernel.ids import parse_id
from services.kernel.rpc.call import ADMIN, Call, Method, Principal, ServicePrincipal, UserPrincipal

ALGORITHMS = ["ES256"]  # fixed: never what a token's header asks for (RFC 8725, 3.1)
ISSUER = "lockstep"
AUDIENCE = "lockstep"
CLOCK_SKEW_SECONDS = 60
GATEWAY = "gateway"
TOKEN_CACHE_SIZE = 4096

_BEARER = re.compile(r"[Bb]earer +([A-Za-z0-9._~+/=-]{1,4096})")


@dataclass(frozen=True, slots=True)
class Session:
    """What Auth says of a session that lives."""

    role: str


class SessionChecker(Protocol):
    """Where sessions are asked about."""

    async def check(self, session_id: UUID, *, fresh: bool) -> Session | None:
        """Return the session, or None when it has ended.

        Args:
            session_id: The claim `sid` of a token.
            fresh: Whether an answer that is kept from before will not do.

        Raises:
            AuthUnavailable: Auth can't be asked.
        """


class VerificationKeys(Protocol):
    """Where the public keys of access tokens come from."""

    async def find(self, key_id: str) -> EllipticCurvePublicKey | None:
        """Return a key, or None when there is no such key.

        Raises:
            AuthUnavailable: Auth can't be asked.
        """


Handler = Callable[[Call], Awaitable[bytes]]


class Access:
    """Decides about calls.

    Args:
        service: The name of the service that is called.
        keys: The public keys of access tokens.
        sessions: Says which sessions live.
        trusted: The public key of each service.
    """

    def __init__(
        self,
        *,
        service: str,
        keys: VerificationKeys,
        sessions: SessionChecker,
        trusted: Mapping[str, EllipticCurvePublicKey],
    ) -> None:
        """See the class."""
        self._tokens = AccessTokenVerifier(keys)
        self._sessions = sessions
        self._services = ServiceTokens(service, trusted)

    def layer(self, method: Method, handler: Handler) -> Handler:  # noqa: ARG002 - every layer has both
        """Surround a method with its rule."""

        async def handle(call: Call) -> bytes:
            caller = self._service(call)
            call.client_address = _client_address(call, caller)
            call.principal = await self._principal(call, caller)
            return await handler(call)

        return handle

    def _service(self, call: Call) -> ServicePrincipal | None:
        token = call.metadata.get("x-lockstep-service")
        return self._services.verify(token) if token else None

    async def _principal(self, call: Call, caller: ServicePrincipal | None) -> Principal:
        method = call.method
        if caller is not None and caller.name in method.callers:
            return caller
        match method.access:
            case options_pb.ACCESS_PUBLIC:
                return None
            case options_pb.ACCESS_USER:
                return await self._user(call)
            case options_pb.ACCESS_ADMIN:
                user = await self._user(call)
                if user.role != ADMIN:
                    raise Forbidden
                return user
            case _:
                raise Forbidden

    async def _user(self, call: Call) -> UserPrincipal:
        claims = await self._tokens.verify(call.metadata.get("authorization"))
        fresh = call.method.fresh_session
        session = await self._sessions.check(claims.session_id, fresh=fresh)
        if session is None:
            raise SessionEnded
        return UserPrincipal(id=claims.user_id, session_id=claims.session_id, role=session.role)


def owned_id(text: str, caller: UserPrincipal, *, field: str = "user_id") -> UUID:
    """Read the id of a user's own thing: `me`, one's own id, or any for administrators.

    Raises:
        InvalidField: It is no id.
        Forbidden: It is somebody else's.
    """
    if text == "me":
        return caller.id
    user_id = parse_id(text, field=field)
    if user_id != caller.id and not caller.is_admin:
        raise Forbidden
    return user_id


@dataclass(frozen=True, slots=True)
class Claims:
    """What an access token says."""

    key_id: str
    user_id: UUID
    session_id: UUID
    expires_at: float


class AccessTokenVerifier:
    """Verifies access tokens, each once until it expires or its key is retired."""

    def __init__(self, keys: VerificationKeys) -> None:
        """Verify with these keys."""
        self._keys = keys
        self._verified: dict[str, Claims] = {}

    async def verify(self, header: str | None) -> Claims:
        """Verify the value of an authorization header.

        Raises:
            InvalidToken: It is missing, malformed, expired, not yet valid or not ours.
            AuthUnavailable: The keys can't be had.
        """
        if header is None:
            raise InvalidToken
        match = _BEARER.fullmatch(header)
        if match is None:
            raise InvalidToken("The authorization header must be `Bearer <token>`.")
        token = match[1]
        claims = self._verified.get(token)
        if claims is None:
            claims = await self._verify(token)
            self._remember(token, claims)
        elif await self._keys.find(claims.key_id) is None:  # retired since
            raise InvalidToken
        if claims.expires_at <= time.time():
            raise InvalidToken("The access token has expired. Refresh it or log in again.")
        return claims

    async def _verify(self, token: str) -> Claims:
        try:
            key_id = jwt.get_unverified_header(token).get("kid")
        except jwt.PyJWTError as error:
            raise InvalidToken from error
        if not isinstance(key_id, str) or (key := await self._keys.find(key_id)) is None:
            raise InvalidToken
        claims = _decoded(token, key, audience=AUDIENCE, issuer=ISSUER)
        try:
            return Claims(
                key_id=key_id,
                user_id=UUID(claims["sub"]),
                session_id=UUID(str(claims["sid"])),
                expires_at=float(claims["exp"]) + CLOCK_SKEW_SECONDS,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidToken from error

    def _remember(self, token: str, claims: Claims) -> None:
        if len(self._verified) >= TOKEN_CACHE_SIZE:
            del self._verified[next(iter(self._verified))]
        self._verified[token] = claims


class ServiceTokens:
    """Verifies the tokens by which services prove who they are."""

    def __init__(self, audience: str, trusted: Mapping[str, EllipticCurvePublicKey]) -> None:
        """Accept tokens for `audience` from the trusted services."""
        self._audience = audience
        self._trusted = trusted
        self._verified: dict[str, tuple[ServicePrincipal, float]] = {}

    def verify(self, token: str) -> ServicePrincipal:
        """Return the service that signed the token.

        Raises:
            InvalidToken: It is not a good token of a trusted service.
        """
        known = self._verified.get(token)
        if known is not None and known[1] > time.time():
            return known[0]
        service, expires_at = self._verify(token)
        if len(self._verified) >= TOKEN_CACHE_SIZE:
            self._verified.clear()
        self._verified[token] = (service, expires_at)
        return service

    def _verify(self, token: str) -> tuple[ServicePrincipal, float]:
        try:
            name = jwt.get_unverified_header(token).get("kid")
        except jwt.PyJWTError as error:
            raise InvalidToken("The service token is malformed.") from error
        if not isinstance(name, str) or name not in self._trusted:
            raise InvalidToken("The service token is not of a trusted service.")
        key = self._trusted[name]
        claims = _decoded(token, key, audience=self._audience, issuer=name)
        return ServicePrincipal(name=name), float(claims["exp"]) + CLOCK_SKEW_SECONDS


def _decoded(
    token: str, key: EllipticCurvePublicKey, *, audience: str, issuer: str
) -> dict[str, Any]:
    try:
        return jwt.decode(
            token,
            key,
            algorithms=ALGORITHMS,
            audience=audience,
            issuer=issuer,
            leeway=CLOCK_SKEW_SECONDS,
            options={"require": ["exp", "iat", "sub", "aud", "iss"]},
        )
    except jwt.ExpiredSignatureError as error:
        raise InvalidToken("The access token has expired. Refresh it or log in again.") from error
    except jwt.PyJWTError as error:
        raise InvalidToken from error


def _client_address(call: Call, caller: ServicePrincipal | None) -> str | None:
    """Only the gateway, once it has proven who it is, may say where a person is."""
    if caller is not None and caller.name == GATEWAY:
        return call.metadata.get("x-lockstep-client-address")
    return call.peer
