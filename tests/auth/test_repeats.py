"""The same request to Auth again: by its idempotency key, by its code, by the user's row."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep_clients import Aborted, AlreadyExists, InvalidArgument, LockstepError, Unavailable

from services.auth.model import User
from services.auth.store import users
from tests.auth.world import PASSWORD, World, hold_phone_check
from tests.fakes.participants import FakeProfile

EMAIL = "ada@example.com"
PHONE = "+442079460000"
KEY = (("idempotency-key", "once"),)


async def register(world: World, *, key: Any = KEY) -> auth_pb.RegisterResponse:
    request = auth_pb.RegisterRequest(
        email=EMAIL, password=PASSWORD, full_name="Ada", phone_number=PHONE
    )
    return await world.auth.Register(request, metadata=key)


async def reason_of(world: World) -> str:
    with pytest.raises(LockstepError) as caught:
        await register(world)
    return caught.value.reason


async def taken(world: World, profile: FakeProfile, reason: str) -> None:
    """Let somebody have the address or the number."""
    email = EMAIL if reason == "EMAIL_TAKEN" else "other@example.com"
    await world.register(email, phone_number=PHONE)


async def given_up(world: World, profile: FakeProfile) -> None:
    await world.sql("DELETE FROM users")
    profile.profiles.clear()


@pytest.mark.parametrize("reason", ["EMAIL_TAKEN", "PHONE_TAKEN"])
async def test_a_refusal_is_kept_with_its_key(
    world: World, profile: FakeProfile, reason: str
) -> None:
    """[R7]: address and number are free by now, the answer is the first one all the same."""
    await taken(world, profile, reason)
    assert await reason_of(world) == reason
    await given_up(world, profile)
    assert await reason_of(world) == reason
    assert (await register(world, key=(("idempotency-key", "twice"),))).user.email == EMAIL
    assert await reason_of(world) == reason


async def test_a_refusal_by_the_saga_is_kept_with_its_key(
    world: World, profile: FakeProfile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[R7 R14]: the number is taken after it was looked at."""
    arrived, go_on = hold_phone_check(monkeypatch, is_answered=True)
    late = asyncio.ensure_future(reason_of(world))
    await arrived.wait()
    profile.refuses_phones = True
    go_on.set()
    assert await late == "PHONE_TAKEN"
    profile.refuses_phones = False
    assert await reason_of(world) == "PHONE_TAKEN"
    assert await world.sql("SELECT 1 FROM users") == []


async def test_what_may_pass_is_not_kept(world: World, profile: FakeProfile) -> None:
    """[R4 R12]"""
    await taken(world, profile, "EMAIL_TAKEN")
    await world.sql("UPDATE users SET status = 'PENDING'")
    with pytest.raises(Aborted) as caught:
        await register(world)
    assert caught.value.reason == "REGISTRATION_IN_PROGRESS"
    await given_up(world, profile)
    profile.is_down = True
    with pytest.raises(Unavailable):
        await register(world)
    profile.is_down = False
    await world.settled()
    assert (await register(world)).user.email == EMAIL


async def test_a_registration_that_came_too_late_frees_its_key(
    world: World, profile: FakeProfile
) -> None:
    """[R26]: Profile has refused it because of the time, which is no reason for the next one."""
    profile.is_late = True
    with pytest.raises(Unavailable) as caught:
        await register(world)
    assert caught.value.reason == "PROFILE_UNAVAILABLE"
    profile.is_late = False
    await world.settled()
    made = await register(world)
    assert await register(world) == made


async def test_who_registers_the_address_first_is_told_apart_in_t1_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[R3 R4]: the constraint decides, and a PENDING user may yet vanish."""
    for status, error in (("PENDING", Aborted), ("ACTIVE", AlreadyExists)):
        arrived, go_on = hold_phone_check(monkeypatch, is_answered=True)
        late = asyncio.ensure_future(register(world))
        await arrived.wait()
        await world.register(EMAIL)
        await world.sql("UPDATE users SET status = %s", status)
        go_on.set()
        with pytest.raises(error):
            await late
        await world.sql("DELETE FROM users")


async def test_a_code_whose_flow_has_gone_is_a_wrong_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = auth_pb.SendOtpRequest(email=EMAIL, password=PASSWORD, phone_number=PHONE)
    flow_id = (await world.auth.SendOtp(request)).flow_id
    code = await world.sink.code(EMAIL)
    arrived, go_on = hold_phone_check(monkeypatch, is_answered=True)
    late = asyncio.ensure_future(
        world.auth.VerifyOtp(auth_pb.VerifyOtpRequest(flow_id=flow_id, email=EMAIL, otp=code))
    )
    await arrived.wait()
    await world.sql("DELETE FROM codes")
    go_on.set()
    with pytest.raises(InvalidArgument) as caught:
        await late
    assert caught.value.reason == "OTP_INVALID"
    assert await world.sql("SELECT 1 FROM users") == []


async def test_an_account_whose_status_changes_meanwhile_is_not_erased(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The saga would give back a status that is not the last one."""
    admin, member = await world.admin("root@example.com"), await world.member(EMAIL)
    get = users.get

    async def disabled_meanwhile(*arguments: Any) -> User | None:
        monkeypatch.undo()
        user = await get(*arguments)
        await world.sql("UPDATE users SET status = 'DISABLED' WHERE id = %s", member.id)
        return user

    monkeypatch.setattr(users, "get", disabled_meanwhile)
    request = auth_pb.DeleteUserRequest(user_id=member.id)
    with pytest.raises(Aborted) as caught:
        await world.auth.DeleteUser(request, metadata=admin.proof)
    assert caught.value.reason == "ETAG_MISMATCH"
    status = "SELECT status FROM users WHERE id = %s"
    assert [row.status for row in await world.sql(status, member.id)] == ["DISABLED"]
    assert await world.sql("SELECT 1 FROM sagas WHERE kind = 'account_deletion'") == []
    await world.auth.DeleteUser(request, metadata=admin.proof)
    assert await world.sql(status, member.id) == []
