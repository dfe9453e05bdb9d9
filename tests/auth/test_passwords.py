"""Passwords: compared with what people begin from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep_clients import InvalidArgument

from services.auth.domain import password_words
from services.auth.domain.passwords import faults
from services.auth.model import CanonicalEmail
from tests.auth.world import PASSWORD, World

EMAIL = CanonicalEmail("ada.hopper@analytical.example")
NAMES = ("Grace Lovelace", None, "", "Engine & Sons")


@pytest.fixture
def own_words() -> Iterator[None]:
    """Let an installation name words of its own."""
    kept = set(password_words._CONTEXT)
    password_words.add_context("Acme, widgets")
    yield
    password_words._CONTEXT.clear()
    password_words._CONTEXT.update(kept)


def test_the_list_of_common_passwords_is_whole() -> None:
    assert len(password_words.common_passwords()) == 30_000
    assert "password" in password_words.common_passwords()


@pytest.mark.parametrize(
    "password",
    [
        "Password1!",
        "P@ssw0rd2025!",
        "Summer2024!",
        "Qwer1234!",
        "1qaz@WSX",
        "Dr4gon!9",
        "123Dragon!",
        "Pa$$w0rd5",
        "Zaq1@wsx",
        "Abcd@1234",
    ],
)
def test_a_common_password_is_named_whatever_is_around_it(password: str) -> None:
    assert any("common" in fault for fault in faults(password, email=None))


@pytest.mark.parametrize(
    "password",
    [
        "Lockstep1!",
        "L0ck$tep123!",
        "Company123!",
        "Admin-horse1",
        "Customer#2026",
        "Hopper-1234!",
        "Analytical1!",
        "Lovelace-99!",
        "Grace-Lovelace-1!",
        "Engine-1815!",
    ],
)
def test_words_of_the_context_do_not_make_a_password(password: str) -> None:
    assert any("beside words" in fault for fault in faults(password, email=EMAIL, names=NAMES))


@pytest.mark.parametrize(
    "password", ["SecurePass123!", "Correct-horse-7", "Lockstep-horse-77", "Ada-likes-1815-tea"]
)
def test_good_passwords_stay_good(password: str) -> None:
    assert faults(password, email=EMAIL, names=NAMES) == []


def test_an_installation_names_words_of_its_own(own_words: None) -> None:
    for password in ("Acme-2026!", "W1dgets-77!"):
        assert faults(password, email=None)


async def test_the_rules_hold_wherever_a_password_is_set(world: World) -> None:
    member = await world.member("ada@example.com")
    request = auth_pb.RequestPasswordResetRequest(email="ada@example.com")
    flow_id = (await world.auth.RequestPasswordReset(request)).flow_id
    otp = await world.sink.code("ada@example.com", about="password reset")
    for password in ("Dr4gon!9", "Lovelace-99!"):
        change = auth_pb.ChangePasswordRequest(current_password=PASSWORD, new_password=password)
        reset = auth_pb.ResetPasswordRequest(
            flow_id=flow_id, email="ada@example.com", otp=otp, new_password=password
        )
        send = auth_pb.SendOtpRequest(
            email="bob@example.com", password=password, full_name="Bob Lovelace"
        )
        for attempt in (
            world.auth.ChangePassword(change, metadata=member.proof),
            world.auth.ResetPassword(reset),
            world.auth.SendOtp(send),
        ):
            with pytest.raises(InvalidArgument) as caught:
                await attempt
            assert {v.field for v in caught.value.violations} <= {"password", "new_password"}
    await world.login("ada@example.com")
