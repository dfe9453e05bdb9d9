from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from lockstep.auth.v1 import api_key_service_pb2 as api_key_pb
from lockstep.auth.v1 import api_key_service_pb2_grpc as api_key_grpc
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep.auth.v1 import auth_service_pb2_grpc as auth_grpc
from lockstep_clients import connect, deadlines

from services.common import auth_client as sessions
from services.common.auth_client import RemoteApiKeys, RemoteKeys, RemoteSessions
from services.common.errors import AuthUnavailable
from services.kernel.ids import new_id
from services.kernel.rpc.access import Session
from services.kernel.rpc.api_keys import ApiKey

ID = new_id()


@dataclass
class Auth(auth_grpc.AuthServiceServicer, api_key_grpc.ApiKeyServiceServicer):
    """An Auth that knows sessions and keys, and counts how often it is asked."""

    roles: dict[str, str] = field(default_factory=dict)
    keys: dict[str, ec.EllipticCurvePrivateKey] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    came: asyncio.Event = field(default_factory=asyncio.Event)
    broken: bool = False

    def __post_init__(self) -> None:
        self.gate.set()

    async def CheckSession(
        self, request: auth_pb.CheckSessionRequest, context: Any
    ) -> auth_pb.CheckSessionResponse:
        role = self.roles.get(request.sid)
        await self._asked(request.sid, context)
        return auth_pb.CheckSessionResponse(active=role is not None, role=role or "")

    async def CheckApiKey(
        self, request: api_key_pb.CheckApiKeyRequest, context: Any
    ) -> api_key_pb.CheckApiKeyResponse:
        await self._asked(f"{request.key} from {request.client_ip}", context)
        if (role := self.roles.get(request.key)) is None:
            return api_key_pb.CheckApiKeyResponse()
        return api_key_pb.CheckApiKeyResponse(
            active=True, api_key_id=str(ID), user_id=str(ID), role=role, scopes=["a.B"]
        )

    async def GetJwks(
        self, request: auth_pb.GetJwksRequest, context: Any
    ) -> auth_pb.GetJwksResponse:
        await self._asked("keys", context)
        return auth_pb.GetJwksResponse(keys=[_jwk(kid, key) for kid, key in self.keys.items()])

    async def _asked(self, what: str, context: Any) -> None:
        self.asked.append(what)
        self.came.set()
        await self.gate.wait()
        if self.broken:
            await context.abort(grpc.StatusCode.INTERNAL, "broken")


def _jwk(kid: str, key: ec.EllipticCurvePrivateKey) -> auth_pb.Jwk:
    point = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return auth_pb.Jwk(
        kty="EC", use="sig", alg="ES256", kid=kid, crv=point["crv"], x=point["x"], y=point["y"]
    )


@dataclass
class World:
    auth: Auth
    sessions: RemoteSessions
    keys: RemoteKeys
    api_keys: RemoteApiKeys
    server: grpc.aio.Server

    def begin(self, role: str = "customer") -> UUID:
        session_id = new_id()
        self.auth.roles[str(session_id)] = role
        return session_id


