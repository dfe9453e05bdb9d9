"""Access to each method of Profile, for each kind of caller."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from lockstep.options.v1 import options_pb2 as options_pb
from lockstep.profile.v1 import profile_service_pb2 as profile_pb
from lockstep.profile.v1 import wallet_service_pb2 as wallet_pb
from lockstep_clients import (
    PermissionDenied,
    ServiceIdentity,
    Unauthenticated,
    Unavailable,
    bearer,
)

from services.common.keys import KeyRing
from services.kernel.ids import new_id
from services.profile.__main__ import running
from tests.profile.fake_auth import fake_auth
from tests.profile.world import World, connected, fails, settings_for

Call = Callable[..., Awaitable[Any]]

METHODS: list[MethodDescriptor] = [
    *profile_pb.DESCRIPTOR.services_by_name["ProfileService"].methods,
    *wallet_pb.DESCRIPTOR.services_by_name["WalletService"].methods,
]


def with_access(*wanted: int) -> list[MethodDescriptor]:
    return [each for each in METHODS if rule(each).access in wanted]


def rule(method: MethodDescriptor) -> options_pb.MethodRule:
    return method.GetOptions().Extensions[options_pb.method]


def named(method: MethodDescriptor) -> str:
    return method.name


FOR_USERS = with_access(options_pb.ACCESS_USER, options_pb.ACCESS_ADMIN)
FOR_ADMINS = with_access(options_pb.ACCESS_ADMIN)
FOR_SERVICES = with_access(options_pb.ACCESS_SERVICE)


def user_call(world: World, method: MethodDescriptor) -> tuple[Call, Any]:
    """Return how a user calls a method, and a request."""
    stub = world.profiles if method.containing_service.name == "ProfileService" else world.wallets
    return getattr(stub, method.name), GetMessageClass(method.input_type)()


def test_every_method_is_in_one_of_the_tables() -> None:
    public = with_access(options_pb.ACCESS_PUBLIC)
    assert [each.name for each in public] == ["GetBrand", "BatchGetBrands"]
    assert len(METHODS) == len(FOR_USERS) + len(FOR_SERVICES) + len(public) == 20


@pytest.mark.parametrize("method", FOR_USERS, ids=named)
async def test_without_a_good_token_nobody_gets_in(world: World, method: MethodDescriptor) -> None:
    call, request = user_call(world, method)
    user_id = new_id()
    old = int(time.time()) - 3600
    tokens = {
        "nonsense": "nonsense",
        "expired": world.auth.token(user_id, exp=old),
        "for others": world.auth.token(user_id, aud="elsewhere"),
        "of others": world.auth.token(user_id, iss="elsewhere"),
    }
    with fails(Unauthenticated, "INVALID_TOKEN"):
        await call(request)
    for token in tokens.values():
        with fails(Unauthenticated, "INVALID_TOKEN"):
            await call(request, metadata=bearer(token))


@pytest.mark.parametrize("method", FOR_USERS, ids=named)
async def test_with_an_ended_session_nobody_gets_in(world: World, method: MethodDescriptor) -> None:
    call, request = user_call(world, method)
    token = world.auth.token(new_id())
    world.auth.roles.clear()
    with fails(Unauthenticated, "SESSION_ENDED"):
        await call(request, metadata=bearer(token))


@pytest.mark.parametrize("method", FOR_ADMINS, ids=named)
async def test_only_administrators_may_do_what_is_theirs(
    world: World, method: MethodDescriptor
) -> None:
    """Profile must ignore the role in the token."""
    call, request = user_call(world, method)
    pretender = bearer(world.auth.token(new_id(), role="brand"))
    with fails(PermissionDenied, "FORBIDDEN"):
        await call(request, metadata=pretender)


@pytest.mark.parametrize("method", FOR_SERVICES, ids=named)
async def test_only_the_named_service_may_take_its_steps(
    world: World, keys: Path, method: MethodDescriptor
) -> None:
    call, request = user_call(world, method)
    for metadata in ((), world.as_user(new_id()), world.admin):
        with fails(PermissionDenied, "FORBIDDEN"):
            await call(request, metadata=metadata)
    others = {"auth", "commerce", "gateway", "operator", "profile"} - set(rule(method).callers)
    assert len(others) == 4
    for name in others:
        identity = ServiceIdentity(name, KeyRing.load(keys, name).private_key)
        with fails(PermissionDenied, "FORBIDDEN"):
            await call(request, metadata=(("x-lockstep-service", identity.token("profile")),))


@pytest.mark.parametrize("method", FOR_SERVICES, ids=named)
async def test_a_service_token_for_somebody_else_is_no_good(
    world: World, keys: Path, method: MethodDescriptor
) -> None:
    call, request = user_call(world, method)
    (caller,) = rule(method).callers
    identity = ServiceIdentity(caller, KeyRing.load(keys, caller).private_key)
    forged = ServiceIdentity(caller, KeyRing.load(keys, "gateway").private_key)
    for token in (identity.token("commerce"), forged.token("profile"), "nonsense"):
        with fails(Unauthenticated, "INVALID_TOKEN"):
            await call(request, metadata=(("x-lockstep-service", token),))


async def test_services_read_no_profiles(world: World) -> None:
    user_id = await world.register()
    with fails(Unauthenticated, "INVALID_TOKEN"):
        await world.by_auth.GetProfile(profile_pb.GetProfileRequest(user_id=str(user_id)))
    with fails(Unauthenticated, "INVALID_TOKEN"):
        await world.by_commerce.GetWallet(wallet_pb.GetWalletRequest(user_id=str(user_id)))


async def test_without_auth_nobody_is_guessed_about(profile_url: str, keys: Path) -> None:
    """Methods that need no user still work."""
    async with fake_auth(keys) as auth:
        settings = settings_for(profile_url, keys, auth)
    async with (
        running(settings, listen_on="127.0.0.1:0") as process,
        connected(process.port, settings, auth) as world,
    ):
        user_id = await world.register()
        with fails(Unavailable, "AUTH_UNAVAILABLE"):
            await world.profiles.GetProfile(
                profile_pb.GetProfileRequest(user_id="me"), metadata=world.as_user(user_id)
            )
