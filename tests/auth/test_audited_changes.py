"""What an administrator changes, in whichever service, leaves a line with the administrator."""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import psycopg
import pyotp
import pytest
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.descriptor import FileDescriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.type.money_pb2 import Money
from lockstep.auth.v1 import api_key_service_pb2 as key_pb
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep.auth.v1 import invitation_service_pb2 as invitation_pb
from lockstep.auth.v1 import mail_service_pb2 as mail_pb
from lockstep.auth.v1 import webhook_service_pb2 as webhook_pb
from lockstep.commerce.v1 import cart_service_pb2 as cart_pb
from lockstep.commerce.v1 import catalog_service_pb2 as catalog_pb
from lockstep.commerce.v1 import order_service_pb2 as order_pb
from lockstep.options.v1 import options_pb2
from lockstep.profile.v1 import profile_service_pb2 as profile_pb
from lockstep.profile.v1 import wallet_service_pb2 as wallet_pb
from lockstep.saga.v1 import saga_service_pb2 as saga_pb
from lockstep_clients import connect

from services.kernel.rpc.call import Method
from tests.auth.together import All
from tests.auth.world import PASSWORD, Member
from tests.commerce.drawing import small_picture

COORDINATORS = ("auth", "commerce")


def files_of(service: str) -> Iterator[FileDescriptor]:
    """Return the files of the gRPC services that a service serves."""
    package = importlib.import_module(f"lockstep.{service}.v1")
    for module in pkgutil.iter_modules(package.__path__):
        if module.name.endswith("_service_pb2"):
            yield importlib.import_module(f"{package.__name__}.{module.name}").DESCRIPTOR
    if service in COORDINATORS:
        yield saga_pb.DESCRIPTOR


OPEN = {options_pb2.ACCESS_ADMIN, options_pb2.ACCESS_USER}
# These change nothing of anybody else's, and nothing that has a price.
EXEMPT = {
    "commerce AddCartItem": "a cart is the caller's own",
    "commerce UpdateCartItem": "a cart is the caller's own",
    "commerce RemoveCartItem": "a cart is the caller's own",
    "commerce ClearCart": "a cart is the caller's own",
    "commerce MergeCart": "a cart is the caller's own",
    "auth CreateTotp": "a seed counts for nothing before ConfirmTotp",
    "profile UpdateBrand": "the owner of the brand alone may call it",
}
SAGA = """
INSERT INTO sagas (id, kind, state, payload, next_run_at)
VALUES (%s, 'unknown here', 'RUNNING', '{}', now() + interval '1 hour')
"""


def changing_methods() -> dict[str, MethodDescriptor]:
    """Return the methods that change something and that an administrator may call."""
    found = {}
    for service in ("auth", "profile", "commerce"):
        for each in (
            m for f in files_of(service) for s in f.services_by_name.values() for m in s.methods
        ):
            options = each.GetOptions()
            assert isinstance(options, MethodOptions)
            if options.idempotency_level == MethodOptions.NO_SIDE_EFFECTS:
                continue
            if options.Extensions[options_pb2.method].access in OPEN:
                found[f"{service} {each.name}"] = each
    return found


METHODS = changing_methods()


@dataclass
class Scene:
    """All services, an administrator, and what the administrator has made so far."""

    lockstep: All
    urls: dict[str, str]
    channels: dict[str, Any]
    admin: Member
    people: list[Member] = field(default_factory=list)
    made: dict[str, Any] = field(default_factory=dict)

    async def call(self, name: str, request: Message, *, by: Member | None = None) -> Any:
        service, method = name.split(maxsplit=1)[0], METHODS[name]
        call = self.channels[service].unary_unary(
            Method.of(method).path,
            request_serializer=type(request).SerializeToString,
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )
        return await call(request, metadata=(by or self.admin).proof)

    async def lines(self, service: str) -> int:
        """Return how many lines of a service name the administrator as the actor."""
        number: int = await self.sql(
            service,
            "SELECT count(*) FROM audit_log WHERE coalesce(actor, user_id::text) = %s",
            self.admin.id,
        )
        return number

    async def sql(self, service: str, statement: str, *parameters: object) -> Any:
        url = self.urls[service]
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            cursor = await connection.execute(statement.encode(), parameters)
            row = await cursor.fetchone() if cursor.description else None
            return None if row is None else row[0]


