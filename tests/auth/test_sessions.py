"""Sessions: renewed, reused, ended, and checked by other services."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep_clients import InvalidArgument, PermissionDenied, Unauthenticated

from services.auth.domain.tokens import Refresh, RefreshTokens
from services.common.keys import KeyRing
from services.kernel.secret import Secret
from tests.auth.world import Member, World, calling_as

EMAIL = "ada@example.com"
ME = auth_pb.GetUserRequest(user_id="me")


async def refresh(world: World, token: str) -> auth_pb.RefreshTokenResponse:
    return await world.auth.RefreshToken(auth_pb.RefreshTokenRequest(refresh_token=token))


async def grace_is_over(world: World) -> None:
    await world.sql("UPDATE sessions SET rotate_time = rotate_time - interval '11 s'")


async def assert_ended(world: World, member: Member) -> None:
    with pytest.raises(Unauthenticated) as caught:
        await world.auth.GetUser(ME, metadata=member.proof)
    assert caught.value.reason == "SESSION_ENDED"


async def test_a_refresh_token_gives_the_next_pair(world: World) -> None:
    member = await world.member(EMAIL)
    renewed = await refresh(world, member.refresh_token)
    assert renewed.refresh_token != member.refresh_token
    assert (renewed.user_id, renewed.email, renewed.expires_in) == (member.id, EMAIL, 21600)
    await grace_is_over(world)
    await refresh(world, renewed.refresh_token)


async def test_parallel_refreshes_get_the_same_successor(world: World) -> None:
    member = await world.member(EMAIL)
    answers = await asyncio.gather(*(refresh(world, member.refresh_token) for _ in range(12)))
    assert len({answer.refresh_token for answer in answers}) == 1
    await refresh(world, answers[0].refresh_token)


async def test_reuse_after_the_grace_ends_the_session(world: World) -> None:
    member = await world.member(EMAIL)
    renewed = await refresh(world, member.refresh_token)
    await grace_is_over(world)
    for token in (member.refresh_token, renewed.refresh_token):
        with pytest.raises(Unauthenticated) as caught:
            await refresh(world, token)
        assert caught.value.reason == "SESSION_ENDED"
    await assert_ended(world, member)


async def test_a_token_of_two_generations_ago_is_reuse_within_the_grace_too(world: World) -> None:
    member = await world.member(EMAIL)
    renewed = await refresh(world, member.refresh_token)
    await refresh(world, renewed.refresh_token)
    with pytest.raises(Unauthenticated):
        await refresh(world, member.refresh_token)
    await assert_ended(world, member)


async def test_a_made_up_refresh_token_ends_nobodys_session(world: World) -> None:
    member = await world.member(EMAIL)
    raw = bytearray(base64.urlsafe_b64decode(member.refresh_token + "=="))
    raw[-1] ^= 1
    forged = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    for token in (forged, "x", "\N{PILE OF POO}", "a" * 5000, member.token):
        with pytest.raises(Unauthenticated) as caught:
            await refresh(world, token)
        assert caught.value.reason == "INVALID_TOKEN"
    await refresh(world, member.refresh_token)


async def test_an_empty_refresh_token_is_a_wrong_field(world: World) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await refresh(world, "")
    assert [v.field for v in caught.value.violations] == ["refresh_token"]


@pytest.mark.parametrize("status", ["DISABLED", "PENDING"])
async def test_users_who_may_not_come_in_cannot_stay_in(world: World, status: str) -> None:
    member = await world.member(EMAIL)
    await world.sql("UPDATE users SET status = %s", status)
    with pytest.raises(Unauthenticated) as caught:
        await refresh(world, member.refresh_token)
    assert caught.value.reason == "SESSION_ENDED"
    await assert_ended(world, member)


async def test_a_session_that_was_not_renewed_for_a_month_has_ended(world: World) -> None:
    member = await world.member(EMAIL)
    [row] = await world.sql(
        "SELECT expire_time - create_time BETWEEN '29 d' AND '31 d' AS is_month FROM sessions"
    )
    assert row.is_month
    await world.sql("UPDATE sessions SET expire_time = clock_timestamp()")
    await assert_ended(world, member)
    with pytest.raises(Unauthenticated):
        await refresh(world, member.refresh_token)


async def test_no_session_outlives_three_months(world: World) -> None:
    member = await world.member(EMAIL)
    await world.sql("UPDATE sessions SET create_time = create_time - interval '80 days'")
    await refresh(world, member.refresh_token)
    [row] = await world.sql("SELECT expire_time < now() + interval '11 days' AS soon FROM sessions")
    assert row.soon


async def test_logout_ends_this_session_and_no_other(world: World) -> None:
    member = await world.member(EMAIL)
    other = world.of(await world.login(EMAIL))
    await world.auth.Logout(auth_pb.LogoutRequest(), metadata=member.proof)
    await assert_ended(world, member)
    with pytest.raises(Unauthenticated):
        await refresh(world, member.refresh_token)
    await world.auth.GetUser(ME, metadata=other.proof)


async def test_logout_ends_all_sessions_when_asked_to(world: World) -> None:
    member = await world.member(EMAIL)
    other = world.of(await world.login(EMAIL))
    stranger = await world.member("bob@example.com")
    await world.auth.Logout(auth_pb.LogoutRequest(all_sessions=True), metadata=member.proof)
    await assert_ended(world, member)
    await assert_ended(world, other)
    await world.auth.GetUser(ME, metadata=stranger.proof)


async def test_services_learn_whether_a_session_lives_and_the_role_of_now(world: World) -> None:
    member = await world.admin(EMAIL)
    [row] = await world.sql("SELECT id FROM sessions")
    request = auth_pb.CheckSessionRequest(sid=str(row.id))
    for service in ("profile", "commerce"):
        async with calling_as(world, service) as auth:
            answer = await auth.CheckSession(request)
            assert (answer.active, answer.role) == (True, "admin")
    await world.auth.Logout(auth_pb.LogoutRequest(), metadata=member.proof)
    async with calling_as(world, "profile") as auth:
        for sid in (str(row.id), str(uuid4())):
            answer = await auth.CheckSession(auth_pb.CheckSessionRequest(sid=sid))
            assert (answer.active, answer.role) == (False, "")
        with pytest.raises(InvalidArgument):
            await auth.CheckSession(auth_pb.CheckSessionRequest(sid="x"))


async def test_nobody_else_may_check_sessions(world: World) -> None:
    member = await world.member(EMAIL)
    request = auth_pb.CheckSessionRequest(sid=str(uuid4()))
    with pytest.raises(PermissionDenied):
        await world.auth.CheckSession(request)
    with pytest.raises(PermissionDenied):
        await world.auth.CheckSession(request, metadata=member.proof)
    async with calling_as(world, "gateway") as auth:
        with pytest.raises(PermissionDenied) as caught:
            await auth.CheckSession(request)
    assert caught.value.reason == "FORBIDDEN"


async def test_of_refresh_tokens_only_a_hash_of_the_seed_is_kept(world: World) -> None:
    member = await world.member(EMAIL)
    raw = base64.urlsafe_b64decode(member.refresh_token)
    assert len(raw) == 16 + 4 + 32 + 32
    seed = raw[20:52]
    [row] = await world.sql("SELECT refresh_hash, sessions::text AS text FROM sessions")
    assert bytes(row.refresh_hash) == hashlib.sha256(seed).digest()
    assert seed.hex() not in row.text


async def test_neither_the_secret_nor_the_seed_alone_makes_a_refresh_token(world: World) -> None:
    member = await world.member(EMAIL)
    raw = base64.urlsafe_b64decode(member.refresh_token)
    session_id, seed = UUID(bytes=raw[:16]), raw[20:52]
    secret = KeyRing.load(world.keys, "auth").secrets["refresh"]
    of_auth, of_others = RefreshTokens(secret), RefreshTokens(Secret.of(b"s" * 32))
    guess = Refresh(session_id, 0, hashlib.sha256(seed).digest())  # what a dump shows
    for forged in (
        of_auth.make(guess),
        of_auth.make(of_auth.new(session_id)),
        of_auth.make(replace(guess, generation=1)),
        of_others.make(Refresh(session_id, 0, seed)),
        of_others.make(Refresh(session_id, 1, seed)),
    ):
        with pytest.raises(Unauthenticated):
            await refresh(world, forged)
    # None of them has ended the session.
    await refresh(world, member.refresh_token)


async def test_a_session_from_before_there_were_seeds_must_log_in_again(world: World) -> None:
    member = await world.member(EMAIL)
    raw = base64.urlsafe_b64decode(member.refresh_token)
    old = raw[:20] + KeyRing.load(world.keys, "auth").secrets["refresh"].digest(
        b"refresh\0" + raw[:20]
    )
    token = base64.urlsafe_b64encode(old).decode().rstrip("=")
    await world.sql("UPDATE sessions SET refresh_hash = sha256(%s)", token.encode())
    with pytest.raises(Unauthenticated) as caught:
        await refresh(world, token)
    assert caught.value.reason == "INVALID_TOKEN"
