"""ResendCode: an administrator has a code mailed again, and nobody but its owner sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep_clients import FailedPrecondition, NotFound

from services.auth.domain.codes import LIFE
from services.auth.model import Purpose
from tests.auth.test_endings import (
    EMAIL,
    NEW,
    SUBJECTS,
    Opened,
    ask_email,
    ask_reset,
    opened,
    present,
)
from tests.auth.test_operating import lockstep
from tests.auth.test_session_list import reason_of
from tests.auth.world import PASSWORD, WRONG, Member, World, calling_as

NOBODY = "nobody@example.com"


async def resend(world: World, admin: Member, user_id: str) -> auth_pb.ResendCodeResponse:
    request = auth_pb.ResendCodeRequest(user_id=user_id)
    return await world.auth.ResendCode(request, metadata=admin.proof)


async def verification(world: World, _member: Member, flow_id: str) -> Opened:
    return await opened(world, Purpose.VERIFICATION, flow_id, EMAIL)


async def reset(world: World, _member: Member, _flow_id: str) -> Opened:
    return await ask_reset(world)


async def email_change(world: World, member: Member, _flow_id: str) -> Opened:
    return await ask_email(world, member, NEW)


# For each purpose of a user's flow that a mail carries, how one is opened.
OPENED: dict[Purpose, Callable[[World, Member, str], Awaitable[Opened]]] = {
    Purpose.VERIFICATION: verification,
    Purpose.RESET: reset,
    Purpose.EMAIL_CHANGE: email_change,
}


@pytest.mark.parametrize("purpose", OPENED)
async def test_the_newest_open_flow_gets_a_new_code_and_its_full_time(
    world: World, purpose: Purpose
) -> None:
    admin = await world.admin("root@example.com")
    made = await world.register(EMAIL)
    member = world.of(await world.login(EMAIL))
    flow = await OPENED[purpose](world, member, made.verification_flow_id)
    await world.sql(
        "UPDATE codes SET tries = 4, expire_time = now() + interval '30 s' WHERE id = %s",
        flow.flow_id,
    )

    sent = await resend(world, admin, member.id)

    assert sent.purpose == purpose
    left = sent.expire_time.ToDatetime(UTC) - datetime.now(UTC)
    assert LIFE - timedelta(minutes=1) < left <= LIFE
    new = await world.sink.code(flow.email, about=SUBJECTS[purpose], count=2)
    if new != flow.otp:
        assert await present(world, flow) == "OTP_INVALID"
    fresh = Opened(purpose, flow.flow_id, flow.email, new)
    assert await present(world, fresh) is None


async def test_a_resent_code_leaves_a_line_without_the_code(world: World) -> None:
    admin = await world.admin("root@example.com")
    made = await world.register(EMAIL)
    sent = await resend(world, admin, made.user.id)
    code = await world.sink.code(EMAIL, count=2)
    assert code not in str(sent)
    [row] = await world.sql(
        "SELECT actor, detail FROM audit_log WHERE event = 'authz_admin' AND user_id = %s",
        made.user.id,
    )
    assert row.actor == admin.id
    assert row.detail == {"resent": "verification", "flow": made.verification_flow_id}
    assert not [each for each in world.sink.to("root@example.com") if code in str(each)]


async def test_administrators_alone_may_resend(world: World) -> None:
    member = await world.member(EMAIL)
    assert await reason_of(resend(world, member, member.id)) == "FORBIDDEN"


async def test_one_code_a_minute_and_five_an_hour_are_resent(world: World) -> None:
    admin = await world.admin("root@example.com")
    user_id = (await world.register(EMAIL)).user.id
    for _ in range(5):
        await resend(world, admin, user_id)
        assert await reason_of(resend(world, admin, user_id)) == "TOO_MANY_REQUESTS"
        await world.sql(
            "UPDATE code_limits SET send_times = ARRAY(SELECT sent - interval '61 s' "
            "FROM unnest(send_times) AS sent)"
        )
    assert await reason_of(resend(world, admin, user_id)) == "TOO_MANY_REQUESTS"
    assert len(world.sink.to(EMAIL)) <= 6


async def test_strangers_spend_no_limit_of_a_resent_code(world: World) -> None:
    admin = await world.admin("root@example.com")
    user_id = (await world.register(EMAIL)).user.id
    async with calling_as(world, "gateway") as auth:
        for i in range(20):
            place = (("x-lockstep-client-address", f"198.51.100.{i}"),)
            request = auth_pb.RequestPasswordResetRequest(email=EMAIL)
            await auth.RequestPasswordReset(request, metadata=place)
    assert (await resend(world, admin, user_id)).purpose == "reset"


ENDED = {
    "spent": "UPDATE codes SET spend_time = now()",
    "over": "UPDATE codes SET expire_time = now()",
    "exhausted": "UPDATE codes SET tries = 5",
    "of older credentials": "UPDATE users SET credential_version = credential_version + 1",
    "without a right code": "UPDATE codes SET code_hmac = NULL",
}


@pytest.mark.parametrize("how", ENDED)
async def test_a_flow_that_has_ended_gets_no_code(world: World, how: str) -> None:
    admin = await world.admin("root@example.com")
    user_id = (await world.register(EMAIL)).user.id
    await world.sink.wait_for(EMAIL)
    await world.sql(ENDED[how])
    assert await reason_of(resend(world, admin, user_id)) == "ILLEGAL_STATE"
    assert len(world.sink.to(EMAIL)) == 1


async def test_a_change_of_address_whose_session_has_expired_gets_no_code(world: World) -> None:
    admin = await world.admin("root@example.com")
    member = await world.member(EMAIL)
    await world.sql("UPDATE codes SET spend_time = now()")
    await ask_email(world, member, NEW)
    await world.sql("UPDATE sessions SET expire_time = now() WHERE user_id = %s", member.id)
    assert await reason_of(resend(world, admin, member.id)) == "ILLEGAL_STATE"


async def test_a_sign_in_that_waits_for_a_second_factor_has_no_code_to_resend(
    world: World,
) -> None:
    admin = await world.admin("root@example.com")
    user_id = (await world.register(EMAIL)).user.id
    await world.sql("UPDATE codes SET purpose = 'mfa'")
    assert await reason_of(resend(world, admin, user_id)) == "ILLEGAL_STATE"


async def test_a_wrong_code_at_the_same_time_neither_hangs_nor_spoils_the_new_one(
    world: World,
) -> None:
    admin = await world.admin("root@example.com")
    made = await world.register(EMAIL)
    wrong = auth_pb.VerifyEmailRequest(flow_id=made.verification_flow_id, email=EMAIL, otp=WRONG)
    async with asyncio.timeout(20):
        await asyncio.gather(
            resend(world, admin, made.user.id),
            *(world.auth.VerifyEmail(wrong) for _ in range(4)),
            return_exceptions=True,
        )
    flow_id = made.verification_flow_id
    flow = await opened(world, Purpose.VERIFICATION, flow_id, EMAIL, count=2)
    await world.sql("UPDATE codes SET tries = 0")
    assert await present(world, flow) is None


async def test_a_user_who_is_not_there_is_not_found(world: World) -> None:
    admin = await world.admin("root@example.com")
    missing = "0198a000-0000-7000-8000-000000000001"
    with pytest.raises(NotFound) as caught:
        await resend(world, admin, missing)
    assert caught.value.reason == "USER_NOT_FOUND"


async def test_the_command_resends_the_code_of_an_account_and_of_a_sign_up(world: World) -> None:
    await world.register(EMAIL)
    code, output = await lockstep(world, "admin", "resend-code", "--email", EMAIL)
    assert code == 0, output
    assert f"mailed a new code (verification) for the flow of {EMAIL}" in output
    assert await world.sink.code(EMAIL, count=2)

    waiting = "grace@example.com"
    request = auth_pb.SendOtpRequest(email=waiting, password=PASSWORD)
    flow_id = (await world.auth.SendOtp(request)).flow_id
    code, output = await lockstep(world, "admin", "resend-code", "--email", waiting)
    assert code == 0, output
    assert f"mailed a new code (signup) for the flow of {waiting}" in output
    flow = await opened(world, Purpose.SIGNUP, flow_id, waiting, count=2)
    assert await present(world, flow) is None

    code, output = await lockstep(world, "admin", "resend-code", "--email", NOBODY)
    assert (code, output) == (1, f"there is no account of {NOBODY}")


async def test_a_sign_up_that_has_become_an_account_gets_no_code(world: World) -> None:
    await world.auth.SendOtp(auth_pb.SendOtpRequest(email=EMAIL, password=PASSWORD))
    await world.register(EMAIL)
    await world.sql("UPDATE codes SET spend_time = now() WHERE purpose = 'verification'")
    async with calling_as(world, "operator") as auth:
        with pytest.raises(FailedPrecondition) as caught:
            await auth.ResendCode(auth_pb.ResendCodeRequest(email=EMAIL))
    assert caught.value.reason == "ILLEGAL_STATE"
