"""The client of Auth: other services ask it for its public keys and about sessions."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

import grpc
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from jwt.algorithms import ECAlgorithm
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep.auth.v1 import auth_service_pb2_grpc as auth_grpc
from lockstep_clients.errors import LockstepError

from services.common.errors import AuthUnavailable
from services.kernel.rpc import tracing
from services.kernel.rpc.access import Session, SessionChecker, VerificationKeys

T = TypeVar("T")

SESSION_KEPT_SECONDS = 60.0
SESSION_CACHE_SIZE = 10_000
KEYS_ASKED_EVERY_SECONDS = 5.0
KEYS_KEPT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Authentication:
    """The two questions that a service asks about its users.

    Attributes:
        keys: Finds the public keys of access tokens.
        sessions: Looks sessions up.
    """

    keys: VerificationKeys
    sessions: SessionChecker


def remote_authentication(channel: grpc.aio.Channel) -> Authentication:
    """Return the authentication of a service that asks Auth over this channel."""
    auth = auth_grpc.AuthServiceStub(channel)
    return Authentication(RemoteKeys(auth), RemoteSessions(auth))


class RemoteSessions:
    """Asks Auth about sessions, and caches the answers for 60 seconds.

    Within that time a logout, a new password, a change of role or a disabled account takes
    effect everywhere.
    """

    def __init__(self, auth: auth_grpc.AuthServiceAsyncStub) -> None:
        self._auth = auth
        self._kept: dict[UUID, tuple[Session | None, float]] = {}  # with the time of the question
        self._asking: dict[UUID, asyncio.Task[Session | None]] = {}

    async def check(self, session_id: UUID, *, fresh: bool) -> Session | None:
        """See `access.SessionChecker`."""
        if fresh:
            # Do not join a call in flight: it may have begun before the change that counts.
            return await self._ask(session_id)
        kept = self._kept.get(session_id)
        if kept is not None and time.monotonic() - kept[1] < SESSION_KEPT_SECONDS:
            return kept[0]
        return await self._ask_once(session_id)

    async def _ask_once(self, session_id: UUID) -> Session | None:
        task = self._asking.get(session_id)
        if task is None:
            task = self._asking[session_id] = _shared(self._ask(session_id))
            task.add_done_callback(lambda _: self._asking.pop(session_id, None))
        return await asyncio.shield(task)

    async def _ask(self, session_id: UUID) -> Session | None:
        asked_at = time.monotonic()
        try:
            answer = await self._auth.CheckSession(auth_pb.CheckSessionRequest(sid=str(session_id)))
        except LockstepError as error:
            raise AuthUnavailable from error
        session = _session(answer) if answer.active else None
        self._keep(session_id, session, asked_at)
        return session

    def _keep(self, session_id: UUID, session: Session | None, asked_at: float) -> None:
        kept = self._kept.get(session_id)
        if kept is not None and kept[1] > asked_at:
            return
        if len(self._kept) >= SESSION_CACHE_SIZE:
            del self._kept[next(iter(self._kept))]
        self._kept[session_id] = (session, asked_at)


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
    return Session(role=answer.role, user_id=UUID(answer.user_id) if answer.user_id else None)


def _shared(question: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Ask once for all waiting calls, with the ids of the first and without its deadline."""
    return asyncio.get_running_loop().create_task(question, context=tracing.detached())


def _public_key(key: auth_pb.Jwk) -> EllipticCurvePublicKey:
    public = ECAlgorithm.from_jwk({"kty": key.kty, "crv": key.crv, "x": key.x, "y": key.y})
    assert isinstance(public, EllipticCurvePublicKey)
    return public
