"""Orders as a buyer sees them."""

from __future__ import annotations

import asyncio

import psycopg
import pytest
from google.type.money_pb2 import Money
from lockstep.commerce.v1 import order_service_pb2 as order_pb
from lockstep_clients import (
    Aborted,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Unauthenticated,
)

from services.commerce.store import CLEANUPS
from services.kernel.db.cleaner import Cleaner
from services.kernel.ids import new_id
from tests.commerce.people import minor_of, money
from tests.commerce.world import Shop, fields_of, refusal

pytestmark = pytest.mark.asyncio(loop_scope="module")

State = order_pb.OrderState


@pytest.fixture(name="shop")
def shop_of_all(shared_shop: Shop) -> Shop:
    return shared_shop


async def test_an_order_takes_stock_and_money_and_what_was_ordered_out_of_the_cart(
    shop: Shop,
) -> None:
    buyer = await shop.buyer(10_000)
    tea, pot = await shop.product(price=250, stock=5), await shop.product(price=3000, stock=1)
    await shop.add(buyer, tea, 3)
    await shop.add(buyer, pot)
    order = await shop.place(buyer, expected_total=money(3750))
    assert order.state == State.ORDER_STATE_PAID
    assert order.user_id == str(buyer.id)
    assert [
        (i.product_id, i.name, i.quantity, minor_of(i.unit_price), minor_of(i.line_total))
        for i in order.items
    ] == [(tea.id, tea.name, 3, 250, 750), (pot.id, pot.name, 1, 3000, 3000)]
    assert minor_of(order.total) == 3750
    assert order.create_time.seconds
    assert not order.HasField("failure_reason")
    assert (await shop.stock(tea), await shop.stock(pot)) == (2, 0)
    assert await shop.balance(buyer) == 10_000 - 3750
    assert not (await shop.cart(buyer)).items
    assert await shop.order(buyer, order.id) == order


async def test_an_order_never_changes_whatever_happens_to_the_products(shop: Shop) -> None:
    buyer, product = await shop.buyer(), await shop.product(name="Old name", price=100)
    order = await shop.bought(buyer, product, 2)
    await shop.change(product, name="New name", price=999)
    await shop.remove(product)
    assert await shop.order(buyer, order.id) == order


async def test_an_empty_cart_cannot_be_ordered(shop: Shop) -> None:
    buyer, product = await shop.buyer(), await shop.product()
    with refusal("CART_EMPTY", FailedPrecondition):
        await shop.place(buyer)
    await shop.add(buyer, product)
    await shop.set(buyer, product, 0)
    with refusal("CART_EMPTY", FailedPrecondition):
        await shop.place(buyer)
    assert await shop.history(buyer) == []


async def test_an_order_is_of_everything_in_the_cart_or_of_nothing(shop: Shop) -> None:
    buyer = await shop.buyer()
    good, scarce, gone = await shop.products(3)
    for product in (good, scarce, gone):
        await shop.add(buyer, product, 2)
    await shop.change(scarce, stock=1)
    with refusal("NO_STOCK", FailedPrecondition) as caught:
        await shop.place(buyer)
    assert caught.value.metadata["product_id"] == scarce.id
    await shop.remove(gone)
    with refusal("ITEM_UNAVAILABLE", FailedPrecondition) as caught:
        await shop.place(buyer)
    assert caught.value.metadata["product_id"] == gone.id
    assert await shop.stock(good) == 10
    assert len((await shop.cart(buyer)).items) == 3
    assert await shop.balance(buyer) == 1_000_000


async def test_a_total_that_is_not_the_expected_one_orders_nothing(shop: Shop) -> None:
    buyer, product = await shop.buyer(), await shop.product(price=100)
    await shop.add(buyer, product)
    await shop.change(product, price=120)
    for expected in (100, 0, 121):
        with refusal("PRICE_CHANGED", FailedPrecondition):
            await shop.place(buyer, expected_total=money(expected))
    assert minor_of((await shop.place(buyer, expected_total=money(120))).total) == 120


