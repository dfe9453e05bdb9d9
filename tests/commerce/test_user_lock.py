"""Whatever writes something of a user locks that user first, so that forgetting shuts it out."""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import psycopg
import pytest
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.field_mask_pb2 import FieldMask
from lockstep.commerce.v1 import cart_service_pb2 as cart_pb
from lockstep.commerce.v1 import catalog_service_pb2 as catalog_pb
from lockstep.commerce.v1 import order_service_pb2 as order_pb
from lockstep_clients import FailedPrecondition, LockstepError

from services.commerce.servicers.cart import CART
from services.commerce.servicers.catalog import CATALOG
from services.commerce.servicers.order import ORDER
from services.commerce.store import checkouts, users
from services.commerce.store.checkouts import PaidOrder
from services.common.forgetting import RANGE
from services.kernel.db.database import Transaction
from services.kernel.db.statement import ByUser, NoRow
from tests.commerce.drawing import small_picture
from tests.commerce.people import money
from tests.commerce.world import Buyer, Shop, refusal
from tests.waiting import until_found

# A saga is anybody's to claim, to give back and to turn, and its key goes with it. An event gets
# its number after the commit that tells it, whoever it is about. A range is what the pivot has
# left of a user who was forgotten.
OF_NOBODY = {"K", "release", "renewal", "T3", "sequence", RANGE}
READING = ("Get", "List", "BatchGet")
# A payment locks the user by itself, before it changes anything; a test below shows it.
LOCKS = {users._LOCK.sql: ByUser, checkouts._PAY.sql: PaidOrder}
WRITES = re.compile(rb"\b(?:INSERT INTO|DELETE FROM|UPDATE) +(?!SET|OF)(\w+)")


class Recorder:
    """The statements of each transaction in Commerce's database."""

    def __init__(self) -> None:
        self._statements: defaultdict[Transaction, list[tuple[bytes, Any]]] = defaultdict(list)

    def note(self, tx: Transaction, sql: bytes, parameters: Any) -> None:
        if tx._name.startswith("commerce."):
            self._statements[tx].append((sql, parameters))

    def take(self) -> tuple[set[str], list[str]]:
        """Return the tables that were written, and the transactions that wrote unlocked."""
        written: set[str] = set()
        unlocked = []
        for tx, statements in self._statements.items():
            name = tx._name.partition(".")[2]
            tables = {t.decode() for sql, _ in statements for t in WRITES.findall(sql)}
            # A refusal is kept after its transaction; the clean-up removes what comes late.
            if name in OF_NOBODY or name.endswith(".refusal"):
                continue
            # A release of shares writes nothing of a user, and ends after its request.
            if name == "T2" and tables == {"sagas"}:
                continue
            written |= tables
            sql, parameters = statements[0]
            if tables and not isinstance(parameters, LOCKS.get(sql, NoRow)):
                unlocked.append(f"{name} writes {sorted(tables)}")
        self._statements.clear()
        return written, unlocked


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder, run = Recorder(), Transaction._run

    async def recorded(self: Transaction, statement: Any, parameters: Any) -> Any:
        recorder.note(self, statement.sql, parameters)
        return await run(self, statement, parameters)

    monkeypatch.setattr(Transaction, "_run", recorded)
    return recorder


Walk = dict[str, Callable[[], Awaitable[Any]]]


