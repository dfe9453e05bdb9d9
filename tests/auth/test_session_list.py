"""Sessions as their owners see them: listed, ended one by one, and made fresh again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest
from lockstep.auth.v1 import api_key_service_pb2 as api_key_pb
from lockstep.auth.v1 import api_key_service_pb2_grpc as api_key_grpc
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep_clients import InvalidArgument, LockstepError, NotFound, PermissionDenied, connect

from tests.auth.world import PASSWORD, Member, World, calling_as

EMAIL = "ada@example.com"
OTHER = "bob@example.com"
ME = auth_pb.GetUserRequest(user_id="me")
ALL = auth_pb.ListSessionsRequest(user_id="me")


async def login(world: World, name: str = "", email: str = EMAIL) -> Member:
    request = auth_pb.LoginRequest(email=email, password=PASSWORD, client_name=name)
    return world.of(await world.auth.Login(request))


async def listed(world: World, member: Member, user_id: str = "me") -> list[auth_pb.Session]:
    request = auth_pb.ListSessionsRequest(user_id=user_id)
    return list((await world.auth.ListSessions(request, metadata=member.proof)).sessions)


async def reason_of(call: Awaitable[Any]) -> str | None:
    try:
        await call
    except LockstepError as error:
        return error.reason
    return None


async def lives(world: World, member: Member) -> bool:
    reason = await reason_of(world.auth.GetUser(ME, metadata=member.proof))
    assert reason in (None, "SESSION_ENDED")
    return reason is None


async def grow_old(world: World, minutes: int = 6) -> None:
    """Let minutes pass since all logins."""
    await world.sql(f"UPDATE sessions SET auth_time = auth_time - interval '{minutes} minutes'")


async def test_an_owner_sees_all_sessions_and_which_one_asks(world: World) -> None:
    await world.register(EMAIL)
    phone = await login(world, "Phone of Ada")
    laptop = await login(world)
    await world.member(OTHER)
    sessions = await listed(world, laptop)
    assert [(each.client_name, each.current) for each in sessions] == [
        ("", True),
        ("Phone of Ada", False),
    ]
    assert {each.address for each in sessions} == {"127.0.0.1"}
    for each in sessions:
        assert each.create_time == each.auth_time or each.auth_time.seconds > 0
        assert each.create_time.seconds <= each.last_seen_time.seconds < each.expire_time.seconds
    assert [each.current for each in await listed(world, phone)] == [False, True]


async def test_names_of_clients_have_a_limit(world: World) -> None:
    await world.register(EMAIL)
    assert (await listed(world, await login(world, "n" * 100)))[0].client_name == "n" * 100
    for name in ("n" * 101, "two\nlines"):
        with pytest.raises(InvalidArgument) as caught:
            await login(world, name)
        assert [each.field for each in caught.value.violations] == ["client_name"]


async def test_a_session_that_has_expired_is_not_listed(world: World) -> None:
    await world.register(EMAIL)
    await login(world)
    member = await login(world)
    await world.sql(
        "UPDATE sessions SET expire_time = clock_timestamp() "
        "WHERE id = (SELECT id FROM sessions ORDER BY create_time LIMIT 1)"
    )
    assert [each.current for each in await listed(world, member)] == [True]


async def test_an_owner_ends_one_session(world: World) -> None:
    await world.register(EMAIL)
    first, second, third = [await login(world) for _ in range(3)]
    [id_of_first] = [each.id for each in await listed(world, first) if each.current]
    request = auth_pb.EndSessionRequest(user_id="me", session_id=id_of_first)
    await world.auth.EndSession(request, metadata=second.proof)
    assert [await lives(world, each) for each in (first, second, third)] == [False, True, True]
    with pytest.raises(NotFound) as caught:
        await world.auth.EndSession(request, metadata=second.proof)
    assert caught.value.reason == "SESSION_NOT_FOUND"
    [row] = await world.sql(
        "SELECT actor, detail FROM audit_log WHERE event = 'authn_token_revoked'"
    )
    assert (row.actor, row.detail) == (second.id, {"session": id_of_first})


async def test_the_session_of_a_call_can_be_ended_at_any_time(world: World) -> None:
    member = await world.member(EMAIL)
    await grow_old(world)
    [session] = await listed(world, member)
    request = auth_pb.EndSessionRequest(user_id="me", session_id=session.id)
    await world.auth.EndSession(request, metadata=member.proof)
    assert not await lives(world, member)


async def test_an_owner_ends_all_other_sessions(world: World) -> None:
    await world.register(EMAIL)
    first, second, third = [await login(world) for _ in range(3)]
    bob = await world.member(OTHER)
    await world.auth.EndSessions(auth_pb.EndSessionsRequest(user_id="me"), metadata=second.proof)
    assert [await lives(world, each) for each in (first, second, third, bob)] == [
        False,
        True,
        False,
        True,
    ]


async def test_nobody_touches_the_sessions_of_others(world: World) -> None:
    ada, bob = await world.member(EMAIL), await world.member(OTHER)
    [of_bob] = await listed(world, bob)
    auth, proof = world.auth, ada.proof
    for call in (
        auth.ListSessions(auth_pb.ListSessionsRequest(user_id=bob.id), metadata=proof),
        auth.EndSessions(auth_pb.EndSessionsRequest(user_id=bob.id), metadata=proof),
        auth.EndSession(
            auth_pb.EndSessionRequest(user_id=bob.id, session_id=of_bob.id), metadata=proof
        ),
    ):
        assert await reason_of(call) == "FORBIDDEN"
    smuggled = auth_pb.EndSessionRequest(user_id="me", session_id=of_bob.id)
    assert await reason_of(auth.EndSession(smuggled, metadata=proof)) == "SESSION_NOT_FOUND"
    assert await lives(world, bob)


async def test_administrators_see_and_end_the_sessions_of_everybody(world: World) -> None:
    admin = await world.admin("root@example.com")
    await world.register(EMAIL)
    first, second = await login(world, "one"), await login(world, "two")
    sessions = await listed(world, admin, first.id)
    assert [(each.client_name, each.current) for each in sessions] == [
        ("two", False),
        ("one", False),
    ]
    one = auth_pb.EndSessionRequest(user_id=first.id, session_id=sessions[1].id)
    await world.auth.EndSession(one, metadata=admin.proof)
    assert [await lives(world, each) for each in (first, second)] == [False, True]
    await world.auth.EndSessions(auth_pb.EndSessionsRequest(user_id=first.id), metadata=admin.proof)
    assert [await lives(world, each) for each in (second, admin)] == [False, True]
    nobody = str(uuid4())
    with pytest.raises(NotFound) as caught:
        await listed(world, admin, nobody)
    assert caught.value.reason == "USER_NOT_FOUND"
    with pytest.raises(NotFound):
        await world.auth.EndSessions(
            auth_pb.EndSessionsRequest(user_id=nobody), metadata=admin.proof
        )


async def test_the_fifty_first_session_ends_the_one_seen_longest_ago(world: World) -> None:
    await world.register(EMAIL)
    members = [await login(world, f"client {number}") for number in range(3)]
    await world.sql(
        "INSERT INTO sessions (id, user_id, generation, refresh_hash, expire_time) "
        "SELECT gen_random_uuid(), user_id, 0, '', expire_time FROM sessions, "
        "generate_series(1, 47) WHERE client_name = 'client 0'"
    )
    await world.sql(
        "UPDATE sessions SET last_seen_time = last_seen_time - interval '10 minutes' "
        "WHERE client_name = 'client 1'"
    )
    assert len(await world.sql("SELECT 1 FROM sessions")) == 50
    members.append(await login(world))
    assert [await lives(world, each) for each in members] == [True, False, True, True]
    more = await asyncio.gather(*(login(world) for _ in range(6)))
    assert len(await world.sql("SELECT 1 FROM sessions")) == 50
    assert len(await listed(world, more[0])) == 50
    rows = await world.sql("SELECT detail FROM audit_log WHERE event = 'authn_token_revoked'")
    assert [row.detail for row in rows] == [{"by": "too many sessions", "sessions": 1}] * 7


async def test_a_session_is_seen_when_it_is_used_but_not_written_each_time(world: World) -> None:
    member = await world.member(EMAIL)
    [session] = await listed(world, member)
    sid = auth_pb.CheckSessionRequest(sid=session.id)

    async def seen_lately() -> bool:
        [row] = await world.sql(
            "SELECT last_seen_time > clock_timestamp() - interval '1 minute' AS lately "
            "FROM sessions"
        )
        return bool(row.lately)

    async with calling_as(world, "commerce") as commerce:
        uses: tuple[Callable[[], Awaitable[Any]], ...] = (
            lambda: commerce.CheckSession(sid),
            lambda: world.auth.GetUser(ME, metadata=member.proof),
        )
        for use in uses:
            for minutes, is_seen in ((14, False), (16, True)):
                await world.sql(
                    "UPDATE sessions SET last_seen_time = "
                    f"clock_timestamp() - interval '{minutes} minutes'"
                )
                await use()
                assert await seen_lately() is is_seen
    await world.sql(
        "UPDATE sessions SET last_seen_time = clock_timestamp() - interval '14 minutes'"
    )
    await world.auth.RefreshToken(auth_pb.RefreshTokenRequest(refresh_token=member.refresh_token))
    assert await seen_lately()


async def test_a_session_whose_row_is_locked_is_checked_at_once(world: World) -> None:
    member = await world.member(EMAIL)
    await world.sql("UPDATE sessions SET last_seen_time = last_seen_time - interval '1 hour'")
    lock = "BEGIN; SELECT 1 FROM sessions FOR UPDATE; SELECT pg_sleep(30)"
    locking = asyncio.create_task(world.sql(lock))
    try:
        async with asyncio.timeout(10):
            while not await world.sql(
                "SELECT 1 FROM pg_stat_activity WHERE state = 'active' "
                "AND wait_event = 'PgSleep' AND query LIKE %s",
                "%FROM sessions FOR UPDATE%",
            ):
                pass
            assert await lives(world, member)
    finally:
        await world.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        )
        await asyncio.gather(locking, return_exceptions=True)


async def test_a_refresh_tells_where_the_client_is_now(world: World) -> None:
    member = await world.member(EMAIL)
    async with calling_as(world, "gateway") as gateway:
        await gateway.RefreshToken(
            auth_pb.RefreshTokenRequest(refresh_token=member.refresh_token),
            metadata=(("x-lockstep-client-address", "192.0.2.9"),),
        )
    assert [each.address for each in await listed(world, member)] == ["192.0.2.9"]


async def create_api_key(
    world: World, member: Member, scope: str = "lockstep.auth.v1.AuthService.GetUser"
) -> str:
    request = api_key_pb.CreateApiKeyRequest(user_id="me", name="import", scopes=[scope])
    async with connect(f"127.0.0.1:{world.running.port}") as channel:
        stub = api_key_grpc.ApiKeyServiceStub(channel)
        return (await stub.CreateApiKey(request, metadata=member.proof)).key


# What needs a password that was proven lately, by the name of the RPC.
FRESH: dict[str, Callable[[World, Member], Awaitable[Any]]] = {
    "EndSessions": lambda world, member: world.auth.EndSessions(
        auth_pb.EndSessionsRequest(user_id="me"), metadata=member.proof
    ),
    "EndSession": lambda world, member: world.auth.EndSession(
        auth_pb.EndSessionRequest(user_id="me", session_id=str(uuid4())), metadata=member.proof
    ),
    "CreateApiKey": create_api_key,
    "DeleteUser": lambda world, member: world.auth.DeleteUser(
        auth_pb.DeleteUserRequest(user_id="me"), metadata=member.proof
    ),
}


async def reauthenticate(world: World, member: Member, password: str = PASSWORD) -> Member:
    request = auth_pb.ReauthenticateRequest(password=password)
    answer = await world.auth.Reauthenticate(request, metadata=member.proof)
    return Member(answer.user_id, answer.email, answer.token, answer.refresh_token)


@pytest.mark.parametrize("rpc", FRESH)
async def test_some_requests_need_a_password_of_the_last_five_minutes(
    world: World, rpc: str
) -> None:
    await world.register(EMAIL)
    member = await login(world, "Laptop")
    await grow_old(world, 4)
    expected = "SESSION_NOT_FOUND" if rpc == "EndSession" else None
    if rpc != "DeleteUser":
        assert await reason_of(FRESH[rpc](world, member)) == expected
    await grow_old(world, 2)
    renewed = await world.auth.RefreshToken(
        auth_pb.RefreshTokenRequest(refresh_token=member.refresh_token)
    )
    member = Member(renewed.user_id, renewed.email, renewed.token, renewed.refresh_token)
    with pytest.raises(PermissionDenied) as caught:  # 401 would log clients out
        await FRESH[rpc](world, member)
    assert caught.value.reason == "REAUTHENTICATION_REQUIRED"
    assert await lives(world, member)

    again = await reauthenticate(world, member)

    assert not await lives(world, member)
    assert [each.client_name for each in await listed(world, again)] == ["Laptop"]
    assert await reason_of(FRESH[rpc](world, again)) == expected


async def test_administrators_need_a_fresh_password_for_the_accounts_of_others(
    world: World,
) -> None:
    admin, ada = await world.admin("root@example.com"), await world.member(EMAIL)
    await grow_old(world)
    auth, proof = world.auth, admin.proof
    for call in (
        auth.DeleteUser(auth_pb.DeleteUserRequest(user_id=ada.id), metadata=proof),
        auth.EndSessions(auth_pb.EndSessionsRequest(user_id=ada.id), metadata=proof),
        auth.EndSession(
            auth_pb.EndSessionRequest(user_id=ada.id, session_id=str(uuid4())), metadata=proof
        ),
    ):
        assert await reason_of(call) == "REAUTHENTICATION_REQUIRED"
    assert await lives(world, ada)


async def test_a_wrong_password_makes_nothing_fresh_and_the_tenth_ends_the_session(
    world: World,
) -> None:
    member = await world.member(EMAIL)
    await grow_old(world)
    for _ in range(9):
        assert await reason_of(reauthenticate(world, member, "x")) == "INVALID_CREDENTIALS"
    assert await reason_of(FRESH["EndSessions"](world, member)) == "REAUTHENTICATION_REQUIRED"
    assert await reason_of(reauthenticate(world, member, "x")) == "SESSION_ENDED"


async def test_of_two_at_once_one_gets_the_new_session(world: World) -> None:
    member = await world.member(EMAIL)
    tries = [reason_of(reauthenticate(world, member)) for _ in range(2)]
    assert sorted(map(str, await asyncio.gather(*tries))) == ["None", "SESSION_ENDED"]
    assert len(await world.sql("SELECT 1 FROM sessions")) == 1


async def test_sessions_of_before_live_on_and_their_logins_are_dated(world: World) -> None:
    """What a process of before the migration writes is a session that has just logged in."""
    member = await world.member(EMAIL)
    await world.sql(
        "INSERT INTO sessions (id, user_id, generation, refresh_hash, expire_time) "
        "SELECT gen_random_uuid(), user_id, 0, '', expire_time FROM sessions"
    )
    sessions = await listed(world, member)
    assert len(sessions) == 2
    assert {(each.client_name, each.address != "") for each in sessions} == {
        ("", True),
        ("", False),
    }
