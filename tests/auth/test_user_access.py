"""Administrators and the operator see how an account stands."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

import pytest
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep_clients import InvalidArgument, LockstepError, NotFound, PermissionDenied, bearer

from services.auth.store.places import FREE_FAILURES
from tests.auth.test_operating import lockstep, rows_of
from tests.auth.world import Member, World, calling_as

EMAIL = "ada@example.com"


async def access(world: World, email: str = EMAIL) -> auth_pb.UserAccess:
    async with calling_as(world, "operator") as auth:
        return await auth.GetUserAccess(auth_pb.GetUserAccessRequest(email=email))


async def fail(world: World, times: int) -> None:
    for _ in range(times):
        with contextlib.suppress(LockstepError):
            await world.login(EMAIL, "Wrong-password-1")


async def test_status_sessions_and_nothing_else_of_an_account_that_is_well(world: World) -> None:
    member = await world.member(EMAIL)
    await world.login(EMAIL)
    await world.sink.code(EMAIL)
    shown = await access(world, EMAIL.upper())
    assert (shown.user.id, shown.user.status, shown.user.role) == (member.id, "active", "student")
    assert len(shown.sessions) == 2
    assert not any(session.current for session in shown.sessions)
    assert (shown.wrong_passwords, list(shown.places)) == (0, [])
    assert [(codes.purpose, codes.sent, codes.wrong) for codes in shown.codes] == [
        ("verification", 1, 0)
    ]


async def test_wrong_passwords_are_shown_until_they_are_cleared(world: World) -> None:
    await world.register(EMAIL)
    await fail(world, FREE_FAILURES)
    shown = await access(world)
    assert (shown.wrong_passwords, [each.wrong_passwords for each in shown.places]) == (5, [5])
    assert not shown.places[0].HasField("wait_until")
    await fail(world, 1)
    [place] = (await access(world)).places
    assert place.wrong_passwords == FREE_FAILURES + 1
    assert place.wait_until.ToDatetime(UTC) > datetime.now(UTC)
    async with calling_as(world, "operator") as auth:
        await auth.UnlockUser(auth_pb.UnlockUserRequest(email=EMAIL))
    shown = await access(world)
    assert (shown.wrong_passwords, list(shown.places), list(shown.codes)) == (0, [], [])


async def test_wrong_codes_are_shown_by_their_purpose(world: World) -> None:
    await world.register(EMAIL)
    reset = auth_pb.RequestPasswordResetRequest(email=EMAIL)
    flow = (await world.auth.RequestPasswordReset(reset)).flow_id
    code = await world.sink.code(EMAIL, count=2)
    wrong = "111111" if code != "111111" else "222222"
    with pytest.raises(InvalidArgument):
        await world.auth.ResetPassword(
            auth_pb.ResetPasswordRequest(
                flow_id=flow, email=EMAIL, otp=wrong, new_password="Another-horse-8"
            )
        )
    found = {each.purpose: (each.sent, each.wrong) for each in (await access(world)).codes}
    assert found == {"verification": (1, 0), "reset": (1, 1)}


async def test_mail_that_waits_for_the_owner_is_shown_and_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.register("Ada@example.com")
    await world.register("bob@example.com")
    await world.sink.wait_for("bob@example.com")
    await world.sink.wait_for("Ada@example.com")
    assert list((await access(world)).waiting_mail) == []

    async def refuse(*_: object) -> str:
        return "451 later"

    monkeypatch.setattr(world.sink, "handle_DATA", refuse)
    for email in ("ada@example.com", "bob@example.com"):
        await world.auth.RequestPasswordReset(auth_pb.RequestPasswordResetRequest(email=email))
    [mail] = (await access(world)).waiting_mail
    assert mail.expire_time.ToDatetime(UTC) > datetime.now(UTC)
    await world.sql("UPDATE outbox SET sealed = 'damaged'")
    assert list((await access(world)).waiting_mail) == []


async def test_administrators_see_it_and_nobody_else(world: World) -> None:
    admin, member = await world.admin("root@example.com"), await world.member(EMAIL)
    request = auth_pb.GetUserAccessRequest(user_id=admin.id)
    shown = await world.auth.GetUserAccess(request, metadata=admin.proof)
    assert [session.current for session in shown.sessions] == [True]
    with pytest.raises(PermissionDenied):
        await world.auth.GetUserAccess(request, metadata=member.proof)
    with pytest.raises(LockstepError) as caught:
        await world.auth.GetUserAccess(request, metadata=bearer("x"))
    assert caught.value.reason == "INVALID_TOKEN"
    with pytest.raises(NotFound):
        await access(world, "nobody@example.com")


async def test_a_reader_changes_nothing(world: World) -> None:
    member: Member = await world.member(EMAIL)
    await fail(world, 2)
    before = await access(world)
    assert await access(world) == before
    assert before.user.id == member.id


async def test_the_command_shows_it(world: World) -> None:
    member = await world.member(EMAIL)
    await fail(world, 2)
    code, output = await lockstep(world, "admin", "show", "--email", EMAIL, "--json")
    assert code == 0, output
    shown = rows_of(output)
    facts = {(row["part"], row["name"]): row["value"] for row in shown}
    assert facts["account", "id"] == member.id
    assert facts["account", "status"] == "active"
    assert facts["account", "second_factor"] is False
    assert facts["counter", "wrong passwords of a day"] == 2
    assert [row["part"] for row in shown].count("session") == 1
    assert facts["counter", "codes sent within an hour: verification"] == 1
    code, output = await lockstep(world, "admin", "show", "--email", "nobody@example.com")
    assert (code, output) == (1, "there is no account of nobody@example.com")
