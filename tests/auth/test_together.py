"""Auth with the real Profile and the real Commerce: the steps of its sagas fit theirs."""

from __future__ import annotations

import pytest
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep.commerce.v1 import cart_service_pb2 as cart_pb
from lockstep_clients import Unauthenticated
from lockstep_clients.errors import LockstepError

from tests.auth.together import All
from tests.auth.world import PASSWORD

EMAIL = "ada@example.com"
PHONE = "+442079460000"


async def test_a_profile_follows_what_becomes_of_its_account(lockstep: All) -> None:
    world = lockstep.world
    made = await world.register(EMAIL)
    member = world.of(await world.login(EMAIL))
    assert await lockstep.status(member) == "pending"
    await world.auth.VerifyEmail(
        auth_pb.VerifyEmailRequest(
            flow_id=made.verification_flow_id, email=EMAIL, otp=await world.sink.code(EMAIL)
        )
    )
    assert await lockstep.status(member) == "active"
    admin = await world.admin("root@example.com")
    disable = auth_pb.DisableUserRequest(user_id=member.id)
    await world.auth.DisableUser(disable, metadata=admin.proof)
    assert await lockstep.status(admin, member) == "suspended"
    enable = auth_pb.EnableUserRequest(user_id=member.id)
    await world.auth.EnableUser(enable, metadata=admin.proof)
    assert await lockstep.status(admin, member) == "active"


async def test_a_sign_up_by_code_makes_an_active_profile(lockstep: All) -> None:
    world = lockstep.world
    send = auth_pb.SendOtpRequest(email=EMAIL, password=PASSWORD)
    flow_id = (await world.auth.SendOtp(send)).flow_id
    code = await world.sink.code(EMAIL)
    verify = auth_pb.VerifyOtpRequest(flow_id=flow_id, email=EMAIL, otp=code)
    assert (await world.auth.VerifyOtp(verify)).profile.status == "active"
    assert await lockstep.status(world.of(await world.login(EMAIL))) == "active"


async def test_an_erased_account_leaves_its_phone_number_and_address_free(lockstep: All) -> None:
    world = lockstep.world
    await world.register(EMAIL, phone_number=PHONE)
    member = world.of(await world.login(EMAIL))
    admin = await world.admin("root@example.com")
    await lockstep.carts.GetCart(cart_pb.GetCartRequest(), metadata=member.proof)
    await world.auth.DeleteUser(auth_pb.DeleteUserRequest(user_id="me"), metadata=member.proof)
    with pytest.raises(LockstepError) as caught:
        await lockstep.status(admin, member)
    assert caught.value.reason == "PROFILE_NOT_FOUND"
    with pytest.raises(Unauthenticated):
        await world.login(EMAIL)
    assert (await world.register(EMAIL, phone_number=PHONE)).profile.phone_number == PHONE