async def test_an_expected_total_is_an_amount_of_the_one_currency(shop: Shop) -> None:
    buyer = await shop.buyer()
    for wrong in (Money(currency_code="EUR", units=1), Money(units=-1), Money(nanos=1)):
        for validate_only in (False, True):
            with refusal("INVALID_FIELD", InvalidArgument) as caught:
                await shop.place(buyer, expected_total=wrong, validate_only=validate_only)
            assert next(iter(fields_of(caught))).startswith("expected_total")


async def test_validate_only_says_what_would_be_and_changes_nothing(shop: Shop) -> None:
    buyer, product = await shop.buyer(), await shop.product(price=100)
    with refusal("CART_EMPTY", FailedPrecondition):
        await shop.place(buyer, validate_only=True)
    before = await shop.add(buyer, product, 2)
    order = await shop.place(buyer, validate_only=True, key="same")
    assert (order.id, minor_of(order.total)) == ("", 200)
    assert order.items[0].product_id == product.id
    with refusal("PRICE_CHANGED", FailedPrecondition):
        await shop.place(buyer, validate_only=True, expected_total=money(1))
    await shop.add(buyer, product, 100)
    with refusal("NO_STOCK", FailedPrecondition):
        await shop.place(buyer, validate_only=True)
    await shop.remove(product)
    with refusal("ITEM_UNAVAILABLE", FailedPrecondition):
        await shop.place(buyer, validate_only=True)
    assert await shop.history(buyer) == []
    assert await shop.balance(buyer) == 1_000_000
    assert (await shop.cart(buyer)).etag != before.etag


async def test_too_little_money_charges_nothing_and_gives_the_stock_back(shop: Shop) -> None:
    """[C11]"""
    buyer, product = await shop.buyer(999), await shop.product(price=1000, stock=3)
    await shop.add(buyer, product)
    with refusal("INSUFFICIENT_FUNDS", FailedPrecondition):
        await shop.place(buyer)
    assert (await shop.stock(product), await shop.balance(buyer)) == (3, 999)
    assert len((await shop.cart(buyer)).items) == 1
    (failed,) = await shop.history(buyer)
    assert failed.state == State.ORDER_STATE_FAILED
    assert failed.failure_reason == "INSUFFICIENT_FUNDS"
    await shop.people.top_up(buyer.id, 1)
    assert (await shop.place(buyer)).state == State.ORDER_STATE_PAID


async def test_a_closed_wallet_pays_for_nothing(shop: Shop) -> None:
    """[C17]"""
    buyer, product = await shop.buyer(), await shop.product(stock=3)
    await shop.add(buyer, product)
    await shop.people.forget(buyer.id)
    with refusal("INSUFFICIENT_FUNDS", FailedPrecondition):
        await shop.place(buyer)
    assert await shop.stock(product) == 3


async def test_what_costs_nothing_moves_no_money(shop: Shop) -> None:
    buyer, product = await shop.buyer(0), await shop.product(price=0)
    order = await shop.bought(buyer, product, 2)
    assert (order.state, minor_of(order.total)) == (State.ORDER_STATE_PAID, 0)
    assert (await shop.cancel(buyer, order.id)).state == State.ORDER_STATE_CANCELLED
    assert await shop.stock(product) == 10


async def test_a_total_cannot_overflow(shop: Shop) -> None:
    """[C35]"""
    buyer, product = await shop.buyer(), await shop.product(price=10**12, stock=9999)
    await shop.add(buyer, product, 9999)
    assert minor_of((await shop.cart(buyer)).subtotal) == 9999 * 10**12
    for validate_only in (False, True):
        with refusal("QUANTITY_LIMIT", FailedPrecondition):
            await shop.place(buyer, validate_only=validate_only)
    assert await shop.stock(product) == 9999


