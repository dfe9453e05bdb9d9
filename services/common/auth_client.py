"""The client of Auth: other services ask it for its public keys and about sessions."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

import grpc
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from jwt.algorithms import ECAlgorithm
from lockstep.auth.v1 import api_key_service_pb2 as api_key_pb
from lockstep.auth.v1 import api_key_service_pb2_grpc as api_key_grpc
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep.auth.v1 import auth_service_pb2_grpc as auth_grpc
from lockstep_clients.errors import LockstepError

from services.common.errors import AuthUnavailable
from services.kernel.rpc import tracing
from services.kernel.rpc.access import Session, SessionChecker, VerificationKeys
from services.kernel.rpc.api_keys import ApiKey, ApiKeyChecker

K = TypeVar("K")
T = TypeVar("T")

SESSION_KEPT_SECONDS = 60.0
"""API keys are kept as long."""
SESSION_CACHE_SIZE = 10_000
API_KEY_CACHE_SIZE = 1_000
KEYS_ASKED_EVERY_SECONDS = 5.0
KEYS_KEPT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Authentication:
    """The questions that a service asks about its users.

    Attributes:
        keys: Finds the public keys of access tokens.
        sessions: Looks sessions up.
        api_keys: Looks API keys up.
    """

    keys: VerificationKeys
    sessions: SessionChecker
    api_keys: ApiKeyChecker


def remote_authentication(channel: grpc.aio.Channel) -> Authentication:
    """Return the authentication of a service that asks Auth over this channel."""
    auth = auth_grpc.AuthServiceStub(channel)
    api_keys = RemoteApiKeys(api_key_grpc.ApiKeyServiceStub(channel))
    return Authentication(RemoteKeys(auth), RemoteSessions(auth), api_keys)


class KeptAnswers(Generic[K, T]):
    """Asks questions, and keeps each answer for 60 seconds.

    Args:
        size: The most answers that are kept.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: dict[K, tuple[T, float]] = {}  # with the time of the question
        self._asking: dict[K, asyncio.Task[T]] = {}

    async def find(self, key: K, ask: Callable[[], Coroutine[Any, Any, T]], *, fresh: bool) -> T:
        """Return the answer to the question about `key`.

        Args:
            key: The subject of the question.
            ask: Asks it.
            fresh: Whether a kept answer is too old.
        """
        if fresh:
            # Do not join a call in flight: it may have begun before the change that counts.
            return await self._ask(key, ask)
        kept = self._kept.get(key)
        if kept is not None and time.monotonic() - kept[1] < SESSION_KEPT_SECONDS:
            return kept[0]
        return await self._ask_once(key, ask)

    async def _ask_once(self, key: K, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = _shared(self._ask(key, ask))
            task.add_done_callback(lambda _: self._asking.pop(key, None))
        return await asyncio.shield(task)

    async def _ask(self, key: K, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        asked_at = time.monotonic()
        try:
            answer = await ask()
        except LockstepError as error:
            raise AuthUnavailable from error
        self._keep(key, answer, asked_at)
        return answer

    def _keep(self, key: K, answer: T, asked_at: float) -> None:
        kept = self._kept.get(key)
        if kept is not None and kept[1] > asked_at:
            return
        if len(self._kept) >= self._size:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = (answer, asked_at)


class RemoteSessions:
    """Asks Auth about sessions, and caches the answers for 60 seconds.

    Within that time a logout, a new password, a change of role or a disabled account takes
    effect everywhere.
    """

    def __init__(self, auth: auth_grpc.AuthServiceAsyncStub) -> None:
        self._auth = auth
        self._answers = KeptAnswers[UUID, Session | None](SESSION_CACHE_SIZE)

    async def check(self, session_id: UUID, *, fresh: bool) -> Session | None:
        """See `access.SessionChecker`."""

        async def ask() -> Session | None:
            request = auth_pb.CheckSessionRequest(sid=str(session_id))
            answer = await self._auth.CheckSession(request)
            return _session(answer) if answer.active else None

        return await self._answers.find(session_id, ask, fresh=fresh)


class RemoteApiKeys:
    """Asks Auth about API keys, and caches the answers for 60 seconds, as for sessions."""

    def __init__(self, auth: api_key_grpc.ApiKeyServiceAsyncStub) -> None:
        self._auth = auth
        self._answers = KeptAnswers[str, ApiKey | None](API_KEY_CACHE_SIZE)

    async def check(self, key: str, *, fresh: bool, client_ip: str | None) -> ApiKey | None:
        """See `api_keys.ApiKeyChecker`."""

        async def ask() -> ApiKey | None:
            request = api_key_pb.CheckApiKeyRequest(key=key, client_ip=client_ip or "")
            answer = await self._auth.CheckApiKey(request)
            return _api_key(answer) if answer.active else None

        return await self._answers.find(key, ask, fresh=fresh)


class RemoteKeys:
    """Fetches Auth's public keys when a token first needs one, and again every minute.

    It does not fetch them at start, so that no service waits for another to start. One
    request is in flight at a time, and an unknown key id causes one every 5 seconds at most.
    """

    def __init__(self, auth: auth_grpc.AuthServiceAsyncStub) -> None:
        self._auth = auth
        self._keys: dict[str, EllipticCurvePublicKey] = {}
        self._asked_at = -math.inf
        self._asking: asyncio.Task[None] | None = None

    async def find(self, key_id: str) -> EllipticCurvePublicKey | None:
        """See `access.VerificationKeys`."""
        if self._is_worth_asking(key_id):
            if self._asking is None or self._asking.done():
                self._asking = _shared(self._ask())
            await asyncio.shield(self._asking)
        return self._keys.get(key_id)

    def _is_worth_asking(self, key_id: str) -> bool:
        age = time.monotonic() - self._asked_at
        # Known keys are fetched again, because one of them may have been retired.
        return age >= (KEYS_KEPT_SECONDS if key_id in self._keys else KEYS_ASKED_EVERY_SECONDS)

    async def _ask(self) -> None:
        try:
            answer = await self._auth.GetJwks(auth_pb.GetJwksRequest())
        except LockstepError as error:
            raise AuthUnavailable from error
        self._asked_at = time.monotonic()
        self._keys = {key.kid: _public_key(key) for key in answer.keys}


def _session(answer: auth_pb.CheckSessionResponse) -> Session:
    # Compare with care: an older Auth leaves the id out.
    return Session(
        role=answer.role,
        user_id=UUID(answer.user_id) if answer.user_id else None,
        lacks_mfa=answer.mfa_missing,
    )


def _api_key(answer: api_key_pb.CheckApiKeyResponse) -> ApiKey:
    return ApiKey(
        id=UUID(answer.api_key_id),
        user_id=UUID(answer.user_id),
        role=answer.role,
        scopes=frozenset(answer.scopes),
        lacks_mfa=answer.mfa_missing,
    )


def _shared(question: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Ask once for all waiting calls, with the ids of the first and without its deadline."""
    return asyncio.get_running_loop().create_task(question, context=tracing.detached())


def _public_key(key: auth_pb.Jwk) -> EllipticCurvePublicKey:
    public = ECAlgorithm.from_jwk({"kty": key.kty, "crv": key.crv, "x": key.x, "y": key.y})
    assert isinstance(public, EllipticCurvePublicKey)
    return public
