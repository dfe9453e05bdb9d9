"""Secrets: none is in a log, and each is only in its own table."""

from __future__ import annotations

import logging
import re

import pytest
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep_clients import LockstepError

from tests.auth.world import World
from tests.fakes.participants import FakeProfile

ADA, BOB = "ada@example.com", "bob@example.com"
PASSWORDS = [f"Secret-horse-{number}!" for number in range(10)]


@pytest.fixture
def is_noisy(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)


async def _day(world: World, profile: FakeProfile) -> tuple[list[str], list[str]]:
    """Use every method, and return the codes and tokens of it."""
    auth, codes, tokens = world.auth, [], []
    register = auth_pb.RegisterRequest(
        email=ADA, password=PASSWORDS[0], full_name="Ada Lovelace", course="Analysis"
    )
    registered = await auth.Register(register, metadata=(("idempotency-key", "a"),))
    codes.append(await world.sink.code(ADA))
    verify = auth_pb.VerifyEmailRequest(
        flow_id=registered.verification_flow_id, email=ADA, otp=codes[0]
    )
    await auth.VerifyEmail(verify)
    sent = await auth.SendOtp(auth_pb.SendOtpRequest(email=BOB, password=PASSWORDS[1]))
    codes.append(await world.sink.code(BOB))
    prove = auth_pb.VerifyOtpRequest(flow_id=sent.flow_id, email=BOB, otp=codes[1])
    profile.is_down = True
    with pytest.raises(LockstepError):
        await auth.VerifyOtp(prove)
    profile.is_down = False
    for password in (PASSWORDS[2], PASSWORDS[3] * 9):
        with pytest.raises(LockstepError):
            await world.login(ADA, password)
    login = await world.login(ADA, PASSWORDS[0])
    member = world.of(login)
    renewed = await auth.RefreshToken(
        auth_pb.RefreshTokenRequest(refresh_token=login.refresh_token)
    )
    tokens += [login.token, login.refresh_token, renewed.token, renewed.refresh_token]
    change = auth_pb.ChangePasswordRequest(current_password=PASSWORDS[0], new_password=PASSWORDS[4])
    await auth.ChangePassword(change, metadata=member.proof)
    with pytest.raises(LockstepError):
        await auth.ChangePassword(change, metadata=member.proof)
    with pytest.raises(LockstepError):
        await auth.Register(auth_pb.RegisterRequest(email="x", password=PASSWORDS[5]))
    reset = await auth.RequestPasswordReset(auth_pb.RequestPasswordResetRequest(email=ADA))
    codes.append(await world.sink.code(ADA, count=3))
    await auth.ResetPassword(
        auth_pb.ResetPasswordRequest(
            flow_id=reset.flow_id, email=ADA, otp=codes[2], new_password=PASSWORDS[6]
        )
    )
    again = world.of(await world.login(ADA, PASSWORDS[6]))
    tokens += [again.token, again.refresh_token]
    await auth.ChangeEmail(
        auth_pb.ChangeEmailRequest(new_email="ada@example.org", password=PASSWORDS[6]),
        metadata=again.proof,
    )
    codes.append(await world.sink.code("ada@example.org"))
    with pytest.raises(LockstepError):
        await auth.GetUser(
            auth_pb.GetUserRequest(user_id="me"), metadata=(("authorization", PASSWORDS[7]),)
        )
    return codes, tokens


async def test_no_secret_is_found_where_it_does_not_belong(
    world: World,
    profile: FakeProfile,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    is_noisy: None,
) -> None:
    codes, tokens = await _day(world, profile)
    # The sink's own log is that of a mail server, which sees all mail.
    noted = [record.getMessage() for record in caplog.records if record.name != "mail.log"]
    logs = "\n".join([*capsys.readouterr(), *noted])
    assert "lockstep.auth.v1.AuthService/Login" in logs
    tables = {name: await _dump(world, name) for name in await _tables(world)}
    everywhere = logs + "".join(tables.values())
    for secret in PASSWORDS + tokens + [token.rpartition(".")[2] for token in tokens]:
        assert secret not in everywhere
    for code in codes:
        assert not re.search(rf"(?<![\d.]){code}(?!\d)", everywhere)
    own = {"users", "codes"}  # hashes are the users', and those of sign-ups under way
    elsewhere = logs + "".join(dump for name, dump in tables.items() if name not in own)
    assert "$2b$" not in elsewhere
    assert "$2b$" in tables["users"]


async def _tables(world: World) -> list[str]:
    rows = await world.sql(
        "SELECT table_name::text AS name FROM information_schema.tables "
        "WHERE table_schema = 'public' AND table_name <> 'alembic_version'"
    )
    return [row.name for row in rows]


async def _dump(world: World, table: str) -> str:
    return "\n".join(row.line for row in await world.sql(f"SELECT t::text AS line FROM {table} t"))