Make = Callable[[Scene], Awaitable[Message]]


@pytest.fixture
async def scene(
    lockstep: All, auth_url: str, profile_url: str, commerce_url: str
) -> AsyncIterator[Scene]:
    urls = {"auth": auth_url, "profile": profile_url, "commerce": commerce_url}
    async with AsyncExitStack() as stack:
        channels = {
            name: await stack.enter_async_context(connect(target))
            for name, target in lockstep.targets.items()
        }
        admin = await lockstep.world.admin("root@example.com")
        await lockstep.world.admin("second@example.com")  # so that one remains
        people = [await lockstep.world.member(f"ada{i}@example.com") for i in range(3)]
        yield Scene(lockstep, urls, channels, admin, people)


async def retry(scene: Scene, service: str) -> Message:
    saga_id = str(uuid4())
    await scene.sql(service, SAGA, saga_id)
    return saga_pb.RetrySagaRequest(saga_id=saga_id)


async def session(scene: Scene) -> Message:
    of = scene.people[2].id
    await scene.lockstep.world.login(scene.people[2].email)  # so that another one is left
    query = "SELECT id::text FROM sessions WHERE user_id = %s LIMIT 1"
    return auth_pb.EndSessionRequest(user_id=of, session_id=await scene.sql("auth", query, of))


async def order(scene: Scene) -> Message:
    product = await scene.call(
        "commerce CreateProduct", catalog_pb.CreateProductRequest(product=scene.made["product"])
    )
    item = cart_pb.AddCartItemRequest(product_id=product.id, quantity=1)
    await scene.call("commerce AddCartItem", item)
    return order_pb.PlaceOrderRequest()


async def cancel(scene: Scene) -> Message:
    placed = await scene.call("commerce PlaceOrder", await order(scene))
    return order_pb.CancelOrderRequest(order_id=placed.id)


async def ship(scene: Scene) -> Message:
    placed = await scene.call("commerce PlaceOrder", await order(scene))
    return order_pb.FulfilOrderRequest(order_id=placed.id)


async def refund(scene: Scene) -> Message:
    shipped = scene.made["commerce FulfilOrder"]
    item = order_pb.RefundItem(product_id=shipped.items[0].product_id, quantity=1)
    return order_pb.RefundOrderRequest(order_id=shipped.id, items=[item], reason="broken")


async def confirm(scene: Scene, person: Member | None = None) -> Message:
    made = await scene.call("auth CreateTotp", auth_pb.CreateTotpRequest(), by=person)
    return auth_pb.ConfirmTotpRequest(code=pyotp.TOTP(made.secret).now())


async def second_factor(scene: Scene) -> Message:
    person = scene.lockstep.world.of(await scene.lockstep.world.login(scene.people[2].email))
    await scene.call("auth ConfirmTotp", await confirm(scene, person), by=person)
    return auth_pb.ResetMfaRequest(user_id=person.id)


def product_id(scene: Scene) -> str:
    found: str = scene.made["commerce CreateProduct"].id
    return found


def new_product(scene: Scene) -> catalog_pb.Product:
    category = scene.made["commerce CreateCategory"].id
    product = catalog_pb.Product(
        name="Pen", category_id=category, price=Money(currency_code="USD", units=1), stock=5
    )
    scene.made["product"] = product
    return product


def given(make: Callable[[Scene], Message]) -> Make:
    async def made(scene: Scene) -> Message:
        return make(scene)

    return made


def webhook_id(scene: Scene) -> str:
    made: str = scene.made["auth CreateWebhook"].webhook.id
    return made


async def delivery(scene: Scene) -> Message:
    event_id = str(uuid4())
    await scene.sql(
        "auth",
        "INSERT INTO webhook_deliveries (webhook_id, event_id, type, subject, body) "
        f"VALUES ('{webhook_id(scene)}', '{event_id}', 'type', 'users/1', '{{}}')",
    )
    return webhook_pb.SendWebhookAgainRequest(webhook_id=webhook_id(scene), event_id=event_id)


