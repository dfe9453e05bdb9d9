"""A Commerce with the real wallets of Profile, and calls to it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from lockstep.commerce.v1 import cart_service_pb2 as cart_pb
from lockstep.commerce.v1 import cart_service_pb2_grpc as cart_grpc
from lockstep.commerce.v1 import catalog_service_pb2 as catalog_pb
from lockstep.commerce.v1 import catalog_service_pb2_grpc as catalog_grpc
from lockstep.commerce.v1 import order_service_pb2 as order_pb
from lockstep.commerce.v1 import order_service_pb2_grpc as order_grpc
from lockstep_clients import LockstepError, ServiceIdentity, bearer, connect
from psycopg.rows import namedtuple_row

import services.commerce
from services.commerce.__main__ import running
from services.commerce.settings import CommerceSettings
from services.common.keys import KeyRing
from services.kernel.db.database import Database, Observer
from services.kernel.ids import new_id
from services.kernel.sagas.engine import SagaEngine
from services.kernel.telemetry.metrics import Telemetry
from tests.commerce.people import People, money, people_world
from tests.commerce.wallet_proxy import WalletProxy, wallet_proxy
from tests.own_keys import all_keys, own_keys
from tests.profile.fake_auth import fake_auth
from tests.unfinished_sagas import until_settled

SCRIPT = Path(services.commerce.__file__).parent / "sql/check_invariants.sql"

Metadata = tuple[tuple[str, str], ...]
Product = catalog_pb.Product
Wanted = tuple[Product, int]

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Buyer:
    """A user who is logged in."""

    id: UUID
    metadata: Metadata


@dataclass(slots=True, kw_only=True)
class Shop:
    """Commerce with its callers, and its tables."""

    settings: CommerceSettings
    port: int
    database: Database
    engine: SagaEngine
    telemetry: Telemetry
    people: People
    wallets: WalletProxy
    catalog: catalog_grpc.CatalogServiceAsyncStub
    carts: cart_grpc.CartServiceAsyncStub
    orders: order_grpc.OrderServiceAsyncStub
    by_auth: order_grpc.OrderServiceAsyncStub
    admin: Metadata

    # --- people

    def login(self, role: str = "customer", user_id: UUID | None = None) -> Buyer:
        """Make a user without a wallet."""
        user_id = user_id or new_id()
        return Buyer(user_id, bearer(self.people.auth.token(user_id, role=role)))

    async def buyer(self, funds: int = 1_000_000) -> Buyer:
        """Make a customer whose wallet holds an amount."""
        return self.login(user_id=await self.people.with_funds(funds))

    # --- the catalog

    async def category(self, name: str = "", description: str = "") -> catalog_pb.Category:
        request = catalog_pb.CreateCategoryRequest(
            name=name or f"Category {next(_numbers)}", description=description
        )
        return await self.catalog.CreateCategory(request, metadata=self.admin)

    async def product(
        self, *, by: Buyer | None = None, category_id: str = "", price: int = 1000, **fields: Any
    ) -> catalog_pb.Product:
        """Make a product with usual fields, except those given."""
        usual: dict[str, Any] = {"name": f"Product {next(_numbers)}", "stock": 10}
        product = catalog_pb.Product(
            category_id=category_id or (await self.category()).id,
            price=money(price),
            **usual | fields,
        )
        return await self.catalog.CreateProduct(
            catalog_pb.CreateProductRequest(product=product),
            metadata=by.metadata if by else self.admin,
        )

    async def products(self, number: int, **fields: Any) -> list[catalog_pb.Product]:
        """Make several products in one category."""
        category = await self.category()
        usual: dict[str, Any] = {"stock": 10, "price": money(1000), "category_id": category.id}
        made = [
            catalog_pb.Product(**{"name": f"Product {next(_numbers)}"} | usual | fields)
            for _ in range(number)
        ]
        request = catalog_pb.BatchCreateProductsRequest(products=made)
        return list((await self.catalog.BatchCreateProducts(request, metadata=self.admin)).products)

    async def change(self, product: catalog_pb.Product, **fields: Any) -> catalog_pb.Product:
        """Change fields of a product as an administrator; `price` in cents."""
        if "price" in fields:
            fields["price"] = money(fields["price"])
        request = catalog_pb.UpdateProductRequest(
            product=catalog_pb.Product(id=product.id, **fields),
            update_mask=FieldMask(paths=list(fields)),
        )
        return await self.catalog.UpdateProduct(request, metadata=self.admin)

    async def remove(self, product: catalog_pb.Product) -> None:
        """Take a product out of the catalog."""
        await self.catalog.DeleteProduct(
            catalog_pb.DeleteProductRequest(product_id=product.id), metadata=self.admin
        )

    async def stock(self, product: catalog_pb.Product) -> int:
        request = catalog_pb.GetProductRequest(product_id=product.id)
        return (await self.catalog.GetProduct(request)).stock

    async def listed(self, **fields: Any) -> catalog_pb.ListProductsResponse:
        return await self.catalog.ListProducts(catalog_pb.ListProductsRequest(**fields))

    # --- carts

    async def add(
        self, buyer: Buyer, product: catalog_pb.Product, quantity: int = 1, *, key: str = ""
    ) -> cart_pb.Cart:
        request = cart_pb.AddCartItemRequest(product_id=product.id, quantity=quantity)
        return await self.carts.AddCartItem(request, metadata=_keyed(buyer, key))

    async def cart(self, buyer: Buyer) -> cart_pb.Cart:
        return await self.carts.GetCart(cart_pb.GetCartRequest(), metadata=buyer.metadata)

    async def set(
        self, buyer: Buyer, product: catalog_pb.Product, quantity: int | None
    ) -> cart_pb.Cart:
        request = cart_pb.UpdateCartItemRequest(product_id=product.id)
        if quantity is not None:
            request.quantity = quantity
        return await self.carts.UpdateCartItem(request, metadata=buyer.metadata)

    async def merge(self, buyer: Buyer, *items: Wanted) -> cart_pb.MergeCartResponse:
        given = [cart_pb.GuestItem(product_id=each.id, quantity=n) for each, n in items]
        request = cart_pb.MergeCartRequest(items=given)
        return await self.carts.MergeCart(request, metadata=buyer.metadata)

    # --- orders

    async def place(self, buyer: Buyer, *, key: str = "", **fields: Any) -> order_pb.Order:
        request = order_pb.PlaceOrderRequest(**fields)
        return await self.orders.PlaceOrder(request, metadata=_keyed(buyer, key))

    async def bought(
        self, buyer: Buyer, product: catalog_pb.Product, quantity: int = 1
    ) -> order_pb.Order:
        """Put a product into the cart and order it."""
        await self.add(buyer, product, quantity)
        return await self.place(buyer)

    async def order(self, buyer: Buyer, order_id: str) -> order_pb.Order:
        request = order_pb.GetOrderRequest(order_id=order_id)
        return await self.orders.GetOrder(request, metadata=buyer.metadata)

    async def history(self, buyer: Buyer) -> list[order_pb.Order]:
        response = await self.orders.ListOrders(
            order_pb.ListOrdersRequest(), metadata=buyer.metadata
        )
        return list(response.orders)

    async def cancel(
        self, buyer: Buyer, order_id: str, *items: Wanted, key: str = ""
    ) -> order_pb.Order:
        request = order_pb.CancelOrderRequest(order_id=order_id, items=map(wanted, items))
        return await self.orders.CancelOrder(request, metadata=_keyed(buyer, key))

    async def fulfil(
        self,
        seller: Buyer,
        order_id: str,
        *products: catalog_pb.Product,
        key: str = "",
        **more: str,
    ) -> order_pb.Order:
        request = order_pb.FulfilOrderRequest(
            order_id=order_id, product_ids=[each.id for each in products], **more
        )
        return await self.orders.FulfilOrder(request, metadata=_keyed(seller, key))

    async def refund(
        self, seller: Buyer, order_id: str, *items: Wanted, key: str = "", **more: Any
    ) -> order_pb.Order:
        request = order_pb.RefundOrderRequest(
            order_id=order_id, items=map(wanted, items), **{"reason": "It came back."} | more
        )
        return await self.orders.RefundOrder(request, metadata=_keyed(seller, key))

    async def forget(self, buyer: Buyer, *, saga_id: UUID | None = None) -> None:
        await self.by_auth.ForgetUser(
            order_pb.ForgetUserRequest(saga_id=str(saga_id or new_id()), user_id=str(buyer.id))
        )

    async def balance(self, buyer: Buyer) -> int:
        return await self.people.balance(buyer.id)

    # --- a look inside

    def rows(self, query: str, *values: Any) -> list[Any]:
        """Run a statement on the database and return its rows."""
        url = self.settings.commerce_database_url
        with psycopg.connect(url, row_factory=namedtuple_row) as connection:
            cursor = connection.execute(query.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    async def settled(self) -> None:
        """End all leases, and wait until every saga has ended."""
        await until_settled(lambda statement: asyncio.to_thread(self.rows, statement))

    def check(self) -> None:
        """Check that stock, reservations, orders and ledger agree."""
        problems = self.rows(SCRIPT.read_text())
        assert problems == [], problems
        assert self.people.wrong_balances() == []
        charged = {row.id: row.amount for row in self.people.charged()}
        orders = self.rows(KEPT)
        shares = self.people.shares()
        assert self.people.sales() == sum(order.kept - order.shares for order in orders)
        for order in orders:
            assert charged.get(order.debit_id, 0) == order.kept
            assert shares.get(order.debit_id, 0) == order.shares


# What an order keeps of the money, and its sellers: what was neither cancelled nor came back.
KEPT = """
SELECT debit_id,
       CASE WHEN state IN ('PENDING', 'FAILED') THEN 0 ELSE (
         SELECT sum(unit_price * (quantity - cancelled_quantity - returned_quantity))::bigint
           FROM order_items WHERE order_id = orders.id) END AS kept,
       CASE WHEN state IN ('PENDING', 'FAILED') THEN 0 ELSE (
         SELECT coalesce(sum(price - price * commission_bps / 10000), 0)::bigint
           FROM order_items, LATERAL (VALUES (
             unit_price * (quantity - cancelled_quantity - returned_quantity))) AS line (price)
          WHERE order_id = orders.id) END AS shares
  FROM orders
