"""A paid order of the real Commerce comes to a webhook."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from lockstep.auth.v1 import webhook_service_pb2_grpc as webhook_grpc
from lockstep.commerce.v1 import cart_service_pb2 as cart_pb
from lockstep.commerce.v1 import catalog_service_pb2 as catalog_pb
from lockstep.commerce.v1 import catalog_service_pb2_grpc as catalog_grpc
from lockstep.commerce.v1 import order_service_pb2 as order_pb
from lockstep.commerce.v1 import order_service_pb2_grpc as order_grpc
from lockstep.profile.v1 import wallet_service_pb2 as wallet_pb
from lockstep.profile.v1 import wallet_service_pb2_grpc as wallet_grpc
from lockstep_clients import connect

from services.kernel.ids import new_id
from tests.auth.together import All, serving_all
from tests.auth.webhooks.hooks import DELIVERED, Hooks
from tests.auth.webhooks.receiver import Receiver
from tests.auth.world import Member, Sink
from tests.commerce.people import money
from tests.conftest import Databases

PAID = "lockstep.events.v1.OrderPaid"
POSTED = "lockstep.events.v1.TransferPosted"
PRICE = 1250


async def bought(services: All, admin: Member, buyer: Member) -> order_pb.Order:
    """Fund a wallet, and buy a product of the catalog with it."""
    async with (
        connect(services.targets["commerce"]) as commerce,
        connect(services.targets["profile"]) as profile,
    ):
        catalog = catalog_grpc.CatalogServiceStub(commerce)
        category = await catalog.CreateCategory(
            catalog_pb.CreateCategoryRequest(name="Tools"), metadata=admin.proof
        )
        product = catalog_pb.Product(
            name="Hammer", category_id=category.id, stock=1, price=money(PRICE)
        )
        made = await catalog.CreateProduct(
            catalog_pb.CreateProductRequest(product=product), metadata=admin.proof
        )
        top_up = wallet_pb.TopUpWalletRequest(
            user_id=buyer.id, transfer_id=str(new_id()), amount=money(PRICE)
        )
        await wallet_grpc.WalletServiceStub(profile).TopUpWallet(top_up, metadata=admin.proof)
        add = cart_pb.AddCartItemRequest(product_id=made.id, quantity=1)
        await services.carts.AddCartItem(add, metadata=buyer.proof)
        place = order_pb.PlaceOrderRequest()
        return await order_grpc.OrderServiceStub(commerce).PlaceOrder(place, metadata=buyer.proof)


async def test_an_order_that_is_paid_is_told_to_those_who_want_it(
    databases: Databases,
    stack: ExitStack,
    keys: Path,
    mail: tuple[Sink, int],
    receiver: Receiver,
) -> None:
    auth, profile, commerce = (
        databases.fresh(stack, name) for name in ("auth", "profile", "commerce")
    )
    async with (
        serving_all(
            auth, profile, commerce, keys, mail, webhook_private_addresses=True
        ) as services,
        connect(services.targets["auth"]) as channel,
    ):
        admin = await services.world.admin("root@example.com")
        hooks = Hooks(services.world, admin, webhook_grpc.WebhookServiceStub(channel))
        webhook, secret = await hooks.create(receiver.url, types=[PAID, POSTED])
        buyer = await services.world.member("ada@example.com")
        order = await bought(services, admin, buyer)
        await receiver.wait_for(3)
        await hooks.settled(webhook.id, DELIVERED)
    got = [each.verified(secret) for each in receiver.got]
    [paid] = [each for each in got if each["type"] == PAID]
    assert paid["subject"] == f"orders/{order.id}"
    assert (paid["data"]["userId"], paid["data"]["total"]) == (buyer.id, str(PRICE))
    # The events of Profile come by a queue of their own source, in their order.
    assert [each["data"]["kind"] for each in got if each["type"] == POSTED] == ["top_up", "debit"]