# In this order: later ones use what earlier ones have made.
CASES: dict[str, Make] = {
    "auth ChangePassword": given(
        lambda _: auth_pb.ChangePasswordRequest(
            current_password=PASSWORD, new_password="Another-horse-8"
        )
    ),
    "auth ChangeEmail": given(
        lambda _: auth_pb.ChangeEmailRequest(
            new_email="new@example.com", password="Another-horse-8"
        )
    ),
    "auth SendEmailVerification": given(lambda _: auth_pb.SendEmailVerificationRequest()),
    "auth ResendCode": given(lambda s: auth_pb.ResendCodeRequest(user_id=s.people[0].id)),
    "auth DisableUser": given(lambda s: auth_pb.DisableUserRequest(user_id=s.people[0].id)),
    "auth EnableUser": given(lambda s: auth_pb.EnableUserRequest(user_id=s.people[0].id)),
    "auth UnlockUser": given(lambda s: auth_pb.UnlockUserRequest(user_id=s.people[0].id)),
    "auth PromoteUser": given(lambda s: auth_pb.PromoteUserRequest(user_id=s.people[0].id)),
    "auth DemoteUser": given(lambda s: auth_pb.DemoteUserRequest(user_id=s.people[0].id)),
    "auth DeleteUser": given(lambda s: auth_pb.DeleteUserRequest(user_id=s.people[1].id)),
    "auth CreateInvitation": given(
        lambda _: invitation_pb.CreateInvitationRequest(email="guest@example.com", role="student")
    ),
    "auth EndInvitation": given(
        lambda s: invitation_pb.EndInvitationRequest(
            invitation_id=s.made["auth CreateInvitation"].id
        )
    ),
    "auth RetryWaitingMail": given(lambda _: mail_pb.RetryWaitingMailRequest()),
    "auth RetrySaga": lambda s: retry(s, "auth"),
    "commerce RetrySaga": lambda s: retry(s, "commerce"),
    "profile UpdateProfile": given(
        lambda s: profile_pb.UpdateProfileRequest(
            profile=profile_pb.Profile(user_id=s.people[0].id, bio="changed"),
            update_mask=FieldMask(paths=["bio"]),
        )
    ),
    "profile TopUpWallet": given(
        lambda s: wallet_pb.TopUpWalletRequest(
            user_id=s.admin.id,
            transfer_id=str(uuid4()),
            amount=Money(currency_code="USD", units=100),
        )
    ),
    "profile ReverseTransfer": given(
        lambda s: wallet_pb.ReverseTransferRequest(
            user_id=s.admin.id,
            transfer_id=s.made["profile TopUpWallet"].id,
            reversal_id=str(uuid4()),
            amount=Money(currency_code="USD", units=1),
            reason="Typed twice.",
        )
    ),
    "commerce CreateCategory": given(lambda _: catalog_pb.CreateCategoryRequest(name="Paper")),
    "commerce CreateProduct": given(
        lambda s: catalog_pb.CreateProductRequest(product=new_product(s))
    ),
    "commerce BatchCreateProducts": given(
        lambda s: catalog_pb.BatchCreateProductsRequest(products=[new_product(s)] * 2)
    ),
    "commerce UpdateProduct": given(
        lambda s: catalog_pb.UpdateProductRequest(
            product=catalog_pb.Product(id=product_id(s), price=Money(currency_code="USD", units=2)),
            update_mask=FieldMask(paths=["price"]),
        )
    ),
    "commerce AdjustStock": given(
        lambda s: catalog_pb.AdjustStockRequest(product_id=product_id(s), delta=3)
    ),
    "commerce SetProductImage": given(
        lambda s: catalog_pb.SetProductImageRequest(
            product_id=product_id(s), image=HttpBody(data=small_picture())
        )
    ),
    "commerce DeleteProduct": given(
        lambda s: catalog_pb.DeleteProductRequest(product_id=product_id(s))
    ),
    "commerce PlaceOrder": order,
    "commerce CancelOrder": cancel,
    "commerce FulfilOrder": ship,
    "commerce RefundOrder": refund,
    "auth CreateApiKey": given(
        lambda _: key_pb.CreateApiKeyRequest(
            user_id="me", name="shop", scopes=["lockstep.commerce.v1.CatalogService"]
        )
    ),
    "auth EndApiKey": given(
        lambda s: key_pb.EndApiKeyRequest(
            user_id="me", api_key_id=s.made["auth CreateApiKey"].api_key.id
        )
    ),
    "auth CreateWebhook": given(
        lambda _: webhook_pb.CreateWebhookRequest(
            webhook=webhook_pb.Webhook(url="https://receiver.invalid/", disabled=True)
        )
    ),
    "auth UpdateWebhook": given(
        lambda s: webhook_pb.UpdateWebhookRequest(
            webhook=webhook_pb.Webhook(id=webhook_id(s), description="Orders")
        )
    ),
    "auth RotateWebhookSecret": given(
        lambda s: webhook_pb.RotateWebhookSecretRequest(webhook_id=webhook_id(s))
    ),
    "auth SendWebhookAgain": delivery,
    "auth DeleteWebhook": given(
        lambda s: webhook_pb.DeleteWebhookRequest(webhook_id=webhook_id(s))
    ),
    "auth EndSession": session,
    "auth EndSessions": given(lambda s: auth_pb.EndSessionsRequest(user_id=s.people[2].id)),
    "auth Reauthenticate": given(
        lambda _: auth_pb.ReauthenticateRequest(password="Another-horse-8")
    ),
    "auth ConfirmTotp": confirm,
    "auth DeleteTotp": given(lambda _: auth_pb.DeleteTotpRequest()),
    "auth ResetMfa": second_factor,
    "auth Logout": given(lambda _: auth_pb.LogoutRequest()),
}


