"""ForgetUser: the pivot of an account's deletion."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta
from uuid import UUID

from lockstep.commerce.v1 import cart_service_pb2 as cart_pb
from lockstep.commerce.v1 import catalog_service_pb2 as catalog_pb
from lockstep.commerce.v1 import order_service_pb2 as order_pb
from lockstep_clients import (
    Aborted,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Unauthenticated,
)

from services.commerce.store.users import FORGETTING
from services.common.forgetting import FORGOTTEN_AT_ONCE
from services.kernel.db.cleaner import Cleaner
from services.kernel.ids import new_id
from tests.commerce.wallet_proxy import Held
from tests.commerce.world import Buyer, Shop, fields_of, refusal


async def test_a_forgotten_user_leaves_orders_without_a_name_and_nothing_else(shop: Shop) -> None:
    buyer = await shop.buyer()
    product, other = await shop.products(2)
    await shop.add(buyer, product, 2)
    order = await shop.place(buyer, key="once")
    await shop.cancel(buyer, order.id)
    await shop.add(buyer, other)
    await shop.place(buyer)
    await shop.add(buyer, product, key="again")
    await shop.forget(buyer)
    found = await shop.orders.GetOrder(
        order_pb.GetOrderRequest(order_id=order.id), metadata=shop.admin
    )
    assert (found.user_id, found.number) == ("", order.number)
    assert [item.cancelled_quantity for item in found.items] == [2]
    assert not (await shop.cart(buyer)).items
    for table in ("carts", "cart_items", "idempotency", "sagas", "orders", "saga_barriers"):
        for row in shop.rows(f"SELECT {table}::text AS text FROM {table}"):
            assert str(buyer.id) not in row.text
    assert [row.user_id for row in shop.rows("SELECT user_id FROM forgotten_users")] == [buyer.id]
    assert len(shop.rows("SELECT 1 FROM sagas")) == 3


async def test_a_forgotten_user_writes_nothing_any_more(shop: Shop) -> None:
    """An access token outlives its session by a minute; the tombstone counts at once."""
    buyer, product = await shop.buyer(), await shop.product()
    await shop.add(buyer, product)
    await shop.forget(buyer)
    removal = cart_pb.RemoveCartItemRequest(product_id=product.id)
    for attempt in (
        lambda: shop.add(buyer, product),
        lambda: shop.add(buyer, product, key="k"),
        lambda: shop.set(buyer, product, 1),
        lambda: shop.carts.RemoveCartItem(removal, metadata=buyer.metadata),
        lambda: shop.carts.ClearCart(cart_pb.ClearCartRequest(), metadata=buyer.metadata),
        lambda: shop.place(buyer),
        lambda: shop.place(buyer, key="k"),
    ):
        with refusal("SESSION_ENDED", Unauthenticated):
            await attempt()
    assert shop.rows("SELECT 1 FROM carts") == []
    own = "SELECT 1 FROM idempotency WHERE scope = %s"
    assert shop.rows(own, f"user:{buyer.id}") == []


async def test_a_forgotten_brand_has_no_new_products(shop: Shop) -> None:
    brand = shop.login("brand")
    product = await shop.product(by=brand)
    await shop.forget(brand)
    with refusal("SESSION_ENDED", Unauthenticated):
        await shop.product(by=brand, category_id=product.category_id)


async def test_a_repeat_after_weeks_refuses_what_comes_late_anew(shop: Shop) -> None:
    """Auth ends the sessions after the answer, and the answer may have been lost for weeks."""
    brand, saga_id = shop.login("brand"), new_id()
    await shop.forget(brand, saga_id=saga_id)
    shop.rows("DELETE FROM forgotten_users")
    await shop.forget(brand, saga_id=saga_id)
    with refusal("SESSION_ENDED"):
        await shop.product(by=brand)


async def test_a_repeat_keeps_the_tombstone_for_another_week(shop: Shop) -> None:
    brand, saga_id = shop.login("brand"), new_id()
    await shop.forget(brand, saga_id=saga_id)
    shop.rows("UPDATE forgotten_users SET create_time = create_time - interval '6 days'")
    await shop.forget(brand, saga_id=saga_id)
    assert shop.rows("SELECT 1 FROM forgotten_users WHERE create_time > now() - interval '1 hour'")


async def test_the_products_of_a_forgotten_brand_leave_the_catalog(shop: Shop) -> None:
    brand, buyer = shop.login("brand"), await shop.buyer()
    sold, gone = await shop.product(by=brand), await shop.product(by=brand)
    other = await shop.product(by=shop.login("brand"), category_id=sold.category_id)
    await shop.remove(gone)
    order = await shop.bought(buyer, sold)
    await shop.add(buyer, sold)
    await shop.forget(brand)
    assert list((await shop.listed(category=sold.category_id)).products) == [other]
    with refusal("PRODUCT_NOT_FOUND", NotFound):
        await shop.catalog.GetProduct(catalog_pb.GetProductRequest(product_id=sold.id))
    with refusal("ITEM_UNAVAILABLE", FailedPrecondition):
        await shop.place(buyer)
    assert shop.rows("SELECT 1 FROM products WHERE seller_id = %s", brand.id) == []
    assert (await shop.cancel(buyer, order.id)).state == order_pb.ORDER_STATE_CANCELLED


async def forgotten(shop: Shop, user: Buyer, saga_id: UUID) -> None:
    """Forget a user as Auth's saga does: a call that is cut short is repeated."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(DeadlineExceeded):
                await shop.forget(user, saga_id=saga_id)
                return


