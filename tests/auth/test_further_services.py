"""A further service that methods of users name in `callers`: it acts for all, and is nobody."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep.auth.v1 import auth_service_pb2_grpc as auth_grpc
from lockstep.commerce.v1 import catalog_service_pb2 as catalog_pb
from lockstep.commerce.v1 import catalog_service_pb2_grpc as catalog_grpc
from lockstep.commerce.v1 import order_service_pb2 as order_pb
from lockstep.commerce.v1 import order_service_pb2_grpc as order_grpc
from lockstep.options.v1 import options_pb2 as options_pb
from lockstep.profile.v1 import profile_service_pb2 as profile_pb
from lockstep.profile.v1 import profile_service_pb2_grpc as profile_grpc
from lockstep_clients import InvalidArgument, PermissionDenied, ServiceIdentity, connect

from services.common import key_files
from services.common.keys import KeyRing
from services.kernel.rpc.call import Method
from tests.auth.test_hostile_texts import GOOD, NIL, Caller, outcome, rpcs, served_by
from tests.auth.together import All, serving_all
from tests.auth.world import Sink

NAME = "shipping"
# Such a method is about the caller's own account, session or cart.
OWN_ONLY = {
    "Logout",
    "CreateApiKey",
    "SendEmailVerification",
    "ChangeEmail",
    "ChangePassword",
    "Reauthenticate",
    "CreateTotp",
    "ConfirmTotp",
    "DeleteTotp",
    "GetCart",
    "AddCartItem",
    "UpdateCartItem",
    "RemoveCartItem",
    "ClearCart",
    "PlaceOrder",
    "UpdateBrand",
}


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """The keys of all services, and of a further one."""
    folder = tmp_path / "keys"
    key_files.initialise(folder)
    key_files.initialise(folder, [NAME])
    return folder


@pytest.fixture
async def lockstep(  # noqa: PLR0917 - the fixtures that it needs
    monkeypatch: pytest.MonkeyPatch,
    auth_url: str,
    profile_url: str,
    commerce_url: str,
    keys: Path,
    mail: tuple[Sink, int],
) -> AsyncIterator[All]:
    """All services, whose methods all name the further service."""
    of = Method.of

    def naming_it(descriptor: MethodDescriptor) -> Method:
        method = of(descriptor)
        return replace(method, callers=method.callers | {NAME})

    monkeypatch.setattr(Method, "of", naming_it)
    async with serving_all(auth_url, profile_url, commerce_url, keys, mail) as services:
        yield services


@pytest.fixture
async def channels(lockstep: All, keys: Path) -> AsyncIterator[dict[str, grpc.aio.Channel]]:
    """The channels of the further service."""
    identity = ServiceIdentity(NAME, KeyRing.load(keys, NAME).private_key)
    async with contextlib.AsyncExitStack() as stack:
        yield {
            name: await stack.enter_async_context(connect(target, identity=identity, audience=name))
            for name, target in lockstep.targets.items()
        }


def filled(message: Any, user_id: str) -> Any:
    """Fill the fields of a request with values that come past most checks."""
    for field in message.DESCRIPTOR.fields:
        if field.is_repeated or field.name == "expected_total":
            continue
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            filled(getattr(message, field.name), user_id)
        elif field.type == FieldDescriptor.TYPE_STRING:
            is_id = field.name == "id" or field.name.endswith("_id")
            known = user_id if field.name == "user_id" else NIL
            setattr(message, field.name, known if is_id else GOOD.get(field.name, ""))
        elif field.type == FieldDescriptor.TYPE_INT32 or field.name == "units":
            setattr(message, field.name, 1 if field.name != "nanos" else 0)
    return message


async def test_no_method_fails_when_a_service_calls_instead_of_a_user(
    lockstep: All, channels: dict[str, grpc.aio.Channel]
) -> None:
    member = await lockstep.world.member("bob@example.com")
    caller, refused, failed = Caller(channels), set(), []
    for method in rpcs():
        rule = method.GetOptions().Extensions[options_pb.method]
        if rule.access not in (options_pb.ACCESS_USER, options_pb.ACCESS_ADMIN):
            continue
        for user_id in ("me", NIL, member.id):
            request = filled(GetMessageClass(method.input_type)(), user_id)
            for server in served_by(method):
                code, named = await outcome(caller, server, method, request.SerializeToString())
                if code in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN):
                    failed.append(f"{method.full_name} {user_id}")
                if code is grpc.StatusCode.PERMISSION_DENIED:
                    refused.add(method.name)
                if user_id == "me" and any("user_id" in name for name in named):
                    assert code is grpc.StatusCode.INVALID_ARGUMENT, method.name
    assert failed == []
    assert refused == OWN_ONLY


async def test_a_named_service_reads_and_changes_what_is_any_users(
    lockstep: All, channels: dict[str, grpc.aio.Channel]
) -> None:
    member = await lockstep.world.member("bob@example.com")
    auth = auth_grpc.AuthServiceStub(channels["auth"])
    user = await auth.GetUser(auth_pb.GetUserRequest(user_id=member.id))
    assert user.email == "bob@example.com"
    profiles = profile_grpc.ProfileServiceStub(channels["profile"])
    profile = await profiles.GetProfile(profile_pb.GetProfileRequest(user_id=member.id))
    assert profile.user_id == member.id
    orders = order_grpc.OrderServiceStub(channels["commerce"])
    found = await orders.ListOrders(order_pb.ListOrdersRequest(user_id=member.id))
    assert list(found.orders) == []
    disabled = await auth.DisableUser(auth_pb.DisableUserRequest(user_id=member.id))
    assert disabled.disabled
    actors = await lockstep.world.sql("SELECT actor FROM audit_log WHERE event = 'user_archived'")
    assert [row.actor for row in actors] == [NAME]


async def test_a_named_service_makes_first_party_products(
    channels: dict[str, grpc.aio.Channel],
) -> None:
    catalog = catalog_grpc.CatalogServiceStub(channels["commerce"])
    category = await catalog.CreateCategory(catalog_pb.CreateCategoryRequest(name="Tools"))
    product = catalog_pb.Product(name="Hammer", category_id=category.id, stock=1)
    product.price.currency_code, product.price.units = "USD", 5
    made = await catalog.CreateProduct(catalog_pb.CreateProductRequest(product=product))
    assert made.seller_id == ""


async def test_a_service_is_not_me(channels: dict[str, grpc.aio.Channel]) -> None:
    auth = auth_grpc.AuthServiceStub(channels["auth"])
    with pytest.raises(InvalidArgument) as caught:
        await auth.GetUser(auth_pb.GetUserRequest(user_id="me"))
    assert [violation.field for violation in caught.value.violations] == ["user_id"]


async def test_a_service_that_no_method_names_is_refused(keys: Path, lockstep: All) -> None:
    key_files.initialise(keys, ["stranger"])
    identity = ServiceIdentity("stranger", KeyRing.load(keys, "stranger").private_key)
    async with connect(lockstep.targets["auth"], identity=identity) as channel:
        with pytest.raises(PermissionDenied):
            await auth_grpc.AuthServiceStub(channel).CheckSession(
                auth_pb.CheckSessionRequest(sid=NIL)
            )