async def test_the_same_key_is_the_same_order(shop: Shop) -> None:
    buyer, product = await shop.buyer(), await shop.product()
    await shop.add(buyer, product)
    order = await shop.place(buyer, key="once")
    await shop.add(buyer, product)
    assert await shop.place(buyer, key="once") == order
    await shop.cancel(buyer, order.id)
    assert await shop.place(buyer, key="once") == order
    with refusal("IDEMPOTENCY_KEY_REUSED", InvalidArgument):
        await shop.place(buyer, key="once", expected_total=money(1))
    assert (await shop.place(buyer, key="twice")).id != order.id


async def test_a_refusal_is_the_answer_of_its_key_too(shop: Shop) -> None:
    buyer, product = await shop.buyer(0), await shop.product()
    with refusal("CART_EMPTY", FailedPrecondition):
        await shop.place(buyer, key="empty")
    await shop.add(buyer, product)
    with refusal("CART_EMPTY", FailedPrecondition):
        await shop.place(buyer, key="empty")
    with refusal("INSUFFICIENT_FUNDS", FailedPrecondition):
        await shop.place(buyer, key="poor")
    await shop.people.top_up(buyer.id, 5000)
    with refusal("INSUFFICIENT_FUNDS", FailedPrecondition):
        await shop.place(buyer, key="poor")
    assert (await shop.place(buyer, key="rich")).state == State.ORDER_STATE_PAID


async def test_only_a_living_session_orders(shop: Shop) -> None:
    buyer, product = await shop.buyer(), await shop.product()
    await shop.add(buyer, product)
    roles = shop.people.auth.roles
    ended = list(roles)[-1]
    kept = roles.pop(ended)
    with refusal("SESSION_ENDED", Unauthenticated):
        await shop.place(buyer)
    roles[ended] = kept
    await shop.place(buyer)


async def test_orders_are_listed_newest_first_by_token(shop: Shop) -> None:
    buyer, product = await shop.buyer(), await shop.product(price=1)
    placed = [(await shop.bought(buyer, product)).id for _ in range(5)]
    seen: list[str] = []
    token = ""
    for _ in range(3):
        page = await shop.orders.ListOrders(
            order_pb.ListOrdersRequest(page_size=2, page_token=token), metadata=buyer.metadata
        )
        seen += [order.id for order in page.orders]
        token = page.next_page_token
    assert (seen, token) == (placed[::-1], "")


async def test_orders_are_their_users_and_the_administrators(shop: Shop) -> None:
    buyer, other = await shop.buyer(), shop.login()
    order = await shop.bought(buyer, await shop.product())
    request = order_pb.GetOrderRequest(order_id=order.id)
    theirs = order_pb.ListOrdersRequest(user_id=str(buyer.id))
    cancellation = order_pb.CancelOrderRequest(order_id=order.id)
    for there in (order.id, str(new_id())):  # nobody learns which orders others have
        request.order_id = cancellation.order_id = there
        with refusal("ORDER_NOT_FOUND", NotFound):
            await shop.orders.GetOrder(request, metadata=other.metadata)
        with refusal("ORDER_NOT_FOUND", NotFound):
            await shop.orders.CancelOrder(cancellation, metadata=other.metadata)
    with refusal("FORBIDDEN", PermissionDenied):
        await shop.orders.ListOrders(theirs, metadata=other.metadata)
    request.order_id = cancellation.order_id = order.id
    assert await shop.orders.GetOrder(request, metadata=shop.admin) == order
    listed = await shop.orders.ListOrders(theirs, metadata=shop.admin)
    assert list(listed.orders) == [order] == await shop.history(buyer)
    cancelled = await shop.orders.CancelOrder(cancellation, metadata=shop.admin)
    assert cancelled.state == State.ORDER_STATE_CANCELLED


