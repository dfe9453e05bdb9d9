"""Access: tokens and API keys of users, tokens of services, and the access rules of methods.

A method without an access rule stops the server from starting. A token proves identity
alone: a user's rights follow from the role that the session has now.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from lockstep.options.v1 import options_pb2 as options_pb

from services.kernel.errors import (
    Forbidden,
    InvalidField,
    InvalidToken,
    MfaRequired,
    SessionEnded,
    Violation,
)
from services.kernel.rpc.api_keys import ApiKeyChecker, is_api_key, read_api_key
from services.kernel.rpc.call import (
    Call,
    Caller,
    Handler,
    Method,
    Principal,
    ServicePrincipal,
    UserPrincipal,
)
from services.kernel.rpc.peers import names_of

ALGORITHMS = ["ES256"]  # a token's header must not choose the algorithm (RFC 8725, 3.1)
ISSUER = "lockstep"
AUDIENCE = "lockstep"
CLOCK_SKEW_SECONDS = 60
SERVICE_TOKEN_SECONDS_MAX = 120  # services sign for 60
TOKEN_CACHE_SIZE = 4096
# Metadata that tell who calls, or for whom. Two values could be read in two ways.
IDENTITY = frozenset(
    {"authorization", "idempotency-key", "x-lockstep-service", "x-lockstep-client-address"}
)

_BEARER = re.compile(r"(?i:bearer) +([A-Za-z0-9._~+/=-]{1,4096})")


@dataclass(frozen=True, slots=True)
class Session:
    """A live session.

    Attributes:
        role: The role that its user has now.
        user_id: Its user; None when an older checker does not tell.
        lacks_mfa: Whether the user needs a second factor to act as an administrator, and
            has proven none.
    """

    role: str
    user_id: UUID | None = None
    lacks_mfa: bool = False


class SessionChecker(Protocol):
    """Looks sessions up."""

    async def check(self, session_id: UUID, *, fresh: bool) -> Session | None:
        """Return the session, or None when it has ended.

        Args:
            session_id: The claim `sid` of a token.
            fresh: Whether a cached answer is too old.

        Raises:
            Unavailable: The session cannot be looked up now.
        """


class VerificationKeys(Protocol):
    """Finds the public keys of access tokens."""

    async def find(self, key_id: str) -> EllipticCurvePublicKey | None:
        """Return a key, or None when there is no such key.

        Raises:
            Unavailable: The keys cannot be fetched now.
        """


class Access:
    """Admits a call, or refuses it, by the access rule of its method.

    Args:
        service: The name of the called service, which is the audience of service tokens.
        keys: The public keys of access tokens.
        sessions: Tells which sessions are live.
        trusted: The public key of each service.
        proxies: The services that pass on calls of clients. Only they may name a client's IP.
        api_keys: Tells which API keys are good; None: the service takes none.
        checks_peers: Whether a service's certificate must have the name of its token, so that
            a token is of no use to anybody else.
    """

    def __init__(
        self,
        *,
        service: str,
        keys: VerificationKeys,
        sessions: SessionChecker,
        trusted: Mapping[str, EllipticCurvePublicKey],
        proxies: Collection[str],
        api_keys: ApiKeyChecker | None = None,
        checks_peers: bool = False,
    ) -> None:
        self._tokens = AccessTokenVerifier(keys)
        self._sessions = sessions
        self._api_keys = api_keys
        self._services = ServiceTokens(service, trusted)
        self._proxies = proxies
        self._checks_peers = checks_peers

    def layer(self, method: Method, handler: Handler) -> Handler:
        """Check the method's access rule before its handler runs."""

        async def handle(call: Call) -> bytes:
            if ambiguous := call.repeated & IDENTITY:
                raise InvalidField(*(Violation(name, "is given twice") for name in ambiguous))
            await self._admit(call, fresh=method.fresh_session)
            call.admit = partial(self._admit, call, fresh=True)
            return await handler(call)

        return handle

    async def _admit(self, call: Call, *, fresh: bool) -> None:
        caller = self._service(call)
        call.client_ip = self._client_ip(call, caller)
        call.principal = await self._principal(call, caller, fresh=fresh)

    def is_proven(self, call: Call) -> bool:
        """Return whether a service makes the call, and not somebody who says so."""
        try:
            return self._service(call) is not None
        except InvalidToken:
            return False

    def _service(self, call: Call) -> ServicePrincipal | None:
        token = call.metadata.get("x-lockstep-service")
        if not token:
            return None
        caller = self._services.verify(token)
        if self._checks_peers and caller.name not in names_of(call.certificate()):
            raise InvalidToken("The service token is not that of the certificate's owner.")
        return caller

    def _client_ip(self, call: Call, caller: ServicePrincipal | None) -> str | None:
        """Return the client's IP: from an authenticated proxy, else from the transport."""
        if caller is not None and caller.name in self._proxies:
            return call.metadata.get("x-lockstep-client-address")
        return call.peer

    async def _principal(
        self, call: Call, caller: ServicePrincipal | None, *, fresh: bool
    ) -> Principal:
        method = call.method
        if caller is not None and caller.name in method.callers:
            return caller
        match method.access:
            case options_pb.ACCESS_PUBLIC:
                return None
            case options_pb.ACCESS_USER:
                return await self._user(call, fresh=fresh)
            case options_pb.ACCESS_ADMIN:
                user = await self._user(call, fresh=fresh)
                if not user.is_admin:
                    call.principal = user  # the audit log names who was refused
                    raise forbidden(user)
                return user
            case _:
                raise Forbidden

    async def _user(self, call: Call, *, fresh: bool) -> UserPrincipal:
        token = bearer_token(call.metadata.get("authorization"))
        if self._api_keys is not None and is_api_key(token):
            return await self._owner(call, token, self._api_keys, fresh=fresh)
        claims = await self._tokens.verify(token)
        session = await self._sessions.check(claims.session_id, fresh=fresh)
        if session is None:
            raise SessionEnded
        if session.user_id not in (None, claims.user_id):
            raise InvalidToken
        return UserPrincipal(
            id=claims.user_id,
            session_id=claims.session_id,
            role=session.role,
            lacks_mfa=session.lacks_mfa,
        )

    async def _owner(
        self, call: Call, token: str, api_keys: ApiKeyChecker, *, fresh: bool
    ) -> UserPrincipal:
        """Return the owner of an API key, as whom its caller acts within its scopes."""
        if read_api_key(token) is None:
            raise InvalidToken("The API key is incomplete or misspelled. Copy it again.")
        key = await api_keys.check(token, fresh=fresh, client_ip=call.client_ip)
        if key is None:
            raise InvalidToken("The API key has ended. Make another one.")
        if call.method.is_for_persons:
            raise Forbidden("An API key cannot call this method. Log in instead.")
        if not key.admits(call.method):
            raise Forbidden("The scopes of the API key leave this method out.")
        return UserPrincipal(
            id=key.user_id,
            session_id=key.id,
            role=key.role,
            lacks_mfa=key.lacks_mfa,
            api_key_id=key.id,
        )


