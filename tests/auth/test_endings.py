"""What a credential or a session has opened ends with it."""

from __future__ import annotations

import ast
import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pyotp
import pytest
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep_clients import Aborted, LockstepError, Unauthenticated

from services.auth.domain.codes import Codes
from services.auth.domain.passwords import Hasher
from services.auth.model import Purpose
from tests.auth.world import PASSWORD, Member, World, accept, invite
from tests.conftest import SERVICES
from tests.fakes.participants import FakeOrders

EMAIL = "ada@example.com"
NEW = "ada@example.org"
OTHER = "ada@example.net"
NEW_PASSWORD = "Another-horse-8"
ME = auth_pb.GetUserRequest(user_id="me")
SUBJECTS = {
    Purpose.SIGNUP: "is your sign-up code",
    Purpose.VERIFICATION: "confirms your e-mail address",
    Purpose.RESET: "is your password reset code",
    Purpose.EMAIL_CHANGE: "confirms your new e-mail address",
}

# They have opened nothing of an account that there is.
OF_NO_ACCOUNT = (Purpose.SIGNUP, Purpose.INVITATION)


@dataclass(frozen=True)
class Opened:
    """A flow that was opened, with its right code."""

    purpose: Purpose
    flow_id: str
    email: str
    otp: str

    @property
    def fields(self) -> dict[str, str]:
        return {"flow_id": self.flow_id, "email": self.email, "otp": self.otp}


@dataclass(frozen=True)
class Stage:
    """A user with an open flow of every purpose, and all that may end them."""

    world: World
    orders: FakeOrders
    member: Member
    admin: Member
    opened: list[Opened]


async def may_send_again(world: World) -> None:
    await world.sql("UPDATE code_limits SET send_times = '{}'")


async def opened(
    world: World, purpose: Purpose, flow_id: str, email: str, *, count: int = 1
) -> Opened:
    otp = await world.sink.code(email, about=SUBJECTS[purpose], count=count)
    return Opened(purpose, flow_id, email, otp)


async def ask_reset(world: World, *, count: int = 1) -> Opened:
    request = auth_pb.RequestPasswordResetRequest(email=EMAIL)
    flow_id = (await world.auth.RequestPasswordReset(request)).flow_id
    return await opened(world, Purpose.RESET, flow_id, EMAIL, count=count)


async def ask_email(world: World, member: Member, email: str) -> Opened:
    request = auth_pb.ChangeEmailRequest(new_email=email, password=PASSWORD)
    flow_id = (await world.auth.ChangeEmail(request, metadata=member.proof)).flow_id
    return await opened(world, Purpose.EMAIL_CHANGE, flow_id, email)


async def ask_second_factor(world: World, member: Member) -> Opened:
    """Switch the second factor on, and log in with the password alone."""
    proof = member.proof
    made = await world.auth.CreateTotp(auth_pb.CreateTotpRequest(), metadata=proof)
    totp = pyotp.TOTP(made.secret)
    await world.auth.ConfirmTotp(auth_pb.ConfirmTotpRequest(code=totp.now()), metadata=proof)
    token = (await world.login(EMAIL)).mfa_token
    return Opened(Purpose.MFA, token, EMAIL, totp.at(time.time(), counter_offset=1))


async def present(world: World, flow: Opened, password: str = NEW_PASSWORD) -> str | None:
    """Present a code; return the reason of the refusal, or None."""
    auth = world.auth
    calls: dict[Purpose, Callable[[], Awaitable[Any]]] = {
        Purpose.SIGNUP: lambda: auth.VerifyOtp(auth_pb.VerifyOtpRequest(**flow.fields)),
        Purpose.VERIFICATION: lambda: auth.VerifyEmail(auth_pb.VerifyEmailRequest(**flow.fields)),
        Purpose.EMAIL_CHANGE: lambda: auth.VerifyEmail(auth_pb.VerifyEmailRequest(**flow.fields)),
        Purpose.MFA: lambda: auth.VerifyMfa(
            auth_pb.VerifyMfaRequest(mfa_token=flow.flow_id, code=flow.otp)
        ),
        Purpose.INVITATION: lambda: accept(world, flow.flow_id),
        Purpose.RESET: lambda: auth.ResetPassword(
            auth_pb.ResetPasswordRequest(**flow.fields, new_password=password)
        ),
    }
    try:
        await calls[flow.purpose]()
    except LockstepError as error:
        return error.reason
    return None