async def test_a_brand_with_many_products_and_sales_is_forgotten_in_ranges(shop: Shop) -> None:
    brand, buyer = shop.login("brand"), await shop.buyer()
    product = await shop.product(by=brand)
    await shop.bought(buyer, product)
    many = FORGOTTEN_AT_ONCE * 2 + 5
    shop.rows(
        "INSERT INTO products (id, category_id, seller_id, name, description, price, stock,"
        " image_url) SELECT gen_random_uuid(), category_id, seller_id, 'Thing', '', 1, 1, ''"
        " FROM products, generate_series(2, %s) WHERE products.id = %s",
        many,
        product.id,
    )
    shop.rows(
        "INSERT INTO order_items (order_id, position, product_id, name, quantity, unit_price,"
        " seller_id) SELECT o.order_id, n, product_id, name, 1, 0, seller_id"
        " FROM order_items o, generate_series(1, 50) AS n"
    )
    before = shop.rows("SELECT count(DISTINCT xmin::text) AS n FROM products")[0].n
    saga_id = new_id()
    for _ in "ab":
        await forgotten(shop, brand, saga_id)
    assert shop.rows("SELECT 1 FROM products WHERE delete_time IS NULL OR seller_id NOTNULL") == []
    assert shop.rows("SELECT 1 FROM order_items WHERE seller_id IS NOT NULL") == []
    commits = shop.rows("SELECT count(DISTINCT xmin::text) AS n FROM products")[0].n
    assert (before, commits) == (2, 3)
    shop.rows("DELETE FROM order_items WHERE position > 0")


async def test_forgetting_is_repeatable_and_may_come_for_nobody(shop: Shop) -> None:
    nobody, saga_id = shop.login(), new_id()
    for _ in range(2):
        await shop.forget(nobody, saga_id=saga_id)
    await shop.forget(nobody)


