"""New passwords: with a mailed code, and with the current one."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep_clients import InvalidArgument, LockstepError, ResourceExhausted, Unauthenticated

from tests.auth.world import PASSWORD, WRONG, Member, World
from tests.fakes.participants import FakeProfile

EMAIL = "ada@example.com"
NEW = "Another-horse-8"
ME = auth_pb.GetUserRequest(user_id="me")


async def request(world: World, email: str = EMAIL) -> str:
    request = auth_pb.RequestPasswordResetRequest(email=email)
    return (await world.auth.RequestPasswordReset(request)).flow_id


async def reset(
    world: World, flow_id: str, otp: str, *, email: str = EMAIL, password: str = NEW
) -> None:
    await world.auth.ResetPassword(
        auth_pb.ResetPasswordRequest(flow_id=flow_id, email=email, otp=otp, new_password=password)
    )


async def refused(world: World, flow_id: str, otp: str, **more: str) -> LockstepError:
    with pytest.raises(LockstepError) as caught:
        await reset(world, flow_id, otp, **more)
    return caught.value


async def change(world: World, member: Member, current: str, new: str) -> None:
    await world.auth.ChangePassword(
        auth_pb.ChangePasswordRequest(current_password=current, new_password=new),
        metadata=member.proof,
    )


async def test_a_mailed_code_sets_a_new_password_and_ends_all_sessions(world: World) -> None:
    member = await world.member(EMAIL)
    flow_id = await request(world, "ADA@example.com")
    code = await world.sink.code(EMAIL, count=2)
    await reset(world, flow_id, code)
    with pytest.raises(Unauthenticated) as ended:
        await world.auth.GetUser(ME, metadata=member.proof)
    assert ended.value.reason == "SESSION_ENDED"
    with pytest.raises(Unauthenticated):
        await world.login(EMAIL)
    await world.login(EMAIL, NEW)
    told = await world.sink.wait_for(EMAIL, count=3)
    assert told["subject"] == "Your password was changed"
    assert (await refused(world, flow_id, code)).reason == "OTP_INVALID"


async def test_who_has_no_account_gets_the_same_answers_and_no_mail(world: World) -> None:
    await world.register(EMAIL)
    nobody = "nobody@example.com"
    for email in (EMAIL, nobody):
        flow_id = await request(world, email)
        with pytest.raises(ResourceExhausted) as soon:
            await request(world, email)
        assert soon.value.reason == "TOO_MANY_REQUESTS"
        for _ in range(5):
            assert (await refused(world, flow_id, WRONG, email=email)).reason == "OTP_INVALID"
        assert (await refused(world, flow_id, WRONG, email=email)).reason == "OTP_EXHAUSTED"
    await world.sink.wait_for(EMAIL, count=2)
    assert world.sink.to(nobody) == []


async def test_everything_wrong_is_named_and_the_code_is_not_tried(world: World) -> None:
    await world.register(EMAIL)
    flow_id = await request(world)
    error = await refused(world, flow_id, WRONG, password="short")
    assert error.reason == "INVALID_FIELD"
    assert {v.field for v in error.violations} == {"new_password"}
    error = await refused(world, "x", "", email="x", password=EMAIL)
    assert {v.field for v in error.violations} == {"flow_id", "email", "otp", "new_password"}
    with pytest.raises(InvalidArgument) as caught:
        await request(world, "x")
    assert [v.field for v in caught.value.violations] == ["email"]
    [row] = await world.sql("SELECT max(tries) AS tries FROM codes")
    assert row.tries == 0


async def test_a_slip_costs_no_try(world: World) -> None:
    await world.register(EMAIL)
    flow_id = await request(world)
    for slip in ("12345", "abcdef", "1234567", "12345\u0663", "x" * 1000):
        error = await refused(world, flow_id, slip)
        assert error.reason == "INVALID_FIELD"
        assert [v.field for v in error.violations] == ["otp"]
    [row] = await world.sql("SELECT max(tries) AS tries FROM codes")
    assert row.tries == 0
    code = await world.sink.code(EMAIL, count=2)
    await reset(world, flow_id, f" {code[:3]} {code[3:]}\n")


async def test_a_reset_confirms_the_address_everywhere(world: World, profile: FakeProfile) -> None:
    made = await world.register(EMAIL)
    flow_id = await request(world)
    await reset(world, flow_id, await world.sink.code(EMAIL, count=2))
    member = world.of(await world.login(EMAIL, NEW))
    assert (await world.auth.GetUser(ME, metadata=member.proof)).email_verified
    assert profile.profiles[made.user.id].status == "active"


async def test_expired_and_unknown_flows_are_refused(world: World) -> None:
    await world.register(EMAIL)
    flow_id = await request(world)
    code = await world.sink.code(EMAIL, count=2)
    assert (await refused(world, str(uuid4()), code)).reason == "OTP_INVALID"
    assert (await refused(world, flow_id, code, email="bob@example.com")).reason == "OTP_INVALID"
    await world.sql("UPDATE codes SET expire_time = clock_timestamp()")
    assert (await refused(world, flow_id, code)).reason == "OTP_EXPIRED"


async def test_a_reset_lets_who_had_to_wait_in_at_once(world: World) -> None:
    await world.register(EMAIL)
    for _ in range(6):
        with pytest.raises(Unauthenticated):
            await world.login(EMAIL, "Wrong-horse-7")
    flow_id = await request(world)
    await reset(world, flow_id, await world.sink.code(EMAIL, count=2))
    await world.login(EMAIL, NEW)


async def test_a_disabled_account_gets_no_code(world: World) -> None:
    await world.register(EMAIL)
    await world.sql("UPDATE users SET status = 'DISABLED'")
    assert (await refused(world, await request(world), "000000")).reason == "OTP_INVALID"
    [row] = await world.sql("SELECT code_hmac FROM codes WHERE purpose = 'reset'")
    assert row.code_hmac is None


async def test_a_changed_password_ends_the_other_sessions(world: World) -> None:
    member = await world.member(EMAIL)
    other = world.of(await world.login(EMAIL))
    await change(world, member, PASSWORD, NEW)
    await world.auth.GetUser(ME, metadata=member.proof)
    with pytest.raises(Unauthenticated):
        await world.auth.GetUser(ME, metadata=other.proof)
    with pytest.raises(Unauthenticated):
        await world.login(EMAIL)
    await world.login(EMAIL, NEW)
    told = await world.sink.wait_for(EMAIL, count=2)
    assert told["subject"] == "Your password was changed"


async def test_every_wrong_field_of_a_new_password_is_named(world: World) -> None:
    member = await world.member(EMAIL)
    for current, new, fields in (
        ("", "short", {"current_password", "new_password"}),
        (PASSWORD, PASSWORD, {"new_password"}),
        (PASSWORD, "", {"new_password"}),
        (PASSWORD, "A1!" + "a" * 70, {"new_password"}),
        (PASSWORD, "P@ssw0rd123", {"new_password"}),
    ):
        with pytest.raises(InvalidArgument) as caught:
            await change(world, member, current, new)
        assert {v.field for v in caught.value.violations} == fields


async def test_a_wrong_current_password_is_refused_and_counted(world: World) -> None:
    member = await world.member(EMAIL)
    for _ in range(9):
        with pytest.raises(Unauthenticated) as caught:
            await change(world, member, "Wrong-horse-7", NEW)
        assert caught.value.reason == "INVALID_CREDENTIALS"
    await change(world, member, PASSWORD, NEW)


async def test_a_new_password_needs_a_token(world: World) -> None:
    with pytest.raises(Unauthenticated) as caught:
        await world.auth.ChangePassword(auth_pb.ChangePasswordRequest())
    assert caught.value.reason == "INVALID_TOKEN"


async def test_a_deletion_at_the_same_time_is_no_surprise(world: World) -> None:
    """Neither request may mail a code for a deleted account."""
    for number in range(4):
        member = await world.member(f"user{number}@example.com")
        await world.sql("UPDATE code_limits SET send_times = '{}'")
        answers = await asyncio.gather(
            world.auth.DeleteUser(auth_pb.DeleteUserRequest(user_id="me"), metadata=member.proof),
            request(world, member.email),
            world.auth.ChangeEmail(
                auth_pb.ChangeEmailRequest(new_email=f"new{number}@example.com", password=PASSWORD),
                metadata=member.proof,
            ),
            return_exceptions=True,
        )
        reasons = {answer.reason for answer in answers if isinstance(answer, LockstepError)}
        assert reasons <= {"SESSION_ENDED", "INVALID_TOKEN"}