async def open_all(world: World) -> tuple[Member, list[Opened]]:
    """Register a user, and open a flow of every purpose."""
    invited = Opened(Purpose.INVITATION, await invite(world, EMAIL), EMAIL, "")
    sign_up = await world.auth.SendOtp(auth_pb.SendOtpRequest(email=EMAIL, password=PASSWORD))
    first = await opened(world, Purpose.SIGNUP, sign_up.flow_id, EMAIL)
    made = await world.register(EMAIL)
    second = await opened(world, Purpose.VERIFICATION, made.verification_flow_id, EMAIL)
    member = world.of(await world.login(EMAIL))
    third = await ask_second_factor(world, member)
    flows = [invited, first, second, third]
    flows += [await ask_reset(world), await ask_email(world, member, NEW)]
    assert {flow.purpose for flow in flows} == set(Purpose)
    return member, flows


async def _change_password(stage: Stage) -> None:
    request = auth_pb.ChangePasswordRequest(current_password=PASSWORD, new_password=NEW_PASSWORD)
    await stage.world.auth.ChangePassword(request, metadata=stage.member.proof)


async def _reset_password(stage: Stage) -> None:
    await may_send_again(stage.world)
    assert await present(stage.world, await ask_reset(stage.world, count=2)) is None


async def _verify_email(stage: Stage) -> None:
    await may_send_again(stage.world)
    flow = await ask_email(stage.world, stage.member, OTHER)
    assert await present(stage.world, flow) is None
    assert await present(stage.world, flow) is None  # a repeat after a lost answer


async def _logout(stage: Stage) -> None:
    request = auth_pb.LogoutRequest(all_sessions=True)
    await stage.world.auth.Logout(request, metadata=stage.member.proof)


async def _end_sessions(stage: Stage) -> None:
    request = auth_pb.EndSessionsRequest(user_id=stage.member.id)
    await stage.world.auth.EndSessions(request, metadata=stage.admin.proof)


async def _delete_totp(stage: Stage) -> None:
    await stage.world.auth.DeleteTotp(auth_pb.DeleteTotpRequest(), metadata=stage.member.proof)


async def _reset_mfa(stage: Stage) -> None:
    request = auth_pb.ResetMfaRequest(user_id=stage.member.id)
    await stage.world.auth.ResetMfa(request, metadata=stage.admin.proof)


async def _disable_user(stage: Stage) -> None:
    auth, user_id = stage.world.auth, stage.member.id
    await auth.DisableUser(auth_pb.DisableUserRequest(user_id=user_id), metadata=stage.admin.proof)
    await auth.EnableUser(auth_pb.EnableUserRequest(user_id=user_id), metadata=stage.admin.proof)


async def _delete_user(stage: Stage) -> None:
    """Begin a deletion that Commerce refuses: the user stays."""
    stage.orders.in_flight.add(stage.member.id)
    with pytest.raises(Aborted) as caught:
        await _account_deletion(stage)
    assert caught.value.reason == "CHECKOUT_IN_PROGRESS"


async def _account_deletion(stage: Stage) -> None:
    request = auth_pb.DeleteUserRequest(user_id=stage.member.id)
    await stage.world.auth.DeleteUser(request, metadata=stage.admin.proof)


# For each module that ends a credential, how a caller makes it do so.
EVENTS: dict[str, Callable[[Stage], Awaitable[None]]] = {
    "change_password": _change_password,
    "reset_password": _reset_password,
    "verify_email": _verify_email,
    "logout": _logout,
    "end_sessions": _end_sessions,
    "delete_totp": _delete_totp,
    "reset_mfa": _reset_mfa,
    "disable_user": _disable_user,
    "delete_user": _delete_user,
    "account_deletion": _account_deletion,
}