async def test_who_has_an_order_in_flight_is_not_forgotten_by_that_saga_ever(shop: Shop) -> None:
    """[C38] The refusal stays: a late duplicate must not forget an ACTIVE user."""
    buyer, held, saga_id = await shop.buyer(), Held(), new_id()
    before = await shop.add(buyer, await shop.product())
    shop.wallets.fault("DebitWallet", held)
    placing = asyncio.ensure_future(shop.place(buyer))
    await held.reached.wait()
    in_flight = await shop.cart(buyer)
    for _ in range(2):
        with refusal("CHECKOUT_IN_PROGRESS", Aborted):
            await shop.forget(buyer, saga_id=saga_id)
    assert await shop.cart(buyer) == in_flight != before
    held.released.set()
    order = await placing
    with refusal("CHECKOUT_IN_PROGRESS", Aborted):
        await shop.forget(buyer, saga_id=saga_id)
    assert await shop.history(buyer) == [order]
    await shop.forget(buyer)
    assert shop.rows("SELECT user_id FROM orders")[0].user_id is None


async def test_who_is_being_refunded_is_not_forgotten(shop: Shop) -> None:
    buyer, held = await shop.buyer(), Held()
    order = await shop.bought(buyer, await shop.product())
    shop.wallets.fault("RefundWallet", held)
    cancelling = asyncio.ensure_future(shop.cancel(buyer, order.id))
    await held.reached.wait()
    with refusal("CHECKOUT_IN_PROGRESS", Aborted):
        await shop.forget(buyer)
    held.released.set()
    await cancelling
    await shop.forget(buyer)


async def test_what_comes_late_forgets_nobody_unless_it_was_done_before(shop: Shop) -> None:
    """A week later the barrier is cleaned up, and the time in the message refuses it."""
    buyer, saga_id = await shop.buyer(), new_id()
    before = await shop.add(buyer, await shop.product())
    request = order_pb.ForgetUserRequest(saga_id=str(saga_id), user_id=str(buyer.id))
    request.not_after.FromDatetime(datetime.now(UTC) - timedelta(seconds=5))
    with refusal("SAGA_CANCELLED", Aborted):
        await shop.by_auth.ForgetUser(request)
    assert await shop.cart(buyer) == before
    request.not_after.FromDatetime(datetime.now(UTC) + timedelta(minutes=1))
    await shop.by_auth.ForgetUser(request)
    request.not_after.FromDatetime(datetime.now(UTC) - timedelta(seconds=5))
    await shop.by_auth.ForgetUser(request)
    assert not (await shop.cart(buyer)).items


async def test_forgetting_and_writing_at_once_leave_nothing(shop: Shop) -> None:
    """[C38] A write comes first and is forgotten, or comes later and is refused."""
    product = await shop.product(stock=1000)
    for _ in range(5):
        buyer = await shop.buyer()
        await asyncio.gather(
            shop.add(buyer, product),
            shop.place(buyer),
            shop.forget(buyer),
            shop.add(buyer, product),
            shop.place(buyer),
            return_exceptions=True,
        )
        await Cleaner(shop.database, FORGETTING.cleanups).sweep()
        if shop.rows("SELECT 1 FROM forgotten_users WHERE user_id = %s", buyer.id):
            assert shop.rows("SELECT 1 FROM carts WHERE user_id = %s", buyer.id) == []
        shop.check()


async def test_only_auth_has_users_forgotten_and_ids_are_checked(shop: Shop) -> None:
    request = order_pb.ForgetUserRequest(saga_id="x")
    for metadata in (shop.login().metadata, shop.admin, ()):
        with refusal("FORBIDDEN", PermissionDenied):
            await shop.orders.ForgetUser(request, metadata=metadata)
    with refusal("INVALID_FIELD", InvalidArgument) as caught:
        await shop.by_auth.ForgetUser(request)
    assert fields_of(caught) == {"saga_id", "user_id"}


async def test_tombstones_go_after_a_week(shop: Shop) -> None:
    old, young = shop.login(), shop.login()
    await shop.forget(old)
    await shop.forget(young)
    shop.rows(
        "UPDATE forgotten_users SET create_time = create_time - interval '8 days'"
        " WHERE user_id = %s",
        old.id,
    )
    assert await Cleaner(shop.database, FORGETTING.cleanups).sweep() == 1
    assert [row.user_id for row in shop.rows("SELECT user_id FROM forgotten_users")] == [young.id]