@pytest.fixture
async def w() -> AsyncIterator[World]:
    auth = Auth()  # type: ignore[abstract]  # the rest is UNIMPLEMENTED
    server = grpc.aio.server()
    auth_grpc.add_AuthServiceServicer_to_server(auth, server)
    api_key_grpc.add_ApiKeyServiceServicer_to_server(auth, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with connect(f"127.0.0.1:{port}") as channel:
        stub = auth_grpc.AuthServiceStub(channel)
        api_keys = RemoteApiKeys(api_key_grpc.ApiKeyServiceStub(channel))
        yield World(auth, RemoteSessions(stub), RemoteKeys(stub), api_keys, server)
    await server.stop(0)


def advance_clock(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Move the clock of what is kept; the event loop's stays."""

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return time.monotonic() + seconds

    monkeypatch.setattr(sessions, "time", Clock)


async def check(w: World, session_id: UUID, *, fresh: bool = False) -> Session | None:
    return await w.sessions.check(session_id, fresh=fresh)


async def test_a_session_has_the_role_that_auth_says(w: World) -> None:
    assert await check(w, w.begin("admin")) == Session(role="admin")


async def test_no_session_is_none(w: World) -> None:
    assert await check(w, new_id()) is None


async def test_an_answer_is_kept_for_sixty_seconds(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = w.begin()
    await check(w, session_id)
    w.auth.roles.clear()
    advance_clock(monkeypatch, 59)
    assert await check(w, session_id) is not None
    advance_clock(monkeypatch, 61)
    assert await check(w, session_id) is None
    assert len(w.auth.asked) == 2


async def test_a_no_is_kept_too(w: World) -> None:
    session_id = new_id()
    await check(w, session_id)
    await check(w, session_id)
    assert len(w.auth.asked) == 1


async def test_where_it_matters_auth_is_asked_anew(w: World) -> None:
    session_id = w.begin()
    await check(w, session_id)
    w.auth.roles.clear()
    assert await check(w, session_id, fresh=True) is None
    assert await check(w, session_id) is None  # and the newer answer is the one that is kept
    assert len(w.auth.asked) == 2


async def test_what_is_kept_is_bounded(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(w.sessions._answers, "_size", 2)
    for _ in range(3):
        await check(w, w.begin())
    assert len(w.sessions._answers._kept) == 2


async def test_many_at_once_ask_once(w: World) -> None:
    session_id = w.begin()
    answers = await asyncio.gather(*(check(w, session_id) for _ in range(20)))
    assert answers == [Session(role="customer")] * 20
    assert len(w.auth.asked) == 1


async def test_a_fresh_question_is_not_answered_by_one_asked_before_it(w: World) -> None:
    session_id = w.begin()
    w.auth.gate.clear()
    early = asyncio.create_task(check(w, session_id))
    await w.auth.came.wait()
    w.auth.roles.clear()
    late = asyncio.create_task(check(w, session_id, fresh=True))
    w.auth.gate.set()
    assert await early is not None
    assert await late is None


async def test_an_older_answer_does_not_replace_a_newer_one(w: World) -> None:
    session_id = w.begin()
    w.auth.gate.clear()
    early = asyncio.create_task(check(w, session_id))
    await w.auth.came.wait()
    w.auth.gate, old_gate = asyncio.Event(), w.auth.gate
    w.auth.gate.set()
    w.auth.roles.clear()
    assert await check(w, session_id, fresh=True) is None
    old_gate.set()
    await early
    assert await check(w, session_id) is None


async def test_a_caller_in_a_hurry_does_not_spoil_the_answer_for_others(w: World) -> None:
    session_id = w.begin()
    w.auth.gate.clear()

    async def hurried() -> Session | None:
        deadlines.current_deadline.set(time.monotonic() + 0.1)
        return await check(w, session_id)

    first = asyncio.create_task(hurried())
    await w.auth.came.wait()
    second = asyncio.create_task(check(w, session_id))
    done, _ = await asyncio.wait([second], timeout=0.3)  # longer than the first has
    assert not done
    w.auth.gate.set()
    assert await second == await first == Session(role="customer")


async def test_a_caller_that_leaves_stops_only_its_own_waiting(w: World) -> None:
    session_id = w.begin()
    w.auth.gate.clear()
    first = asyncio.create_task(check(w, session_id))
    await w.auth.came.wait()
    second = asyncio.create_task(check(w, session_id))
    first.cancel()
    await asyncio.wait([first])
    w.auth.gate.set()
    assert await second == Session(role="customer")
    assert len(w.auth.asked) == 1


async def test_a_failure_that_nobody_waits_for_is_no_noise(w: World) -> None:
    complaints: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    w.auth.gate.clear()
    w.auth.broken = True
    caller = asyncio.create_task(check(w, w.begin()))
    await w.auth.came.wait()
    [asking] = w.sessions._answers._asking.values()
    caller.cancel()
    w.auth.gate.set()
    await asyncio.wait([caller, asking])
    del asking
    await asyncio.sleep(0)
    assert complaints == []


@pytest.mark.parametrize("fresh", [False, True])
async def test_an_auth_that_cannot_be_asked_is_said_so(w: World, fresh: bool) -> None:
    await w.server.stop(0)
    with pytest.raises(AuthUnavailable):
        await check(w, w.begin(), fresh=fresh)


async def test_a_failure_is_not_kept(w: World) -> None:
    session_id = w.begin()
    w.auth.broken = True
    with pytest.raises(AuthUnavailable):
        await check(w, session_id)
    w.auth.broken = False
    assert await check(w, session_id) is not None


async def test_while_auth_is_away_what_is_kept_still_counts(w: World) -> None:
    session_id = w.begin()
    await check(w, session_id)
    await w.server.stop(0)
    assert await check(w, session_id) is not None


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


async def test_keys_are_asked_for_when_a_token_first_needs_one(w: World) -> None:
    key = w.auth.keys["k1"] = new_key()
    assert w.auth.asked == []
    assert await w.keys.find("k1") == key.public_key()
    assert await w.keys.find("k1") == key.public_key()
    assert w.auth.asked == ["keys"]


async def test_an_unknown_key_id_asks_once_in_five_seconds(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    w.auth.keys["k1"] = new_key()
    for number in range(20):
        assert await w.keys.find(f"made-up-{number}") is None
    assert w.auth.asked == ["keys"]
    w.auth.keys["k2"] = new_key()
    assert await w.keys.find("k2") is None
    advance_clock(monkeypatch, 6)
    assert await w.keys.find("k2") is not None
    assert w.auth.asked == ["keys", "keys"]


async def test_many_at_once_ask_for_keys_once(w: World) -> None:
    w.auth.keys["k1"] = new_key()
    found = await asyncio.gather(*(w.keys.find(kid) for kid in ["k1", "k1", "k2", "k3"] * 5))
    assert sum(key is not None for key in found) == 10
    assert w.auth.asked == ["keys"]


async def test_a_retired_key_is_forgotten_within_a_minute(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    w.auth.keys["k1"] = new_key()
    await w.keys.find("k1")
    w.auth.keys.clear()
    advance_clock(monkeypatch, 61)
    assert await w.keys.find("k1") is None


async def test_keys_that_cannot_be_had_are_said_so_and_asked_for_again(w: World) -> None:
    w.auth.keys["k1"] = new_key()
    w.auth.broken = True
    with pytest.raises(AuthUnavailable):
        await w.keys.find("k1")
    w.auth.broken = False
    assert await w.keys.find("k1") is not None


async def test_all_who_wait_for_keys_share_a_failure(w: World) -> None:
    w.auth.broken = True
    w.auth.gate.clear()
    waiting = [asyncio.create_task(w.keys.find("k1")) for _ in range(20)]
    await w.auth.came.wait()
    w.auth.gate.set()
    errors = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(error) for error in errors] == [AuthUnavailable] * 20
    assert w.auth.asked == ["keys"]


async def test_an_api_key_is_asked_about_once_a_minute(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    w.auth.roles["lk_1"] = "brand"
    good = ApiKey(ID, ID, "brand", frozenset({"a.B"}))
    for _ in range(2):
        assert await w.api_keys.check("lk_1", fresh=False, client_ip="203.0.113.7") == good
    assert w.auth.asked == ["lk_1 from 203.0.113.7"]
    del w.auth.roles["lk_1"]
    assert await w.api_keys.check("lk_1", fresh=True, client_ip=None) is None
    w.auth.roles["lk_1"] = "brand"
    assert await w.api_keys.check("lk_1", fresh=False, client_ip=None) is None
    advance_clock(monkeypatch, sessions.SESSION_KEPT_SECONDS)
    assert await w.api_keys.check("lk_1", fresh=False, client_ip=None) == good


async def test_without_auth_an_api_key_is_neither_good_nor_bad(w: World) -> None:
    w.auth.broken = True
    with pytest.raises(AuthUnavailable):
        await w.api_keys.check("lk_1", fresh=False, client_ip=None)
