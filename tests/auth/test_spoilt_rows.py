"""Spoilt rows: a column that is parsed may hold anything, and is then refused."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pyotp
import pytest
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep_clients import LockstepError

from tests.auth.world import PASSWORD, World, accept, invite

EMAIL = "ada@example.com"
NEW = "ada@example.org"
SPOILT = "unreadable-value"


async def _login(world: World, spoilt: str) -> None:
    await world.register(EMAIL)
    await world.sql("UPDATE users SET password_hash = %s", spoilt)
    await world.login(EMAIL)


async def _change_password(world: World, spoilt: str) -> None:
    member = await world.member(EMAIL)
    await world.sql("UPDATE users SET password_hash = %s", spoilt)
    request = auth_pb.ChangePasswordRequest(
        current_password=PASSWORD, new_password="Another-horse-8"
    )
    await world.auth.ChangePassword(request, metadata=member.proof)


async def _sign_up(world: World, spoilt: str) -> None:
    send = auth_pb.SendOtpRequest(email=EMAIL, password=PASSWORD)
    flow_id = (await world.auth.SendOtp(send)).flow_id
    otp = await world.sink.code(EMAIL)
    await world.sql("UPDATE codes SET payload = %s", spoilt)
    await world.auth.VerifyOtp(auth_pb.VerifyOtpRequest(flow_id=flow_id, email=EMAIL, otp=otp))


async def _accept(world: World, spoilt: str) -> None:
    token = await invite(world, EMAIL)
    await world.sql("UPDATE codes SET payload = %s", spoilt)
    await accept(world, token)


async def _change_email(world: World, spoilt: str) -> None:
    member = await world.member(EMAIL)
    request = auth_pb.ChangeEmailRequest(new_email=NEW, password=PASSWORD)
    flow_id = (await world.auth.ChangeEmail(request, metadata=member.proof)).flow_id
    otp = await world.sink.code(NEW)
    await world.sql("UPDATE codes SET payload = %s WHERE purpose = 'email_change'", spoilt)
    await world.auth.VerifyEmail(auth_pb.VerifyEmailRequest(flow_id=flow_id, email=NEW, otp=otp))


async def _second_factor(world: World, spoilt: str) -> None:
    member = await world.member(EMAIL)
    made = await world.auth.CreateTotp(auth_pb.CreateTotpRequest(), metadata=member.proof)
    await world.sql("UPDATE totps SET sealed = %s::bytea", spoilt.encode())
    code = pyotp.TOTP(made.secret).now()
    await world.auth.ConfirmTotp(auth_pb.ConfirmTotpRequest(code=code), metadata=member.proof)


OBJECTS = ("{}", '{"typed": 7}', f'{{"typed": "{SPOILT}"}}', f'"{SPOILT}"', f'["{SPOILT}"]')
Use = Callable[[World, str], Awaitable[Any]]
CASES: tuple[tuple[Use, str, tuple[str, str]], ...] = (
    *(
        (use, spoilt, ("INVALID_CREDENTIALS", "a stored password hash is malformed"))
        for use in (_login, _change_password)
        for spoilt in ("", SPOILT, f"$2b$04${SPOILT}", f"$2b$99${'a' * 53}")
    ),
    *(
        (_second_factor, spoilt, ("OTP_INVALID", "the seed of a second factor cannot be read"))
        for spoilt in ("", SPOILT)
    ),
    *(
        (_accept, spoilt, ("INVITATION_NOT_FOUND", "an invitation cannot be read"))
        for spoilt in OBJECTS
    ),
    *(
        (use, spoilt, ("OTP_INVALID", "the payload of a flow is malformed"))
        for use in (_sign_up, _change_email)
        for spoilt in OBJECTS
    ),
)


@pytest.mark.parametrize(("use", "spoilt", "told"), CASES)
async def test_a_spoilt_value_is_refused_and_logged_without_itself(
    world: World,
    capsys: pytest.CaptureFixture[str],
    use: Use,
    spoilt: str,
    told: tuple[str, str],
) -> None:
    reason, event = told
    with pytest.raises(LockstepError) as caught:
        await use(world, spoilt)
    assert caught.value.reason == reason
    logged = "".join(capsys.readouterr())
    assert event in logged
    assert SPOILT not in logged


async def test_a_spoilt_mail_is_named_in_the_log_and_holds_no_other_up(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    await world.sql(
        "INSERT INTO outbox (id, sealed, expire_time) VALUES "
        "('00000000-0000-0000-0000-000000000007', %s, clock_timestamp() + interval '1 day')",
        SPOILT.encode(),
    )
    await world.register(EMAIL)
    await world.sink.wait_for(EMAIL)
    logged = ""
    async with asyncio.timeout(10):
        while "mail failed" not in logged:
            logged += "".join(capsys.readouterr())
            await asyncio.sleep(0.01)
    assert "00000000-0000-0000-0000-000000000007" in logged
    assert SPOILT not in logged