"""


def wanted(item: Wanted) -> order_pb.RefundItem:
    product, quantity = item
    return order_pb.RefundItem(product_id=product.id, quantity=quantity)


def _keyed(buyer: Buyer, key: str) -> Metadata:
    return (*buyer.metadata, ("idempotency-key", key)) if key else buyer.metadata


@contextmanager
def refusal(reason: str, code: type[LockstepError] = LockstepError) -> Iterator[Any]:
    """Expect an error with a reason, and give the error."""
    with pytest.raises(code) as caught:
        yield caught
    assert caught.value.reason == reason, caught.value


def fields_of(error: pytest.ExceptionInfo[LockstepError]) -> set[str]:
    """Return which fields were wrong."""
    return {violation.field for violation in error.value.violations}


@asynccontextmanager
async def shop_world(
    commerce_url: str,
    profile_url: str,
    keys: Path,
    home: Path,
    *,
    observer: Observer | None = None,
    profile_observer: Observer | None = None,
    **settings: Any,
) -> AsyncIterator[Shop]:
    """Run Commerce and Profile on databases, with a fake Auth beside them."""
    async with AsyncExitStack() as stack:
        auth = await stack.enter_async_context(fake_auth(keys))
        people = await stack.enter_async_context(
            people_world(profile_url, keys, auth, observer=profile_observer)
        )
        wallets = await stack.enter_async_context(wallet_proxy(f"127.0.0.1:{people.port}"))
        configured = CommerceSettings(
            env="test",
            home=home,
            keys=own_keys(keys, "commerce"),
            commerce_database_url=commerce_url,
            auth_address=f"127.0.0.1:{auth.port}",
            profile_address=f"127.0.0.1:{wallets.port}",
            stop_grace_seconds=1,
            **settings,
        )
        process = await stack.enter_async_context(
            running(configured, listen_on="127.0.0.1:0", observer=observer)
        )
        shop = await stack.enter_async_context(connected(process.port, configured, people, wallets))
        assert process.composition.engine is not None
        shop.database, shop.engine = process.database, process.composition.engine
        shop.telemetry = process.telemetry
        yield shop


@asynccontextmanager
async def connected(
    port: int, settings: CommerceSettings, people: People, wallets: WalletProxy
) -> AsyncIterator[Shop]:
    """Open the channels of all callers of Commerce."""
    auth_key = KeyRing.load(all_keys(settings.keys, "commerce"), "auth").private_key
    address = f"127.0.0.1:{port}"
    async with (
        connect(address) as public,
        connect(address, identity=ServiceIdentity("auth", auth_key)) as internal,
    ):
        yield Shop(
            settings=settings,
            port=port,
            database=None,  # type: ignore[arg-type]  # only of one in this process
            engine=None,  # type: ignore[arg-type]  # as above
            telemetry=None,  # type: ignore[arg-type]  # as above
            people=people,
            wallets=wallets,
            catalog=catalog_grpc.CatalogServiceStub(public),
            carts=cart_grpc.CartServiceStub(public),
            orders=order_grpc.OrderServiceStub(public),
            by_auth=order_grpc.OrderServiceStub(internal),
            admin=bearer(people.auth.token(new_id(), role="admin")),
        )