def calls(name: str) -> Iterator[str]:
    """Return the module of each call of a function or method of Auth, by its name."""
    for path in sorted((SERVICES / "auth").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = node.func
                found = (
                    called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
                )
                if found == name:
                    yield path.stem


def test_every_event_that_ends_a_credential_is_in_the_table() -> None:
    assert set(calls("end_opened")) == set(EVENTS)


def test_sessions_end_together_in_one_place_only() -> None:
    assert list(calls("end_all")) == ["endings"]
    assert list(calls("raise_version")) == ["endings"]


@pytest.mark.parametrize("event", EVENTS)
async def test_flows_of_every_purpose_end_with_a_credential(
    world: World, orders: FakeOrders, event: str
) -> None:
    admin = await world.admin("root@example.com")
    member, flows = await open_all(world)
    await EVENTS[event](Stage(world, orders, member, admin, flows))
    before = await world.sql("SELECT * FROM users WHERE id = %s", member.id)
    for flow in flows:
        reason = await present(world, flow)
        if flow.purpose in OF_NO_ACCOUNT:
            assert reason in ("EMAIL_TAKEN", "OTP_INVALID", "INVITATION_NOT_FOUND", None)
        else:
            assert reason == "OTP_INVALID", flow.purpose
    assert await world.sql("SELECT * FROM users WHERE id = %s", member.id) == before


async def test_a_flow_that_was_forgotten_is_refused_all_the_same(world: World) -> None:
    _, flows = await open_all(world)
    await world.sql("UPDATE users SET credential_version = credential_version + 1")
    for flow in flows:
        assert await present(world, flow) in ("OTP_INVALID", "EMAIL_TAKEN"), flow.purpose


@pytest.mark.parametrize("status", ["DISABLED", "DELETING"])
async def test_flows_are_good_for_active_users_only(world: World, status: str) -> None:
    _, flows = await open_all(world)
    await world.sql("UPDATE users SET status = %s", status)
    for flow in flows:
        assert await present(world, flow) in ("OTP_INVALID", "EMAIL_TAKEN"), flow.purpose


async def test_a_change_of_address_ends_with_the_session_that_asked_for_it(world: World) -> None:
    member, flows = await open_all(world)
    await world.auth.Logout(auth_pb.LogoutRequest(), metadata=member.proof)
    reasons = {flow.purpose: await present(world, flow) for flow in flows}
    assert reasons == {
        Purpose.INVITATION: "EMAIL_TAKEN",
        Purpose.SIGNUP: "EMAIL_TAKEN",
        Purpose.VERIFICATION: None,
        Purpose.MFA: None,
        Purpose.RESET: None,
        Purpose.EMAIL_CHANGE: "OTP_INVALID",
    }


@pytest.mark.parametrize("ends", [False, True])
async def test_a_change_of_address_ends_the_other_sessions_if_asked(
    world: World, ends: bool
) -> None:
    member = await world.member(EMAIL)
    other = world.of(await world.login(EMAIL))
    request = auth_pb.ChangeEmailRequest(new_email=NEW, password=PASSWORD, end_other_sessions=ends)
    flow_id = (await world.auth.ChangeEmail(request, metadata=member.proof)).flow_id
    await world.auth.GetUser(ME, metadata=other.proof)  # not before the address is changed
    flow = await opened(world, Purpose.EMAIL_CHANGE, flow_id, NEW)
    assert await present(world, flow) is None
    assert (await world.auth.GetUser(ME, metadata=member.proof)).email == NEW
    if ends:
        with pytest.raises(Unauthenticated) as caught:
            await world.auth.GetUser(ME, metadata=other.proof)
        assert caught.value.reason == "SESSION_ENDED"
    else:
        await world.auth.GetUser(ME, metadata=other.proof)


async def test_a_change_of_address_ends_when_its_session_expires(world: World) -> None:
    _, flows = await open_all(world)
    await world.sql("UPDATE sessions SET expire_time = clock_timestamp()")
    assert await present(world, flows[-1]) == "OTP_INVALID"


async def test_a_right_code_counts_although_a_login_renews_the_hash(world: World) -> None:
    _, flows = await open_all(world)
    await world.sql("UPDATE users SET password_hash = replace(password_hash, '$04$', '$05$')")
    assert await present(world, flows[-1]) is None


async def _prove_by_login(world: World, member: Member) -> None:
    await world.login(EMAIL)


async def _prove_to_change_password(world: World, member: Member) -> None:
    request = auth_pb.ChangePasswordRequest(current_password=PASSWORD, new_password=NEW_PASSWORD)
    await world.auth.ChangePassword(request, metadata=member.proof)


async def _prove_to_change_email(world: World, member: Member) -> None:
    request = auth_pb.ChangeEmailRequest(new_email=OTHER, password=PASSWORD)
    await world.auth.ChangeEmail(request, metadata=member.proof)


async def _prove_again(world: World, member: Member) -> None:
    request = auth_pb.ReauthenticateRequest(password=PASSWORD)
    await world.auth.Reauthenticate(request, metadata=member.proof)


# For each use case that has a password or a code proven before it writes, a call of it.
BY_PASSWORD: dict[str, Callable[[World, Member], Awaitable[None]]] = {
    "login": _prove_by_login,
    "change_password": _prove_to_change_password,
    "change_email": _prove_to_change_email,
    "reauthenticate": _prove_again,
}
BY_CODE = {
    "reset_password": Purpose.RESET,
    "verify_email": Purpose.EMAIL_CHANGE,
}
WITHOUT_ACCOUNT = {"verify_otp"}  # whose code opens an account, and ends with none


def test_every_use_case_that_proves_something_is_raced() -> None:
    folder = {path.stem for path in (SERVICES / "auth" / "usecases").glob("*.py")}
    proving = (set(calls("prove")) | set(calls("verify"))) & folder
    assert proving == {*BY_PASSWORD, *BY_CODE, *WITHOUT_ACCOUNT}


def after_proof(
    monkeypatch: pytest.MonkeyPatch, owner: type[Hasher | Codes], act: Callable[[], Awaitable[Any]]
) -> asyncio.Event:
    """Do something between the next proof and the change that it allows."""
    real: Any = owner.verify
    done = asyncio.Event()

    async def verify(self: Any, *arguments: Any, **named: Any) -> Any:
        result = await real(self, *arguments, **named)
        if not done.is_set():
            done.set()
            await act()
        return result

    monkeypatch.setattr(owner, "verify", verify)
    return done


REPLACEMENTS = {
    "as Auth does": "UPDATE users SET password_hash = 'x', "
    "credential_version = credential_version + 1 WHERE email = %s",
    "by hand": "UPDATE users SET password_hash = 'x' WHERE email = %s",
}


@pytest.mark.parametrize("how", REPLACEMENTS)
@pytest.mark.parametrize("usecase", BY_PASSWORD)
async def test_a_password_that_is_replaced_after_its_proof_allows_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, usecase: str, how: str
) -> None:
    member = await world.member(EMAIL)
    done = after_proof(monkeypatch, Hasher, lambda: world.sql(REPLACEMENTS[how], EMAIL))
    with pytest.raises(Unauthenticated) as caught:
        await BY_PASSWORD[usecase](world, member)
    assert done.is_set()
    assert caught.value.reason == "INVALID_CREDENTIALS"
    [row] = await world.sql("SELECT password_hash FROM users")
    assert row.password_hash == "x"
    assert await world.sql("SELECT 1 FROM codes WHERE purpose = 'email_change'") == []
    assert len(await world.sql("SELECT 1 FROM sessions")) == 1


