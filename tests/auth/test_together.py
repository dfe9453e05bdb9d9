"""Auth with the real Profile and the real Commerce: the steps of its sagas fit theirs."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep.commerce.v1 import cart_service_pb2 as cart_pb
from lockstep.commerce.v1 import cart_service_pb2_grpc as cart_grpc
from lockstep.profile.v1 import profile_service_pb2 as profile_pb
from lockstep.profile.v1 import profile_service_pb2_grpc as profile_grpc
from lockstep_clients import Unauthenticated, connect
from lockstep_clients.errors import LockstepError

from services.commerce import __main__ as commerce_main
from services.commerce.settings import CommerceSettings
from services.profile import __main__ as profile_main
from services.profile.settings import ProfileSettings
from tests.auth.world import PASSWORD, Member, Sink, World, serving_auth, settings_for

EMAIL = "ada@example.com"
PHONE = "+442079460000"
LISTEN_ON = "127.0.0.1:0"


@dataclass
class All:
    """The services that run, and stubs of them."""

    world: World
    profiles: profile_grpc.ProfileServiceAsyncStub
    carts: cart_grpc.CartServiceAsyncStub

    async def status(self, member: Member, of: Member | None = None) -> str:
        """Return the status of a profile as its owner or an administrator sees it."""
        request = profile_pb.GetProfileRequest(user_id=(of or member).id)
        return (await self.profiles.GetProfile(request, metadata=member.proof)).status


@pytest.fixture
async def lockstep(
    auth_url: str, profile_url: str, commerce_url: str, keys: Path, mail: tuple[Sink, int]
) -> AsyncIterator[All]:
    with socket.create_server(("127.0.0.1", 0)) as spare:
        auth_target = f"127.0.0.1:{spare.getsockname()[1]}"
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        of_profile = ProfileSettings(
            keys=keys, profile_database_url=profile_url, auth_address=auth_target
        )
        profile = await enter(profile_main.running(of_profile, listen_on=LISTEN_ON))
        profile_target = f"127.0.0.1:{profile.port}"
        of_commerce = CommerceSettings(
            keys=keys,
            commerce_database_url=commerce_url,
            auth_address=auth_target,
            profile_address=profile_target,
        )
        commerce = await enter(commerce_main.running(of_commerce, listen_on=LISTEN_ON))
        commerce_target = f"127.0.0.1:{commerce.port}"
        of_auth = settings_for(
            auth_url,
            keys,
            profile=profile_target,
            commerce=commerce_target,
            smtp_url=f"smtp://127.0.0.1:{mail[1]}",
        )
        world = await enter(serving_auth(of_auth, mail[0], listen_on=auth_target))
        yield All(
            world=world,
            profiles=profile_grpc.ProfileServiceStub(await enter(connect(profile_target))),
            carts=cart_grpc.CartServiceStub(await enter(connect(commerce_target))),
        )


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