async def walk_of(shop: Shop) -> Walk:
    """Return a call of every RPC of Commerce, with an effect if it can have one."""
    buyer, brand, poor = await shop.buyer(), shop.login("brand"), await shop.buyer(1)
    product, dear = await shop.product(by=brand), await shop.product(price=5000)
    for each in (buyer, poor):
        await shop.add(each, dear)
    order = await shop.bought(await _with_cart(shop), product)
    owner, seller = shop.admin, brand
    shipped = await shop.bought(await _with_cart(shop), product)
    update = catalog_pb.UpdateProductRequest(
        product=catalog_pb.Product(id=product.id, name="New"), update_mask=FieldMask(paths=["name"])
    )
    removal = cart_pb.RemoveCartItemRequest(product_id=dear.id)
    more = catalog_pb.AdjustStockRequest(product_id=product.id, delta=1)
    upload = catalog_pb.SetProductImageRequest(
        product_id=product.id, image=HttpBody(data=small_picture())
    )
    gone = catalog_pb.DeleteProductRequest(product_id=product.id)
    batch = catalog_pb.BatchCreateProductsRequest(
        products=[
            catalog_pb.Product(name="Lamp", category_id=product.category_id, price=money(100))
        ]
    )
    found = catalog_pb.GetProductRequest(product_id=dear.id)

    async def too_dear() -> None:
        with refusal("INSUFFICIENT_FUNDS", FailedPrecondition):
            await shop.place(poor, key="poor")

    async def place() -> None:
        await too_dear()
        await shop.place(buyer, key="k")
        await shop.settled()

    async def get_image() -> None:
        shown = await shop.catalog.GetProduct(catalog_pb.GetProductRequest(product_id=product.id))
        image_id = shown.image_url.rpartition("/")[2]
        await shop.catalog.GetImage(catalog_pb.GetImageRequest(image_id=image_id))

    async def cancel() -> None:
        request = order_pb.CancelOrderRequest(order_id=order.id)
        await shop.orders.CancelOrder(request, metadata=owner)

    return {
        "CreateCategory": shop.category,
        "ListCategories": lambda: shop.catalog.ListCategories(catalog_pb.ListCategoriesRequest()),
        "CreateProduct": lambda: shop.product(by=brand, category_id=product.category_id),
        "UpdateProduct": lambda: shop.catalog.UpdateProduct(update, metadata=brand.metadata),
        "AdjustStock": lambda: shop.catalog.AdjustStock(more, metadata=brand.metadata),
        "SetProductImage": lambda: shop.catalog.SetProductImage(upload, metadata=brand.metadata),
        "GetImage": get_image,
        "BatchCreateProducts": lambda: shop.catalog.BatchCreateProducts(batch, metadata=owner),
        "GetCurrency": lambda: shop.catalog.GetCurrency(catalog_pb.GetCurrencyRequest()),
        "GetProduct": lambda: shop.catalog.GetProduct(found),
        "BatchGetProducts": lambda: shop.catalog.BatchGetProducts(
            catalog_pb.BatchGetProductsRequest(ids=[dear.id])
        ),
        "ListProducts": shop.listed,
        "GetCart": lambda: shop.cart(buyer),
        "AddCartItem": lambda: shop.add(buyer, product, key="k"),
        "UpdateCartItem": lambda: shop.set(buyer, product, 2),
        "MergeCart": lambda: shop.merge(buyer, (product, 3)),
        "PlaceOrder": place,
        "GetOrder": lambda: shop.orders.GetOrder(
            order_pb.GetOrderRequest(order_id=order.id), metadata=owner
        ),
        "ListOrders": lambda: shop.history(buyer),
        "ListSales": lambda: shop.orders.ListSales(
            order_pb.ListSalesRequest(), metadata=seller.metadata
        ),
        "CancelOrder": cancel,
        "FulfilOrder": lambda: shop.fulfil(seller, shipped.id),
        "RefundOrder": lambda: shop.refund(seller, shipped.id, (product, 1)),
        "DeleteProduct": lambda: shop.catalog.DeleteProduct(gone, metadata=brand.metadata),
        "RemoveCartItem": lambda: shop.carts.RemoveCartItem(removal, metadata=poor.metadata),
        "ClearCart": lambda: shop.carts.ClearCart(
            cart_pb.ClearCartRequest(), metadata=poor.metadata
        ),
        "ForgetUser": lambda: shop.forget(buyer),
    }


async def _with_cart(shop: Shop) -> Buyer:
    buyer = await shop.buyer()
    await shop.add(buyer, await shop.product())
    return buyer


def rpcs() -> Iterator[str]:
    services: tuple[ServiceDescriptor, ...] = (CART, CATALOG, ORDER)
    for service in services:
        yield from (method.name for method in service.methods)


async def test_every_use_case_locks_the_user_before_it_writes(
    shop: Shop, recorder: Recorder
) -> None:
    walk = await walk_of(shop)
    assert set(walk) == set(rpcs()), "name every RPC here, with a call that has its effect"
    recorder.take()
    silent, unlocked = set(), {}
    for name, call in walk.items():
        await call()
        tables, found = recorder.take()
        if not tables:
            silent.add(name)
        if found:
            unlocked[name] = found
    assert unlocked == {}
    assert {name for name in walk if not name.startswith(READING)} & silent == set()
    assert silent == {name for name in walk if name.startswith(READING)}


async def test_a_write_without_the_lock_is_found(shop: Shop, recorder: Recorder) -> None:
    buyer = await shop.buyer()
    recorder.take()

    async def write(tx: Transaction) -> None:
        await tx.execute(users._MAKE, ByUser(buyer.id))

    await shop.database.transact("Careless", write)
    assert recorder.take() == ({"users"}, ["Careless writes ['users']"])