@pytest.mark.parametrize("usecase", ["change_password", "change_email", "reauthenticate"])
async def test_a_session_that_ends_after_the_proof_allows_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, usecase: str
) -> None:
    member = await world.member(EMAIL)
    after_proof(monkeypatch, Hasher, lambda: world.sql("DELETE FROM sessions"))
    with pytest.raises(Unauthenticated) as caught:
        await BY_PASSWORD[usecase](world, member)
    assert caught.value.reason == "SESSION_ENDED"
    await world.login(EMAIL)  # the password is still the old one
    assert await world.sql("SELECT 1 FROM codes WHERE purpose = 'email_change'") == []


@pytest.mark.parametrize("usecase", BY_CODE)
@pytest.mark.parametrize("event", ["change_password", "logout", "disable_user"])
async def test_a_code_that_is_proven_while_its_credential_ends_allows_nothing(
    world: World, orders: FakeOrders, monkeypatch: pytest.MonkeyPatch, usecase: str, event: str
) -> None:
    admin = await world.admin("root@example.com")
    member, flows = await open_all(world)
    [flow] = [flow for flow in flows if flow.purpose is BY_CODE[usecase]]
    stage = Stage(world, orders, member, admin, flows)
    done = after_proof(monkeypatch, Codes, lambda: EVENTS[event](stage))
    assert await present(world, flow, "Third-horse-9") == "OTP_INVALID"
    assert done.is_set()
    with pytest.raises(Unauthenticated):
        await world.login(EMAIL, "Third-horse-9")
    [row] = await world.sql("SELECT email FROM users WHERE id = %s", member.id)
    assert row.email == EMAIL