async def test_unknown_and_malformed_orders_are_told_apart(shop: Shop) -> None:
    buyer = shop.login()
    with refusal("ORDER_NOT_FOUND", NotFound):
        await shop.order(buyer, str(new_id()))
    with refusal("ORDER_NOT_FOUND", NotFound):
        await shop.cancel(buyer, str(new_id()))
    with refusal("INVALID_FIELD", InvalidArgument):
        await shop.order(buyer, "1")
    token = await shop.orders.ListOrders(order_pb.ListOrdersRequest(), metadata=buyer.metadata)
    assert token.next_page_token == ""
    for wrong in ({"page_size": -1}, {"page_token": "x"}, {"user_id": "x"}):
        with refusal("INVALID_FIELD", InvalidArgument) as caught:
            await shop.orders.ListOrders(
                order_pb.ListOrdersRequest(**wrong),
                metadata=buyer.metadata,
            )
        assert fields_of(caught) == set(wrong)


async def test_a_cancelled_order_gives_money_and_goods_back_once(shop: Shop) -> None:
    buyer, product = await shop.buyer(5000), await shop.product(stock=5)
    order = await shop.bought(buyer, product, 3)
    assert await shop.balance(buyer) == 2000
    cancelled = await shop.cancel(buyer, order.id)
    assert cancelled.state == State.ORDER_STATE_CANCELLED
    assert [item.cancelled_quantity for item in cancelled.items] == [3]
    assert await shop.cancel(buyer, order.id) == cancelled
    assert await shop.cancel(buyer, order.id, key="again") == cancelled
    assert (await shop.balance(buyer), await shop.stock(product)) == (5000, 5)


async def test_cancellations_at_once_are_one(shop: Shop) -> None:
    buyer, product = await shop.buyer(5000), await shop.product(stock=5)
    order = await shop.bought(buyer, product, 3)
    answers = await asyncio.gather(*(shop.cancel(buyer, order.id) for _ in range(6)))
    assert {answer.state for answer in answers} == {State.ORDER_STATE_CANCELLED}
    assert (await shop.balance(buyer), await shop.stock(product)) == (5000, 5)


async def test_the_goods_of_a_cancelled_order_go_back_to_a_product_that_was_deleted(
    shop: Shop,
) -> None:
    buyer, product = await shop.buyer(), await shop.product(stock=5)
    order = await shop.bought(buyer, product, 3)
    await shop.remove(product)
    await shop.cancel(buyer, order.id)
    assert shop.rows("SELECT stock FROM products WHERE id = %s", product.id)[0].stock == 5


async def test_goods_that_come_back_never_overflow_a_stock(shop: Shop) -> None:
    buyer, product = await shop.buyer(), await shop.product(stock=5)
    order = await shop.bought(buyer, product, 3)
    shop.rows("UPDATE products SET stock = 2147483647")  # as 0.1 allowed
    assert (await shop.cancel(buyer, order.id)).state == State.ORDER_STATE_CANCELLED
    assert await shop.stock(product) == 2**31 - 1


async def test_what_was_ordered_is_never_changed(shop: Shop) -> None:
    order = await shop.bought(await shop.buyer(), await shop.product(), 2)
    for change in ("quantity = 1", "unit_price = 0", "name = 'x'", "product_id = order_id"):
        with pytest.raises(psycopg.errors.RestrictViolation):
            shop.rows(f"UPDATE order_items SET {change} WHERE order_id = %s", order.id)


async def test_orders_that_failed_go_after_thirty_days_and_no_others(shop: Shop) -> None:
    buyer, product = await shop.buyer(1500), await shop.product()
    paid = await shop.bought(buyer, product)
    await shop.add(buyer, product)
    for _ in "ab":
        with refusal("INSUFFICIENT_FUNDS"):
            await shop.place(buyer)
    young, old, _ = await shop.history(buyer)
    aged = "UPDATE orders SET update_time = update_time - interval '31 days' WHERE id = any(%s)"
    shop.rows(aged, [old.id, paid.id])
    for kept in ("idempotency WHERE scope = 'user:' || %s", "sagas WHERE user_id = %s::uuid"):
        shop.rows(f"DELETE FROM {kept}", str(buyer.id))  # they go long before
    await Cleaner(shop.database, CLEANUPS).sweep()
    assert await shop.history(buyer) == [young, paid]
    with refusal("ORDER_NOT_FOUND", NotFound):
        await shop.order(buyer, old.id)
    assert shop.rows("SELECT 1 FROM order_items WHERE order_id = %s", old.id) == []