async def test_a_payment_locks_its_user_before_the_order(shop: Shop) -> None:
    buyer = await shop.buyer()
    order = await shop.bought(buyer, await shop.product())
    shop.rows("UPDATE orders SET state = 'PENDING', pay_time = NULL WHERE id = %s", order.id)

    async def pay(tx: Transaction) -> object:
        return await checkouts.pay(tx, user_id=buyer.id, order_id=UUID(order.id))

    url = shop.settings.commerce_database_url
    async with await psycopg.AsyncConnection.connect(url) as other:
        lock = "SELECT FROM users WHERE user_id = %s FOR NO KEY UPDATE"
        await other.execute(lock, [buyer.id])
        paying = asyncio.ensure_future(shop.database.transact("T2", pay))
        await wait_for_locks(shop, 1)
        await other.execute("SELECT FROM orders WHERE id = %s FOR UPDATE NOWAIT", [order.id])
    assert await paying is not None


# --- two requests that meet


@asynccontextmanager
async def held(shop: Shop, order: order_pb.Order) -> AsyncIterator[None]:
    """Hold the row of an order."""
    url = shop.settings.commerce_database_url
    async with await psycopg.AsyncConnection.connect(url) as connection:
        await connection.execute("SELECT FROM orders WHERE id = %s FOR UPDATE", [order.id])
        yield


async def wait_for_locks(shop: Shop, number: int) -> None:
    """Wait until so many backends of Commerce wait for a lock."""
    waiting = (
        "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        " AND datname = current_database()"
    )
    await until_found(
        lambda: asyncio.to_thread(shop.rows, waiting), lambda rows: len(rows) == number, seconds=10
    )


async def meet(
    shop: Shop, order: order_pb.Order, first: Awaitable[Any], second: Awaitable[Any]
) -> list[str]:
    """Let two requests about an order meet: the first has begun when the second comes."""
    async with held(shop, order):
        one = asyncio.ensure_future(first)
        await wait_for_locks(shop, 1)
        other = asyncio.ensure_future(second)
        await wait_for_locks(shop, 2)
    answers = await asyncio.gather(one, other, return_exceptions=True)
    return [each.reason if isinstance(each, LockstepError) else "ok" for each in answers]


@pytest.mark.parametrize("by_admin", [False, True])
async def test_who_cancels_first_is_not_forgotten_meanwhile(shop: Shop, by_admin: bool) -> None:
    buyer = await shop.buyer()
    order = await shop.bought(buyer, await shop.product(price=700))
    canceller = shop.login("admin") if by_admin else buyer
    answers = await meet(shop, order, shop.cancel(canceller, order.id), shop.forget(buyer))
    assert answers == ["ok", "CHECKOUT_IN_PROGRESS"]
    await shop.settled()
    assert await shop.balance(buyer) == 1_000_000
    assert (await shop.order(buyer, order.id)).state == order_pb.ORDER_STATE_CANCELLED


@pytest.mark.parametrize(
    ("by_admin", "reason"), [(False, "SESSION_ENDED"), (True, "ETAG_MISMATCH")]
)
async def test_who_is_being_forgotten_cancels_nothing(
    shop: Shop, by_admin: bool, reason: str
) -> None:
    buyer = await shop.buyer()
    order = await shop.bought(buyer, await shop.product(price=700))
    canceller = shop.login("admin") if by_admin else buyer
    answers = await meet(shop, order, shop.forget(buyer), shop.cancel(canceller, order.id, key="k"))
    assert answers == ["ok", reason]
    await shop.settled()
    assert [(row.user_id, row.state) for row in shop.rows("SELECT * FROM orders")] == [
        (None, "PAID")
    ]
    assert shop.rows("SELECT 1 FROM sagas WHERE user_id IS NOT NULL") == []
    assert shop.rows("SELECT 1 FROM users WHERE user_id = %s", buyer.id) == []


async def test_an_administrator_cancels_the_order_of_a_forgotten_user(shop: Shop) -> None:
    buyer = await shop.buyer()
    order = await shop.bought(buyer, await shop.product(price=700))
    await shop.forget(buyer)
    admin = shop.login("admin")
    assert (await shop.cancel(admin, order.id)).state == order_pb.ORDER_STATE_CANCELLED
    assert shop.rows("SELECT 1 FROM users WHERE user_id = %s", buyer.id) == []


async def test_a_repeat_of_forgetting_leaves_no_row_to_lock(shop: Shop) -> None:
    buyer = shop.login()
    await shop.forget(buyer)
    await shop.forget(buyer)
    assert shop.rows("SELECT 1 FROM users WHERE user_id = %s", buyer.id) == []