def bearer_token(header: str | None) -> str:
    """Return the token in the value of an authorization header.

    Raises:
        InvalidToken: It is missing or malformed.
    """
    if not header:  # an empty one is absent
        raise InvalidToken
    match = _BEARER.fullmatch(header)
    if match is None:
        raise InvalidToken("The authorization header must be `Bearer <token>`.")
    return match[1]


def require_own(user_id: UUID, caller: Caller) -> None:
    """Refuse a user who is neither the one with this id nor an administrator.

    Raises:
        Forbidden: The id is another user's.
        MfaRequired: It is, and the caller is an administrator without second factor.
    """
    if user_id != caller.own_id and not caller.acts_for_all:
        raise forbidden(caller)


def forbidden(caller: Caller, text: str | None = None) -> Forbidden | MfaRequired:
    """Return the refusal of what the caller may not do.

    Args:
        caller: The user, who does not act as an administrator.
        text: What the user may not do; by default the text of the error.
    """
    if isinstance(caller, UserPrincipal) and caller.lacks_mfa:
        return MfaRequired()
    return Forbidden(text) if text else Forbidden()


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of a verified access token."""

    key_id: str
    user_id: UUID
    session_id: UUID
    expires_at: float


class AccessTokenVerifier:
    """Verifies access tokens, and remembers each until it expires or its key is retired."""

    def __init__(self, keys: VerificationKeys) -> None:
        self._keys = keys
        self._verified: dict[str, Claims] = {}

    async def verify(self, token: str) -> Claims:
        """Verify an access token.

        Raises:
            InvalidToken: The token is malformed, expired, not yet valid, or not signed by one
                of the keys.
            Unavailable: The keys cannot be fetched now.
        """
        claims = self._verified.get(token)
        if claims is None:
            claims = await self._verify(token)
            self._remember(token, claims)
        elif await self._keys.find(claims.key_id) is None:  # the key was retired meanwhile
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
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InvalidToken from error

    def _remember(self, token: str, claims: Claims) -> None:
        if len(self._verified) >= TOKEN_CACHE_SIZE:
            del self._verified[next(iter(self._verified))]
        self._verified[token] = claims


@dataclass(frozen=True, slots=True)
class _VerifiedService:
    principal: ServicePrincipal
    key: EllipticCurvePublicKey
    expires_at: float


class ServiceTokens:
    """Verifies the tokens that prove which service calls.

    Args:
        audience: The called service; a token for another one is refused.
        trusted: The public key of each service. It is asked each time, so that a key that is
            taken away or replaced counts at once.
    """

    def __init__(self, audience: str, trusted: Mapping[str, EllipticCurvePublicKey]) -> None:
        self._audience = audience
        self._trusted = trusted
        self._verified: dict[str, _VerifiedService] = {}

    def verify(self, token: str) -> ServicePrincipal:
        """Return the service that signed the token.

        Raises:
            InvalidToken: The token is malformed, expired, or not a trusted service's.
        """
        known = self._verified.get(token)
        if known is None or known.expires_at <= time.time() or not self._trusts(known):
            known = self._verify(token)
            if len(self._verified) >= TOKEN_CACHE_SIZE:
                self._verified.clear()
            self._verified[token] = known
        return known.principal

    def _trusts(self, known: _VerifiedService) -> bool:
        """Return whether the service still has the key with which the token was verified."""
        return self._trusted.get(known.principal.name) is known.key

    def _verify(self, token: str) -> _VerifiedService:
        try:
            name = jwt.get_unverified_header(token).get("kid")
        except jwt.PyJWTError as error:
            raise InvalidToken("The service token is malformed.") from error
        key = self._trusted.get(name) if isinstance(name, str) else None
        if not isinstance(name, str) or key is None:
            raise InvalidToken("The service token was not signed by a trusted service.")
        claims = _decoded(token, key, audience=self._audience, issuer=name)
        if claims["exp"] - claims["iat"] > SERVICE_TOKEN_SECONDS_MAX:
            raise InvalidToken("The service token is good for too long.")
        expires_at = float(claims["exp"]) + CLOCK_SKEW_SECONDS
        return _VerifiedService(ServicePrincipal(name=name), key, expires_at)


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
    except (jwt.PyJWTError, OverflowError, ValueError, TypeError) as error:
        raise InvalidToken from error  # a claim may be no number that a clock can have