async def test_what_was_not_paid_cannot_be_cancelled(shop: Shop) -> None:
    buyer, product = await shop.buyer(0), await shop.product()
    await shop.add(buyer, product)
    with refusal("INSUFFICIENT_FUNDS"):
        await shop.place(buyer)
    (failed,) = await shop.history(buyer)
    with refusal("ILLEGAL_STATE", FailedPrecondition):
        await shop.cancel(buyer, failed.id)


async def test_a_refused_cancellation_is_the_answer_of_its_key_too(shop: Shop) -> None:
    """[R7]: whichever check has found it, and although it would be possible now."""
    buyer, product = await shop.buyer(5000), await shop.product()
    order, unknown = await shop.bought(buyer, product), str(new_id())
    stranger = shop.login()
    reasons = {buyer: "ILLEGAL_STATE", stranger: "ORDER_NOT_FOUND"}
    shop.rows("UPDATE orders SET state = 'PENDING', pay_time = NULL WHERE id = %s", order.id)
    for _ in range(2):
        for who, reason in reasons.items():
            with refusal(reason):
                await shop.cancel(who, order.id, key="refused")
        with refusal("ORDER_NOT_FOUND"):
            await shop.cancel(buyer, unknown, key="unknown")
        shop.rows("UPDATE orders SET state = 'PAID' WHERE id = %s", order.id)
    cancelled = await shop.cancel(buyer, order.id, key="possible")
    assert cancelled.state == State.ORDER_STATE_CANCELLED
    with refusal("ILLEGAL_STATE"):
        await shop.cancel(buyer, order.id, key="refused")


async def test_a_cancelled_order_stays_so_when_its_saga_was_cleaned_up(shop: Shop) -> None:
    buyer, product = await shop.buyer(5000), await shop.product()
    order = await shop.bought(buyer, product)
    cancelled = await shop.cancel(buyer, order.id, key="once")
    shop.rows("DELETE FROM sagas WHERE user_id = %s", buyer.id)
    assert await shop.cancel(buyer, order.id, key="once") == cancelled
    assert await shop.cancel(buyer, order.id) == cancelled
    assert shop.rows("SELECT 1 FROM sagas WHERE user_id = %s", buyer.id) == []
    shop.rows("DELETE FROM idempotency WHERE scope = %s", f"user:{buyer.id}")  # a day has passed


async def test_an_administrator_cancels_the_cancelled_order_of_a_forgotten_user(
    shop: Shop,
) -> None:
    buyer, product = await shop.buyer(5000), await shop.product()
    admin = shop.login("admin")
    order = await shop.bought(buyer, product)
    await shop.cancel(admin, order.id, key="once")
    await shop.forget(buyer)
    for key in ("once", "twice", ""):
        found = await shop.cancel(admin, order.id, key=key)
        assert (found.state, found.user_id) == (State.ORDER_STATE_CANCELLED, "")


async def test_a_double_click_is_one_order(shop: Shop) -> None:
    """[C1] Without a key the second is refused; with the same key it is the first."""
    for keys in (("", ""), ("once", "once")):
        buyer, product = await shop.buyer(), await shop.product()
        await shop.add(buyer, product)
        answers = await asyncio.gather(
            *(shop.place(buyer, key=key) for key in keys), return_exceptions=True
        )
        orders = {answer.id for answer in answers if isinstance(answer, order_pb.Order)}
        assert len(orders) == 1
        if keys[0]:
            assert answers[0] == answers[1]
        else:
            (refused,) = (each for each in answers if isinstance(each, BaseException))
            assert isinstance(refused, Aborted | FailedPrecondition)
            assert refused.reason in {"CHECKOUT_IN_PROGRESS", "CART_EMPTY"}
        assert await shop.stock(product) == 9
        assert await shop.balance(buyer) == 1_000_000 - 1000
