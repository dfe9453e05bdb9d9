"""The second factor: added, used once for each code, counted, and taken off."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from urllib.parse import unquote

import pyotp
import pytest
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep_clients import InvalidArgument, LockstepError, PermissionDenied

from services.auth.settings import AuthSettings
from services.common import key_files
from tests.auth.test_operating import lockstep
from tests.auth.test_session_list import grow_old, lives, reason_of
from tests.auth.world import PASSWORD, Member, Sink, World, calling_as, serving_auth

EMAIL = "ada@example.com"
ME = auth_pb.GetUserRequest(user_id="me")


def code_of(secret: str, *, steps: int = 0) -> str:
    return pyotp.TOTP(secret).at(time.time(), counter_offset=steps)


def wrong_code(secret: str) -> str:
    near = {code_of(secret, steps=steps) for steps in range(-3, 4)}
    return next(
        each
        for each in ("000000", "111111", "222222", "333333", "444444", "555555", "666666", "777777")
        if each not in near
    )


async def forget_steps(world: World) -> None:
    """Let codes count again, as if half a minute had passed."""
    await world.sql("UPDATE totps SET last_step = 0")


async def enrol(world: World, member: Member) -> tuple[str, list[str]]:
    """Switch the second factor on; return the seed and the recovery codes."""
    made = await world.auth.CreateTotp(auth_pb.CreateTotpRequest(), metadata=member.proof)
    confirm = auth_pb.ConfirmTotpRequest(code=code_of(made.secret))
    codes = (await world.auth.ConfirmTotp(confirm, metadata=member.proof)).recovery_codes
    await forget_steps(world)
    return made.secret, list(codes)


async def half(world: World, name: str = "") -> str:
    """Log in with the password, and return the token for the second factor."""
    answer = await world.auth.Login(
        auth_pb.LoginRequest(email=EMAIL, password=PASSWORD, client_name=name)
    )
    assert (answer.token, answer.refresh_token, answer.expires_in) == ("", "", 0)
    return answer.mfa_token


async def verify(world: World, token: str, code: str = "", recovery_code: str = "") -> Member:
    request = auth_pb.VerifyMfaRequest(mfa_token=token, code=code, recovery_code=recovery_code)
    answer = await world.auth.VerifyMfa(request)
    return Member(answer.user_id, answer.email, answer.token, answer.refresh_token)


async def test_a_login_takes_the_password_and_a_code(world: World) -> None:
    member = await world.member(EMAIL)
    assert not (await world.auth.GetUser(ME, metadata=member.proof)).second_factor
    secret, _ = await enrol(world, member)
    assert (await world.auth.GetUser(ME, metadata=member.proof)).second_factor
    assert "second factor" in (await world.sink.wait_for(EMAIL, count=2))["subject"]

    token = await half(world, "Phone")
    assert len(await world.sql("SELECT 1 FROM sessions")) == 1
    again = await verify(world, token, code_of(secret))

    assert await lives(world, again)
    sessions = await world.auth.ListSessions(
        auth_pb.ListSessionsRequest(user_id="me"), metadata=again.proof
    )
    assert [(each.client_name, each.second_factor) for each in sessions.sessions] == [
        ("Phone", True),
        ("", True),
    ]
    events = [row.event for row in await world.sql("SELECT event FROM audit_log")]
    assert {"authn_mfa_change", "authn_login_first_factor"} <= set(events)


async def test_the_seed_is_shown_as_a_link_that_apps_read(world: World) -> None:
    member = await world.member(EMAIL)
    made = await world.auth.CreateTotp(auth_pb.CreateTotpRequest(), metadata=member.proof)
    parsed = pyotp.parse_uri(made.otpauth_uri)
    assert isinstance(parsed, pyotp.TOTP)
    assert (parsed.secret, parsed.name, parsed.issuer) == (made.secret, EMAIL, "Lockstep")
    [row] = await world.sql("SELECT totps::text AS line FROM totps")
    assert made.secret not in row.line
    # It counts from its first code on.
    await world.login(EMAIL)
    assert (await world.login(EMAIL)).token
    wrong = auth_pb.ConfirmTotpRequest(code=wrong_code(made.secret))
    assert await reason_of(world.auth.ConfirmTotp(wrong, metadata=member.proof)) == "OTP_INVALID"
    assert (await world.login(EMAIL)).token


async def test_an_app_shows_the_name_of_the_product(
    make_settings: Callable[..., AuthSettings], mail: tuple[Sink, int]
) -> None:
    settings = make_settings(product_name="Widgets: by Ann")
    async with serving_auth(settings, mail[0]) as world:
        member = await world.member(EMAIL)
        made = await world.auth.CreateTotp(auth_pb.CreateTotpRequest(), metadata=member.proof)
    parsed = pyotp.parse_uri(made.otpauth_uri)
    assert (parsed.name, parsed.issuer) == (EMAIL, "Widgets  by Ann")
    [label] = re.findall("totp/([^?]*)", made.otpauth_uri)
    assert unquote(label) == f"Widgets  by Ann:{EMAIL}"


async def test_a_second_factor_cannot_be_replaced_before_it_is_deleted(world: World) -> None:
    member = await world.member(EMAIL)
    confirm = auth_pb.ConfirmTotpRequest(code="123456")
    auth, proof = world.auth, member.proof
    assert await reason_of(auth.ConfirmTotp(confirm, metadata=proof)) == "ILLEGAL_STATE"
    assert (
        await reason_of(auth.DeleteTotp(auth_pb.DeleteTotpRequest(), metadata=proof))
        == "ILLEGAL_STATE"
    )
    await enrol(world, member)
    for call in (
        auth.CreateTotp(auth_pb.CreateTotpRequest(), metadata=proof),
        auth.ConfirmTotp(confirm, metadata=proof),
    ):
        assert await reason_of(call) == "ILLEGAL_STATE"


async def test_a_code_counts_once(world: World) -> None:
    secret, _ = await enrol(world, await world.member(EMAIL))
    tokens = [await half(world) for _ in range(3)]
    code = code_of(secret)
    tries = [reason_of(verify(world, token, code)) for token in tokens[:2]]
    assert sorted(map(str, await asyncio.gather(*tries))) == ["None", "OTP_INVALID"]
    assert await reason_of(verify(world, tokens[2], code)) == "OTP_INVALID"
    earlier = code_of(secret, steps=-1)  # one that counted, had it come first
    assert await reason_of(verify(world, tokens[2], earlier)) == "OTP_INVALID"
    later = code_of(secret, steps=1)
    assert await reason_of(verify(world, tokens[2], later)) is None


async def test_of_two_requests_with_one_token_one_opens_a_session(world: World) -> None:
    secret, codes = await enrol(world, await world.member(EMAIL))
    token = await half(world)
    tries = (verify(world, token, code_of(secret)), verify(world, token, "", codes[0]))
    reasons = await asyncio.gather(*map(reason_of, tries))
    assert sorted(map(str, reasons)) == ["None", "OTP_INVALID"]
    assert len(await world.sql("SELECT 1 FROM sessions")) == 2


async def test_each_recovery_code_counts_once_and_the_owner_is_told(world: World) -> None:
    _, codes = await enrol(world, await world.member(EMAIL))
    assert len(set(codes)) == 10
    assert {len(each) for each in codes} == {24}
    for row in await world.sql("SELECT recovery_codes::text AS line FROM recovery_codes"):
        assert not any(each in row.line for each in codes)
    token, other = await half(world), await half(world)
    typed = "-".join(codes[0][i : i + 4] for i in range(0, 24, 4)).lower()
    tries = [reason_of(verify(world, each, "", typed)) for each in (token, other)]
    assert sorted(map(str, await asyncio.gather(*tries))) == ["None", "OTP_INVALID"]
    mail = await world.sink.wait_for(EMAIL, about="recovery code")
    assert "9 of them" in mail.as_string()
    assert await reason_of(verify(world, await half(world), "", codes[1])) is None


async def test_a_token_ends_with_its_time_and_its_tries(world: World) -> None:
    secret, _ = await enrol(world, await world.member(EMAIL))
    token = await half(world)
    for _ in range(5):
        assert await reason_of(verify(world, token, wrong_code(secret))) == "OTP_INVALID"
    await world.sql("DELETE FROM place_failures")
    assert await reason_of(verify(world, token, code_of(secret))) == "OTP_EXHAUSTED"
    late = await half(world)
    await world.sql("UPDATE codes SET expire_time = clock_timestamp() WHERE purpose = 'mfa'")
    assert await reason_of(verify(world, late, code_of(secret))) == "OTP_EXPIRED"
    good = await half(world)
    await verify(world, good, code_of(secret))
    await forget_steps(world)
    assert await reason_of(verify(world, good, code_of(secret))) == "OTP_INVALID"


async def test_made_up_tokens_are_refused(world: World) -> None:
    secret, _ = await enrol(world, await world.member(EMAIL))
    token = await half(world)
    other = token[:-1] + ("A" if token[-1] != "A" else "B")
    for made_up in ("x", token[:-1], token[:40] + "A" * 24, other, "\N{PILE OF POO}" * 64):
        assert await reason_of(verify(world, made_up, code_of(secret))) == "OTP_INVALID"
    await verify(world, token, code_of(secret))


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"code": "123456"}, "mfa_token"),
        ({"mfa_token": "x"}, "code"),
        ({"mfa_token": "x", "code": "12345"}, "code"),
        ({"mfa_token": "x", "recovery_code": "short"}, "recovery_code"),
        ({"mfa_token": "x", "code": "123456", "recovery_code": "A" * 24}, "recovery_code"),
    ],
)
async def test_a_slip_costs_no_try(world: World, fields: dict[str, str], named: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await world.auth.VerifyMfa(auth_pb.VerifyMfaRequest(**fields))
    assert [each.field for each in caught.value.violations] == [named]


async def test_wrong_codes_count_as_wrong_passwords_and_a_right_password_clears_none(
    world: World,
) -> None:
    secret, _ = await enrol(world, await world.member(EMAIL))
    await world.stop_clock()
    for _ in range(2):
        token = await half(world)
        for _ in range(3):
            assert await reason_of(verify(world, token, wrong_code(secret))) == "OTP_INVALID"
    with pytest.raises(LockstepError) as caught:
        await half(world)
    assert caught.value.reason == "TOO_MANY_REQUESTS"
    assert await reason_of(verify(world, token, code_of(secret))) == "TOO_MANY_REQUESTS"
    # The owner, elsewhere, gets in.
    async with calling_as(world, "gateway") as gateway:
        home = (("x-lockstep-client-address", "198.51.100.7"),)
        request = auth_pb.LoginRequest(email=EMAIL, password=PASSWORD)
        opened = await gateway.Login(request, metadata=home)
        proof = auth_pb.VerifyMfaRequest(mfa_token=opened.mfa_token, code=code_of(secret))
        assert (await gateway.VerifyMfa(proof, metadata=home)).token


async def test_with_many_guesses_at_once_a_place_gets_the_free_ones(world: World) -> None:
    secret, _ = await enrol(world, await world.member(EMAIL))
    tokens = [await half(world) for _ in range(12)]
    await world.stop_clock()
    tries = (reason_of(verify(world, token, wrong_code(secret))) for token in tokens)
    reasons = await asyncio.gather(*tries)
    assert reasons.count("OTP_INVALID") <= 6
    assert set(reasons) == {"OTP_INVALID", "TOO_MANY_REQUESTS"}


async def test_a_fresh_session_needs_both_factors(world: World) -> None:
    member = await world.member(EMAIL)
    only_password = world.of(await world.login(EMAIL))
    secret, _ = await enrol(world, member)
    delete = auth_pb.DeleteTotpRequest()
    # The password was proven just now, but for a session without the second factor.
    refused = world.auth.DeleteTotp(delete, metadata=only_password.proof)
    assert await reason_of(refused) == "REAUTHENTICATION_REQUIRED"

    await grow_old(world)
    with pytest.raises(PermissionDenied):
        await world.auth.DeleteTotp(delete, metadata=member.proof)
    again = await world.auth.Reauthenticate(
        auth_pb.ReauthenticateRequest(password=PASSWORD), metadata=member.proof
    )
    assert (again.token, again.refresh_token) == ("", "")
    assert await lives(world, member)  # until the second factor is there
    fresh = await verify(world, again.mfa_token, code_of(secret))
    assert not await lives(world, member)
    await world.auth.DeleteTotp(delete, metadata=fresh.proof)
    assert not await lives(world, only_password)
    assert await lives(world, fresh)
    assert (await world.login(EMAIL)).token
    assert await world.sql("SELECT 1 FROM recovery_codes") == []
    await world.sink.wait_for(EMAIL, about="switched off")


async def test_wrong_codes_of_a_session_end_it_and_strangers_hold_up_none(world: World) -> None:
    member = await world.member(EMAIL)
    secret, _ = await enrol(world, member)
    ask = auth_pb.ReauthenticateRequest(password=PASSWORD)

    async def tokens() -> str:
        return (await world.auth.Reauthenticate(ask, metadata=member.proof)).mfa_token

    await world.sql(
        "INSERT INTO place_failures (account_hmac, place_hmac, failures, wait_until) "
        "SELECT account_hmac, place_hmac, 9, clock_timestamp() + interval '1 hour' "
        "FROM known_places"
    )
    reasons = []
    for _ in range(2):
        token = await tokens()
        reasons += [await reason_of(verify(world, token, wrong_code(secret))) for _ in range(5)]
    assert reasons == ["OTP_INVALID"] * 9 + ["SESSION_ENDED"]
    assert not await lives(world, member)


async def test_a_challenge_ends_with_the_session_that_it_replaces(world: World) -> None:
    member = await world.member(EMAIL)
    secret, _ = await enrol(world, member)
    ask = auth_pb.ReauthenticateRequest(password=PASSWORD)
    token = (await world.auth.Reauthenticate(ask, metadata=member.proof)).mfa_token
    await world.auth.Logout(auth_pb.LogoutRequest(), metadata=member.proof)
    assert await reason_of(verify(world, token, code_of(secret))) == "OTP_INVALID"


async def test_a_reset_by_mail_leaves_the_second_factor_on(world: World) -> None:
    await enrol(world, await world.member(EMAIL))
    flow = await world.auth.RequestPasswordReset(auth_pb.RequestPasswordResetRequest(email=EMAIL))
    otp = await world.sink.code(EMAIL, about="password reset code")
    await world.auth.ResetPassword(
        auth_pb.ResetPasswordRequest(
            flow_id=flow.flow_id, email=EMAIL, otp=otp, new_password="Another-horse-8"
        )
    )
    answer = await world.login(EMAIL, "Another-horse-8")
    assert (answer.token, bool(answer.mfa_token)) == ("", True)


async def test_administrators_take_off_what_the_owner_has_lost(world: World) -> None:
    admin, member = await world.admin("root@example.com"), await world.member(EMAIL)
    await enrol(world, member)
    request = auth_pb.ResetMfaRequest(user_id=member.id)
    assert await reason_of(world.auth.ResetMfa(request, metadata=member.proof)) == "FORBIDDEN"
    await grow_old(world)
    refused = world.auth.ResetMfa(request, metadata=admin.proof)
    assert await reason_of(refused) == "REAUTHENTICATION_REQUIRED"
    admin = world.of(await world.login("root@example.com"))
    for _ in range(2):
        user = await world.auth.ResetMfa(request, metadata=admin.proof)
        assert (user.id, user.second_factor) == (member.id, False)
    assert not await lives(world, member)
    assert (await world.login(EMAIL)).token
    await world.sink.wait_for(EMAIL, about="administrator")
    rows = await world.sql("SELECT actor, detail FROM audit_log WHERE event = 'authz_admin'")
    assert [(row.actor, row.detail) for row in rows] == [(admin.id, {"reset": "mfa"})]


async def test_the_command_takes_it_off(world: World) -> None:
    await enrol(world, await world.member(EMAIL))
    code, output = await lockstep(world, "admin", "reset-mfa", "--email", EMAIL)
    assert code == 0, output
    assert "has no second factor" in output
    assert (await world.login(EMAIL)).token


async def test_a_seed_is_sealed_anew_when_the_key_was_replaced(world: World) -> None:
    secret, _ = await enrol(world, await world.member(EMAIL))
    key_files.rotate_secret(world.keys, "auth", "totp")
    await verify(world, await half(world), code_of(secret))
    key_files.drop_old_secret(world.keys, "auth", "totp")
    await forget_steps(world)
    await verify(world, await half(world), code_of(secret))


async def drop_old(world: World, name: str) -> tuple[int, str]:
    return await lockstep(world, "keys", "rotate-secret", "auth", name, "--drop-old")


async def test_no_seed_is_lost_with_an_old_key_also_one_that_was_never_used(world: World) -> None:
    secret, _ = await enrol(world, await world.member(EMAIL))
    key_files.rotate_secret(world.keys, "auth", "totp")
    code, output = await drop_old(world, "totp")
    assert code == 0, output
    await forget_steps(world)
    await verify(world, await half(world), code_of(secret))
    assert len(key_files.keys_of_secret(world.keys, "auth", "totp")) == 1


async def test_a_key_that_a_process_still_seals_with_is_not_dropped(world: World) -> None:
    await enrol(world, await world.member(EMAIL))
    [old] = key_files.keys_of_secret(world.keys, "auth", "totp")
    key_files.rotate_secret(world.keys, "auth", "totp")
    [sealed] = await world.sql("SELECT sealed FROM totps")
    # Another process seals with the old key at every change of the row.
    await world.sql(
        "CREATE FUNCTION seal_as_before() RETURNS trigger LANGUAGE plpgsql AS "
        "$$BEGIN NEW.sealed := OLD.sealed; RETURN NEW; END$$"
    )
    await world.sql(
        "CREATE TRIGGER seal_as_before BEFORE UPDATE ON totps "
        "FOR EACH ROW EXECUTE FUNCTION seal_as_before()"
    )
    code, output = await drop_old(world, "totp")
    assert code == 1
    assert output.startswith("1 rows are still sealed with the old key")
    assert key_files.keys_of_secret(world.keys, "auth", "totp")[1] == old
    [row] = await world.sql("SELECT sealed FROM totps")
    assert row.sealed == sealed.sealed


async def test_waiting_mail_survives_the_drop_and_what_is_spoilt_is_told(
    world: World,
) -> None:
    await world.sql("ALTER TABLE outbox ALTER next_try_time SET DEFAULT now() + interval '1 day'")
    await world.register("late@example.com")
    await world.sql(
        "INSERT INTO outbox (id, sealed, expire_time) "
        "VALUES (gen_random_uuid(), 'x', now() + interval '1 day')"
    )
    key_files.rotate_secret(world.keys, "auth", "outbox")
    code, output = await drop_old(world, "outbox")
    assert code == 0, output
    assert "1 rows cannot be opened with any key" in output
    assert world.sink.to("late@example.com") == []
    await world.sql("UPDATE outbox SET next_try_time = now()")
    await world.sink.wait_for("late@example.com")


async def test_with_an_account_its_second_factor_goes(world: World) -> None:
    member = await world.member(EMAIL)
    await enrol(world, member)
    await world.auth.DeleteUser(auth_pb.DeleteUserRequest(user_id="me"), metadata=member.proof)
    await world.settled()
    for table in ("totps", "recovery_codes", "codes", "sessions"):
        assert await world.sql(f"SELECT 1 FROM {table}") == []
