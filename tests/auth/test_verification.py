"""Confirmation of e-mail addresses: of the first one, and of a new one."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep_clients import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    LockstepError,
    ResourceExhausted,
    Unauthenticated,
)

from tests.auth.world import PASSWORD, WRONG, Member, World
from tests.fakes.participants import FakeProfile

EMAIL = "ada@example.com"
NEW = "ada@example.org"
ME = auth_pb.GetUserRequest(user_id="me")


async def verify(world: World, flow_id: str, otp: str, email: str = EMAIL) -> None:
    await world.auth.VerifyEmail(auth_pb.VerifyEmailRequest(flow_id=flow_id, email=email, otp=otp))


async def refused(world: World, flow_id: str, otp: str, email: str = EMAIL) -> LockstepError:
    with pytest.raises(LockstepError) as caught:
        await verify(world, flow_id, otp, email)
    return caught.value


async def change(world: World, member: Member, email: str, password: str = PASSWORD) -> str:
    request = auth_pb.ChangeEmailRequest(new_email=email, password=password)
    return (await world.auth.ChangeEmail(request, metadata=member.proof)).flow_id


async def may_send_again(world: World) -> None:
    await world.sql("UPDATE code_limits SET send_times = '{}'")


async def test_the_code_of_a_registration_makes_the_profile_active(
    world: World, profile: FakeProfile
) -> None:
    made = await world.register(EMAIL)
    assert made.profile.status == "pending"
    await verify(world, made.verification_flow_id, await world.sink.code(EMAIL))
    assert profile.profiles[made.user.id].status == "active"
    member = world.of(await world.login(EMAIL))
    assert (await world.auth.GetUser(ME, metadata=member.proof)).email_verified


async def test_the_same_code_again_changes_nothing(world: World, profile: FakeProfile) -> None:
    made = await world.register(EMAIL)
    code = await world.sink.code(EMAIL)
    await asyncio.gather(*(verify(world, made.verification_flow_id, code) for _ in range(8)))
    await verify(world, made.verification_flow_id, code)
    assert profile.profiles[made.user.id].status == "active"


async def test_wrong_codes_are_refused_in_every_way(world: World) -> None:
    flow_id = (await world.register(EMAIL)).verification_flow_id
    code = await world.sink.code(EMAIL)
    assert (await refused(world, "x", "")).reason == "INVALID_FIELD"
    assert (await refused(world, str(uuid4()), code)).reason == "OTP_INVALID"
    assert (await refused(world, flow_id, code, "bob@example.com")).reason == "OTP_INVALID"
    for _ in range(5):
        assert (await refused(world, flow_id, WRONG)).reason == "OTP_INVALID"
    assert (await refused(world, flow_id, code)).reason == "OTP_EXHAUSTED"
    await world.sql("UPDATE codes SET expire_time = clock_timestamp()")
    error = await refused(world, flow_id, code)
    assert isinstance(error, FailedPrecondition)
    assert error.reason == "OTP_EXPIRED"


async def test_a_code_of_another_purpose_is_a_wrong_one(world: World) -> None:
    await world.register(EMAIL)
    answer = await world.auth.RequestPasswordReset(auth_pb.RequestPasswordResetRequest(email=EMAIL))
    code = await world.sink.code(EMAIL, count=2)
    assert (await refused(world, answer.flow_id, code)).reason == "OTP_INVALID"


async def test_while_profile_is_down_the_address_is_confirmed_and_the_profile_follows(
    world: World, profile: FakeProfile
) -> None:
    made = await world.register(EMAIL)
    profile.is_down = True
    await verify(world, made.verification_flow_id, await world.sink.code(EMAIL))
    member = world.of(await world.login(EMAIL))
    assert (await world.auth.GetUser(ME, metadata=member.proof)).email_verified
    assert profile.profiles[made.user.id].status == "pending"
    profile.is_down = False
    await world.settled()
    assert profile.profiles[made.user.id].status == "active"


async def test_a_new_code_for_ones_own_address_can_be_asked_for(world: World) -> None:
    made = await world.register(EMAIL)
    old = await world.sink.code(EMAIL)
    member = world.of(await world.login(EMAIL))
    request = auth_pb.SendEmailVerificationRequest()
    flow_id = (await world.auth.SendEmailVerification(request, metadata=member.proof)).flow_id
    with pytest.raises(ResourceExhausted) as caught:
        await world.auth.SendEmailVerification(request, metadata=member.proof)
    assert caught.value.retry_after_seconds is not None
    code = await world.sink.code(EMAIL, count=2)
    await verify(world, flow_id, code)
    await verify(world, made.verification_flow_id, old)  # it changes nothing any more
    await may_send_again(world)
    with pytest.raises(FailedPrecondition) as confirmed:
        await world.auth.SendEmailVerification(request, metadata=member.proof)
    assert confirmed.value.reason == "ILLEGAL_STATE"


async def test_a_code_needs_a_token_to_be_asked_for(world: World) -> None:
    with pytest.raises(Unauthenticated) as caught:
        await world.auth.SendEmailVerification(auth_pb.SendEmailVerificationRequest())
    assert caught.value.reason == "INVALID_TOKEN"


async def test_a_new_address_counts_from_its_code_on(world: World, profile: FakeProfile) -> None:
    member = await world.member(EMAIL)
    flow_id = await change(world, member, "Ada@Example.org")
    code = await world.sink.code("Ada@example.org")
    assert (await world.login(EMAIL)).email == EMAIL
    await verify(world, flow_id, code, NEW)
    await verify(world, flow_id, code, NEW)
    told = await world.sink.wait_for(EMAIL, count=2)
    assert told["subject"] == "Your e-mail address was changed"
    user = await world.auth.GetUser(ME, metadata=member.proof)
    assert (user.email, user.email_verified) == ("Ada@Example.org", True)
    assert profile.profiles[member.id].status == "active"
    assert (await world.login(NEW)).user_id == member.id
    with pytest.raises(Unauthenticated):
        await world.login(EMAIL)
    assert (await world.register(EMAIL)).user.id != member.id


async def test_every_wrong_field_of_a_change_is_named(world: World) -> None:
    member = await world.member(EMAIL)
    with pytest.raises(InvalidArgument) as caught:
        await change(world, member, "nobody", "")
    assert [v.field for v in caught.value.violations] == ["new_email", "password"]
    with pytest.raises(InvalidArgument) as caught:
        await change(world, member, EMAIL.upper())
    assert [v.field for v in caught.value.violations] == ["new_email"]


async def test_a_change_needs_the_password_and_counts_wrong_ones(world: World) -> None:
    member = await world.member(EMAIL)
    for _ in range(9):
        with pytest.raises(Unauthenticated) as caught:
            await change(world, member, NEW, "Wrong-horse-7")
        assert caught.value.reason == "INVALID_CREDENTIALS"
    with pytest.raises(Unauthenticated) as ended:
        await change(world, member, NEW, "Wrong-horse-7")
    assert ended.value.reason == "SESSION_ENDED"
    await world.login(EMAIL)


async def test_one_account_mails_five_addresses_an_hour(world: World) -> None:
    member = await world.member(EMAIL)
    stranger = await world.member("bob@example.com")
    for number in range(5):
        await change(world, member, f"new{number}@example.org")
    with pytest.raises(ResourceExhausted) as caught:
        await change(world, member, "new5@example.org")
    assert caught.value.reason == "TOO_MANY_REQUESTS"
    assert caught.value.retry_after_seconds is not None
    assert 3500 < caught.value.retry_after_seconds <= 3600
    assert await world.sql("SELECT 1 FROM codes WHERE email = 'new5@example.org'") == []
    await change(world, stranger, "new5@example.org")
    await world.sql(
        "UPDATE code_limits SET send_times = "
        "(SELECT coalesce(array_agg(t - interval '1 hour'), '{}') FROM unnest(send_times) t)"
    )
    await change(world, member, "new6@example.org")


async def test_a_taken_address_gets_the_same_answer_and_another_mail(world: World) -> None:
    member = await world.member(EMAIL)
    await world.register("bob@example.com")
    flow_id = await change(world, member, "bob@example.com")
    message = await world.sink.wait_for("bob@example.com", count=2)
    assert message["subject"] == "You already have an account"
    assert (await refused(world, flow_id, "000000", "bob@example.com")).reason == "OTP_INVALID"


async def test_an_address_that_was_taken_meanwhile_is_refused_and_nothing_changes(
    world: World,
) -> None:
    member = await world.member(EMAIL)
    flow_id = await change(world, member, NEW)
    code = await world.sink.code(NEW)
    await world.register(NEW)
    for _ in range(2):
        error = await refused(world, flow_id, code, NEW)
        assert isinstance(error, AlreadyExists)
        assert error.reason == "EMAIL_TAKEN"
    assert (await world.auth.GetUser(ME, metadata=member.proof)).email == EMAIL


async def test_a_code_for_an_address_that_was_left_behind_proves_nothing(world: World) -> None:
    made = await world.register(EMAIL)
    old_code = await world.sink.code(EMAIL)
    member = world.of(await world.login(EMAIL))
    flow_id = await change(world, member, NEW)
    await verify(world, flow_id, await world.sink.code(NEW), NEW)
    error = await refused(world, made.verification_flow_id, old_code)
    assert error.reason == "OTP_INVALID"