def test_every_changing_method_has_a_case_or_a_reason() -> None:
    assert CASES.keys() | EXEMPT.keys() == METHODS.keys()
    assert not CASES.keys() & EXEMPT.keys()


async def test_every_change_leaves_a_line_with_the_administrator(scene: Scene) -> None:
    silent = []
    for name, make in CASES.items():
        service = name.split()[0]
        request = await make(scene)
        before = await scene.lines(service)
        scene.made[name] = await scene.call(name, request)
        if name == "auth Reauthenticate":
            scene.admin = scene.lockstep.world.of(scene.made[name])
        if await scene.lines(service) == before:
            silent.append(name)
    assert silent == []
    old_and_new = await scene.sql(
        "commerce",
        "SELECT detail ->> 'old_price' || ' ' || (detail ->> 'new_price') FROM audit_log "
        "WHERE event = 'product_updated'",
    )
    assert old_and_new == "100 200"


async def test_a_deletion_is_told_with_its_actor_and_a_refused_one_is_not(scene: Scene) -> None:
    victim, keeper = scene.people[0], scene.people[1]
    await scene.sql(
        "commerce",
        "INSERT INTO users (user_id) VALUES (%s)",
        keeper.id,
    )
    await scene.sql(
        "commerce",
        "INSERT INTO orders (id, user_id, state, total, debit_id) "
        "VALUES (gen_random_uuid(), %s, 'PENDING', 1, gen_random_uuid())",
        keeper.id,
    )
    requests = [auth_pb.DeleteUserRequest(user_id=each.id) for each in (victim, keeper)]
    done, refused = await asyncio.gather(
        *(scene.call("auth DeleteUser", each) for each in requests), return_exceptions=True
    )
    assert not isinstance(done, BaseException)
    assert getattr(refused, "reason", "") == "CHECKOUT_IN_PROGRESS"
    world = scene.lockstep.world
    query = """
      SELECT event, actor FROM audit_log WHERE user_id = %s AND event LIKE 'user_delet%%'
       ORDER BY create_time
    """
    told = {
        each.id: [(row.event, row.actor) for row in await world.sql(query, each.id)]
        for each in (victim, keeper)
    }
    admin = scene.admin.id
    assert told == {
        victim.id: [("user_deletion_requested", admin), ("user_deleted", admin)],
        keeper.id: [("user_deletion_requested", admin), ("user_deletion_refused", admin)],
    }
