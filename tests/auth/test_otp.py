"""Sign-up by mailed code, from the request to the account."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep_clients import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    LockstepError,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)

from tests.auth.world import PASSWORD, WRONG, World, hold_phone_check
from tests.fakes.participants import FakeProfile

EMAIL = "ada@example.com"
ME = auth_pb.GetUserRequest(user_id="me")


async def send(world: World, email: str = EMAIL, **fields: Any) -> str:
    request = auth_pb.SendOtpRequest(**{"email": email, "password": PASSWORD, **fields})
    return (await world.auth.SendOtp(request)).flow_id


async def verify(
    world: World, flow_id: str, otp: str, email: str = EMAIL
) -> auth_pb.VerifyOtpResponse:
    return await world.auth.VerifyOtp(
        auth_pb.VerifyOtpRequest(flow_id=flow_id, email=email, otp=otp)
    )


async def refused(world: World, flow_id: str, otp: str, email: str = EMAIL) -> LockstepError:
    with pytest.raises(LockstepError) as caught:
        await verify(world, flow_id, otp, email)
    return caught.value


def other_than(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06d}"


async def may_send_again(world: World) -> None:
    """Let a minute pass."""
    await world.sql(
        "UPDATE code_limits SET send_times = "
        "(SELECT coalesce(array_agg(t - interval '61 s'), '{}') FROM unnest(send_times) t)"
    )


async def test_a_spent_code_answers_repeats_for_ten_minutes(world: World) -> None:
    flow_id = await send(world)
    code = await world.sink.code(EMAIL)
    made = await verify(world, flow_id, code)
    await world.sql("UPDATE codes SET expire_time = clock_timestamp()")
    assert (await verify(world, flow_id, code)).user.id == made.user.id
    await world.sql("UPDATE codes SET spend_time = spend_time - interval '601 s'")
    for otp in (code, other_than(code)):
        assert (await refused(world, flow_id, otp)).reason == "OTP_EXPIRED"


async def test_the_code_makes_an_account_that_works(world: World, profile: FakeProfile) -> None:
    answer = await world.auth.SendOtp(auth_pb.SendOtpRequest(email=EMAIL, password=PASSWORD))
    assert (answer.expires_in, answer.resend_after) == (600, 60)
    assert await world.sql("SELECT 1 FROM users") == []
    made = await verify(world, answer.flow_id, await world.sink.code(EMAIL))
    assert (made.user.email, made.user.role, made.user.email_verified) == (EMAIL, "customer", True)
    assert (made.profile.user_id, made.profile.status) == (made.user.id, "active")
    member = world.of(await world.login(EMAIL))
    user = await world.auth.GetUser(ME, metadata=member.proof)
    assert (user.id, user.email_verified) == (made.user.id, True)
    assert list(profile.profiles) == [user.id]


async def test_the_details_of_the_role_are_kept_until_the_code_comes(world: World) -> None:
    flow_id = await send(
        world, full_name="Ada Lovelace", course="Analysis", phone_number="+44 (20) 7946-0000"
    )
    made = await verify(world, flow_id, await world.sink.code(EMAIL))
    assert (made.user.full_name, made.user.role) == ("Ada Lovelace", "student")
    assert made.profile.phone_number == "+442079460000"


async def test_every_wrong_field_of_a_sign_up_is_named(world: World) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await send(world, "nobody", password="short", confirm_password="x", phone_number="1")
    assert {v.field for v in caught.value.violations} == {
        "email",
        "password",
        "confirm_password",
        "phone_number",
    }


async def test_every_wrong_field_of_a_code_is_named(world: World) -> None:
    error = await refused(world, "x", " ", "nobody")
    assert error.reason == "INVALID_FIELD"
    assert [v.field for v in error.violations] == ["flow_id", "email", "otp"]
    error = await refused(world, "", "123 456", "")
    assert [v.field for v in error.violations] == ["flow_id", "email"]


async def test_the_mail_shows_the_code_where_a_phone_does(world: World) -> None:
    await send(world)
    message = await world.sink.wait_for(EMAIL)
    code = await world.sink.code(EMAIL)
    assert message["subject"].startswith(code)
    assert message.get_content_type() == "multipart/alternative"
    for kind in ("plain", "html"):
        body = message.get_body((kind,))
        assert body is not None
        assert code in body.get_content()
    assert message["from"] == "Lockstep <no-reply@lockstep.example>"
    assert message["auto-submitted"] == "auto-generated"


async def test_a_code_may_be_typed_with_spaces(world: World) -> None:
    flow_id = await send(world)
    code = await world.sink.code(EMAIL)
    assert (await verify(world, flow_id, f" {code[:3]} {code[3:]} ")).user.email == EMAIL


async def test_a_wrong_code_is_wrong_five_times_and_then_no_code_is_right(world: World) -> None:
    flow_id = await send(world)
    code = await world.sink.code(EMAIL)
    for _ in range(5):
        error = await refused(world, flow_id, other_than(code))
        assert isinstance(error, InvalidArgument)
        assert error.reason == "OTP_INVALID"
    for otp in (code, other_than(code)):
        error = await refused(world, flow_id, otp)
        assert isinstance(error, ResourceExhausted)
        assert error.reason == "OTP_EXHAUSTED"
    assert await world.sql("SELECT 1 FROM users") == []


@pytest.mark.parametrize("otp", ["abcdef", "12345", "1234567", "\N{FULLWIDTH DIGIT ONE}23456"])
async def test_what_is_no_code_costs_no_try(world: World, otp: str) -> None:
    flow_id = await send(world)
    for _ in range(6):
        error = await refused(world, flow_id, otp)
        assert error.reason == "INVALID_FIELD"
        assert [v.field for v in error.violations] == ["otp"]
    assert (await verify(world, flow_id, await world.sink.code(EMAIL))).user.email == EMAIL


async def test_a_code_is_good_for_its_flow_and_its_address_only(world: World) -> None:
    flow_id = await send(world)
    code = await world.sink.code(EMAIL)
    other = await send(world, "bob@example.com")
    for given, email in (
        (flow_id, "bob@example.com"),
        (other, EMAIL),
        (str(uuid4()), EMAIL),
    ):
        assert (await refused(world, given, code, email)).reason == "OTP_INVALID"
    assert (await verify(world, flow_id, code, "ADA@example.com")).user.email == EMAIL


async def test_an_expired_code_says_so(world: World) -> None:
    flow_id = await send(world)
    code = await world.sink.code(EMAIL)
    await world.sql("UPDATE codes SET expire_time = clock_timestamp()")
    error = await refused(world, flow_id, code)
    assert isinstance(error, FailedPrecondition)
    assert error.reason == "OTP_EXPIRED"


async def test_a_newer_code_leaves_the_older_good(world: World) -> None:
    """Or a stranger who asks for codes would keep the owner from ever using one."""
    old_flow = await send(world)
    old = await world.sink.code(EMAIL)
    await may_send_again(world)
    new_flow = await send(world, full_name="Ada King")
    new = await world.sink.code(EMAIL, count=2)
    if old != new:
        assert (await refused(world, old_flow, new)).reason == "OTP_INVALID"
    assert (await verify(world, old_flow, old)).user.email == EMAIL
    assert (await refused(world, new_flow, new)).reason == "EMAIL_TAKEN"


@pytest.mark.parametrize("has_account", [True, False])
async def test_a_minute_lies_between_two_codes_and_five_fit_in_an_hour(
    world: World, has_account: bool
) -> None:
    if has_account:
        await world.register(EMAIL)
    await send(world)
    with pytest.raises(ResourceExhausted) as caught:
        await send(world)
    assert caught.value.reason == "TOO_MANY_REQUESTS"
    assert caught.value.retry_after_seconds is not None
    assert 55 < caught.value.retry_after_seconds <= 60
    for _ in range(4):
        await may_send_again(world)
        await world.sql("UPDATE codes SET expire_time = clock_timestamp()")
        await send(world)
    await may_send_again(world)
    with pytest.raises(ResourceExhausted) as caught:
        await send(world)
    assert caught.value.retry_after_seconds is not None
    assert 3000 < caught.value.retry_after_seconds < 3600


@pytest.mark.parametrize("has_account", [True, False])
async def test_a_hundred_failures_a_day_are_all_whatever_new_codes_are_sent(
    world: World, has_account: bool
) -> None:
    if has_account:
        await world.register(EMAIL)
    for number in (1, 2):
        flow_id = await send(world)
        for _ in range(5 if number == 1 else 0):
            assert (await refused(world, flow_id, WRONG)).reason == "OTP_INVALID"
        await may_send_again(world)
    await world.sql(
        "UPDATE code_limits SET failure_times = failure_times || "
        "array_fill(failure_times[1], ARRAY[95]) WHERE cardinality(failure_times) > 0"
    )
    error = await refused(world, flow_id, WRONG)
    assert isinstance(error, ResourceExhausted)
    assert error.reason == "TOO_MANY_REQUESTS"
    assert error.retry_after_seconds is not None
    assert 80_000 < error.retry_after_seconds <= 86_400


async def test_failures_of_one_purpose_do_not_count_for_another(world: World) -> None:
    member = await world.member(EMAIL)
    await world.sql(
        "UPDATE code_limits SET failure_times = array_fill(clock_timestamp(), ARRAY[100]), "
        "send_times = '{}'"
    )
    request = auth_pb.RequestPasswordResetRequest(email=EMAIL)
    flow_id = (await world.auth.RequestPasswordReset(request)).flow_id
    with pytest.raises(InvalidArgument) as caught:
        await world.auth.ResetPassword(
            auth_pb.ResetPasswordRequest(
                flow_id=flow_id, email=EMAIL, otp=WRONG, new_password="Another-horse-8"
            )
        )
    assert caught.value.reason == "OTP_INVALID"
    assert member.id


async def test_an_address_with_an_account_gets_the_same_answer_and_another_mail(
    world: World,
) -> None:
    await world.register(EMAIL)
    await world.sink.wait_for(EMAIL)
    flow_id = await send(world)
    message = await world.sink.wait_for(EMAIL, count=2)
    assert message["subject"] == "You already have an account"
    for _ in range(5):
        assert (await refused(world, flow_id, "000000")).reason == "OTP_INVALID"
    assert (await refused(world, flow_id, "000000")).reason == "OTP_EXHAUSTED"


async def test_an_account_that_was_made_meanwhile_is_told_to_who_proved_the_mailbox(
    world: World,
) -> None:
    flow_id = await send(world)
    code = await world.sink.code(EMAIL)
    await world.register(EMAIL)
    error = await refused(world, flow_id, code)
    assert isinstance(error, AlreadyExists)
    assert error.reason == "EMAIL_TAKEN"


async def test_an_address_that_is_being_registered_has_to_wait(world: World) -> None:
    flow_id = await send(world)
    code = await world.sink.code(EMAIL)
    await world.register(EMAIL)
    await world.sql("UPDATE users SET status = 'PENDING'")
    error = await refused(world, flow_id, code)
    assert isinstance(error, Aborted)
    assert error.reason == "REGISTRATION_IN_PROGRESS"


async def test_a_taken_phone_number_is_refused_and_the_code_stays_good(world: World) -> None:
    await world.register("bob@example.com", phone_number="+442079460000")
    flow_id = await send(world, phone_number="+442079460000")
    code = await world.sink.code(EMAIL)
    for _ in range(2):
        assert (await refused(world, flow_id, code)).reason == "PHONE_TAKEN"


async def test_the_right_code_again_gets_the_same_answer(world: World) -> None:
    flow_id = await send(world)
    code = await world.sink.code(EMAIL)
    first = await verify(world, flow_id, code)
    assert await verify(world, flow_id, code) == first
    assert (await refused(world, flow_id, other_than(code))).reason == "OTP_INVALID"


async def test_right_codes_at_the_same_time_make_one_account(world: World) -> None:
    flow_id = await send(world)
    code = await world.sink.code(EMAIL)
    answers = await asyncio.gather(*(verify(world, flow_id, code) for _ in range(12)))
    assert len({answer.user.id for answer in answers}) == 1
    assert len(await world.sql("SELECT 1 FROM users")) == 1


@pytest.mark.parametrize("is_answered", [True, False])
async def test_a_right_code_whose_check_is_late_gets_the_answer_of_the_other(
    world: World, monkeypatch: pytest.MonkeyPatch, is_answered: bool
) -> None:
    """The copy finds the phone taken, by its own account."""
    flow_id = await send(world, phone_number="+442079460000")
    code = await world.sink.code(EMAIL)
    arrived, go_on = hold_phone_check(monkeypatch, is_answered=is_answered)
    late = asyncio.ensure_future(verify(world, flow_id, code))
    await arrived.wait()
    answer = await verify(world, flow_id, code)
    go_on.set()
    assert await late == answer


async def test_after_a_compensation_the_code_works_again(
    world: World, profile: FakeProfile
) -> None:
    flow_id = await send(world)
    code = await world.sink.code(EMAIL)
    profile.is_down = True
    error = await refused(world, flow_id, code)
    assert isinstance(error, Unavailable)
    assert error.reason == "PROFILE_UNAVAILABLE"
    await world.sql("UPDATE codes SET expire_time = clock_timestamp() + interval '1 s'")
    profile.is_down = False
    await world.settled()
    [row] = await world.sql(
        "SELECT expire_time > clock_timestamp() + interval '290 s' AS reinstated, spend_time "
        "FROM codes"
    )
    assert row.reinstated
    assert row.spend_time is None
    assert (await verify(world, flow_id, code)).user.email == EMAIL


async def test_the_hash_of_a_password_is_in_the_codes_only_until_the_account_is_made(
    world: World,
) -> None:
    flow_id = await send(world)
    [row] = await world.sql("SELECT payload FROM codes")
    assert row.payload["password_hash"].startswith("$2b$04$")
    assert PASSWORD not in str(row.payload)
    await verify(world, flow_id, await world.sink.code(EMAIL))
    [row] = await world.sql("SELECT payload FROM codes")
    assert row.payload is None
    assert "$2b$" not in str(await world.sql("SELECT * FROM sagas"))


async def test_a_strangers_password_is_not_the_accounts(world: World) -> None:
    """An attacker's sign-up for my e-mail address cannot be ended with my code."""
    theirs = await send(world, password="Strange-horse-9")
    await may_send_again(world)
    mine = await send(world)
    code = await world.sink.code(EMAIL, count=2)
    assert (await refused(world, theirs, code)).reason == "OTP_INVALID"
    await verify(world, mine, code)
    with pytest.raises(Unauthenticated):
        await world.login(EMAIL, "Strange-horse-9")
    await world.login(EMAIL)


async def test_the_whole_way_from_the_code_to_the_end_of_the_session(world: World) -> None:
    flow_id = await send(world)
    await verify(world, flow_id, await world.sink.code(EMAIL))
    member = world.of(await world.login(EMAIL))
    await world.auth.GetUser(ME, metadata=member.proof)
    renewed = world.of(
        auth_pb.LoginResponse.FromString(
            (
                await world.auth.RefreshToken(
                    auth_pb.RefreshTokenRequest(refresh_token=member.refresh_token)
                )
            ).SerializeToString()
        )
    )
    await world.auth.GetUser(ME, metadata=renewed.proof)
    await world.auth.Logout(auth_pb.LogoutRequest(), metadata=renewed.proof)
    with pytest.raises(Unauthenticated):
        await world.auth.GetUser(ME, metadata=renewed.proof)
