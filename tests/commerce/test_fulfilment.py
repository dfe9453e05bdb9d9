"""An order after its payment: shipped, cancelled in part, and what comes back."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import pytest
from lockstep.commerce.v1 import catalog_service_pb2 as catalog_pb
from lockstep.commerce.v1 import order_service_pb2 as order_pb
from lockstep_clients import (
    Aborted,
    FailedPrecondition,
    InvalidArgument,
    LockstepError,
    NotFound,
    PermissionDenied,
)

from services.commerce.model.tables import ORDER_NUMBER
from services.kernel.ids import new_id
from tests.commerce.people import minor_of
from tests.commerce.wallet_proxy import Held
from tests.commerce.world import Buyer, Shop, fields_of, refusal

pytestmark = pytest.mark.asyncio(loop_scope="module")

State = order_pb.OrderState
PAID, FULFILLED = State.ORDER_STATE_PAID, State.ORDER_STATE_FULFILLED
CANCELLED = State.ORDER_STATE_CANCELLED
NUMBER = re.compile(r"[0-9A-HJKMNP-TV-Z]{8}")


@pytest.fixture(name="shop")
def shop_of_all(shared_shop: Shop) -> Shop:
    return shared_shop


class Sale:
    """An order of three of one brand's product, and of two of another's."""

    shop: Shop
    buyer: Buyer
    admin: Buyer
    brand: Buyer
    other: Buyer
    mine: catalog_pb.Product
    theirs: catalog_pb.Product
    order: order_pb.Order

    @classmethod
    async def of(cls, shop: Shop, **fields: Any) -> Sale:
        sale = cls()
        sale.shop, sale.buyer, sale.admin = shop, await shop.buyer(10_000), shop.login("admin")
        sale.brand, sale.other = shop.login("brand"), shop.login("brand")
        sale.mine = await shop.product(by=sale.brand, price=1000, stock=5)
        sale.theirs = await shop.product(by=sale.other, price=700, stock=5)
        await shop.add(sale.buyer, sale.mine, 3)
        await shop.add(sale.buyer, sale.theirs, 2)
        sale.order = await shop.place(sale.buyer, **fields)
        return sale

    async def now(self) -> order_pb.Order:
        return await self.shop.order(self.buyer, self.order.id)

    async def sums(self) -> tuple[int, int, int]:
        """Return the balance and the stocks."""
        stocks = (await self.shop.stock(self.mine), await self.shop.stock(self.theirs))
        return await self.shop.balance(self.buyer), *stocks


def counters(order: order_pb.Order) -> list[tuple[int, bool, int]]:
    return [(i.cancelled_quantity, i.fulfilled, i.returned_quantity) for i in order.items]


# --- shipping


async def test_an_order_has_a_number_and_the_address_that_the_buyer_wrote(shop: Shop) -> None:
    sale = await Sale.of(shop, shipping_address=" 1 Main St\n\nLondon ")
    assert NUMBER.fullmatch(sale.order.number)
    assert sale.order.shipping_address == "1 Main St\n\nLondon"
    assert await sale.now() == sale.order
    preview = await Sale.of(shop)
    assert preview.order.number != sale.order.number
    with refusal("INVALID_FIELD", InvalidArgument) as caught:
        await shop.place(sale.buyer, shipping_address="x" * 301)
    assert fields_of(caught) == {"shipping_address"}


async def test_an_order_gets_the_next_number_when_another_order_has_its_own(shop: Shop) -> None:
    taken = (await Sale.of(shop)).order.number
    shop.rows("CREATE SEQUENCE tries")
    shop.rows(
        "CREATE OR REPLACE FUNCTION order_number() RETURNS text LANGUAGE sql VOLATILE AS"
        f" $$ SELECT CASE nextval('tries') WHEN 1 THEN '{taken}' ELSE 'ZZZZZZZZ' END $$"
    )
    try:
        sale = await Sale.of(shop)
    finally:
        shop.rows(ORDER_NUMBER.replace("CREATE", "CREATE OR REPLACE"))
        shop.rows("DROP SEQUENCE tries")
    assert sale.order.number == "ZZZZZZZZ"
    assert await sale.sums() == (10_000 - 3 * 1000 - 2 * 700, 2, 3)


async def test_an_order_is_fulfilled_when_each_seller_has_shipped_the_own_lines(
    shop: Shop,
) -> None:
    sale = await Sale.of(shop, shipping_address="1 Main St")
    seen = await shop.fulfil(sale.brand, sale.order.id, tracking="RM 1")
    assert (seen.state, seen.user_id, seen.shipping_address) == (PAID, "", "")
    assert [item.product_id for item in seen.items] == [sale.mine.id]
    assert (minor_of(seen.total), seen.number) == (3000, sale.order.number)
    half = await sale.now()
    assert counters(half) == [(0, True, 0), (0, False, 0)]
    assert [(list(each.product_ids), each.tracking) for each in half.shipments] == [
        ([sale.mine.id], "RM 1")
    ]
    whole = await shop.fulfil(sale.admin, sale.order.id)
    assert (whole.state, whole.user_id) == (FULFILLED, str(sale.buyer.id))
    assert len(whole.shipments) == 2
    assert await sale.now() == whole
    assert await sale.sums() == (10_000 - 4400, 2, 3)


async def test_a_shipment_is_noted_once_for_each_key(shop: Shop) -> None:
    sale = await Sale.of(shop, shipping_address="1 Main St")
    first = await shop.fulfil(sale.admin, sale.order.id, sale.mine, key="once")
    assert await shop.fulfil(sale.admin, sale.order.id, sale.mine, key="once") == first
    for products in ((sale.mine,), (sale.theirs, sale.mine)):
        with refusal("ILLEGAL_STATE", FailedPrecondition):
            await shop.fulfil(sale.admin, sale.order.id, *products)
    await shop.fulfil(sale.admin, sale.order.id)
    with refusal("ILLEGAL_STATE", FailedPrecondition):
        await shop.fulfil(sale.admin, sale.order.id)
    with refusal("IDEMPOTENCY_KEY_REUSED", InvalidArgument):
        await shop.fulfil(sale.admin, sale.order.id, key="once")


async def test_only_sellers_and_administrators_ship_and_take_back(shop: Shop) -> None:
    sale = await Sale.of(shop)
    acts: tuple[Callable[[Buyer], Awaitable[order_pb.Order]], ...] = (
        lambda who: shop.fulfil(who, sale.order.id),
        lambda who: shop.refund(who, sale.order.id, (sale.mine, 1)),
    )
    for act in acts:
        with refusal("FORBIDDEN", PermissionDenied):
            await act(sale.buyer)
        for stranger in (shop.login(), shop.login("brand")):
            with refusal("ORDER_NOT_FOUND", NotFound):
                await act(stranger)
    with refusal("ORDER_NOT_FOUND", NotFound):
        await shop.fulfil(sale.admin, str(new_id()))
    with refusal("INVALID_FIELD", InvalidArgument) as caught:
        await shop.fulfil(sale.brand, sale.order.id, sale.mine, sale.theirs)
    assert fields_of(caught) == {"product_ids[1]"}
    with refusal("INVALID_FIELD", InvalidArgument) as caught:
        await shop.fulfil(sale.brand, sale.order.id, sale.mine, sale.mine, tracking="x\ny")
    assert fields_of(caught) == {"product_ids[1]", "tracking"}
    assert await sale.now() == sale.order


async def test_what_is_not_paid_is_not_shipped(shop: Shop) -> None:
    buyer, product = await shop.buyer(0), await shop.product()
    await shop.add(buyer, product)
    with refusal("INSUFFICIENT_FUNDS"):
        await shop.place(buyer)
    (failed,) = await shop.history(buyer)
    admin = shop.login("admin")
    for attempt in (
        shop.fulfil(admin, failed.id),
        shop.refund(admin, failed.id, (product, 1)),
        shop.cancel(admin, failed.id, (product, 1)),
    ):
        with refusal("ILLEGAL_STATE", FailedPrecondition):
            await attempt


async def test_an_order_tells_when_it_was_paid_and_what_each_parcel_holds(shop: Shop) -> None:
    sale = await Sale.of(shop)
    await shop.cancel(sale.buyer, sale.order.id, (sale.mine, 2))
    await shop.fulfil(sale.brand, sale.order.id)
    await shop.refund(sale.brand, sale.order.id, (sale.mine, 1))
    whole = await shop.fulfil(sale.other, sale.order.id)
    now = await sale.now()
    assert [[(i.product_id, i.quantity) for i in each.items] for each in now.shipments] == [
        [(sale.mine.id, 1)],
        [(sale.theirs.id, 2)],
    ]
    assert [list(each.product_ids) for each in now.shipments] == [[sale.mine.id], [sale.theirs.id]]
    assert [each.items[0].product_id for each in whole.shipments] == [sale.theirs.id]
    times = [
        each.ToDatetime() for each in (now.create_time, now.pay_time, now.shipments[0].create_time)
    ]
    assert times == sorted(times)
    (listed,) = await shop.history(sale.buyer)
    assert whole.pay_time == listed.pay_time == now.pay_time == sale.order.pay_time


async def test_an_order_that_is_not_paid_has_no_time_of_payment(shop: Shop) -> None:
    buyer, product = await shop.buyer(0), await shop.product()
    await shop.add(buyer, product)
    preview = await shop.place(buyer, validate_only=True)
    with refusal("INSUFFICIENT_FUNDS"):
        await shop.place(buyer)
    (failed,) = await shop.history(buyer)
    assert [each.HasField("pay_time") for each in (preview, failed)] == [False, False]
    with pytest.raises(psycopg.errors.CheckViolation):
        shop.rows("UPDATE orders SET pay_time = now() WHERE id = %s", failed.id)


async def test_a_kept_answer_tells_the_time_of_payment_that_is_not_kept_with_it(
    shop: Shop,
) -> None:
    buyer, admin, product = await shop.buyer(9000), shop.login("admin"), await shop.product()
    await shop.add(buyer, product, 3)
    placed = await shop.place(buyer, key="place")
    acts: tuple[Callable[[], Awaitable[order_pb.Order]], ...] = (
        lambda: shop.cancel(buyer, placed.id, (product, 1), key="cancel"),
        lambda: shop.fulfil(admin, placed.id, key="ship"),
        lambda: shop.refund(admin, placed.id, (product, 1), key="back"),
    )
    for act in acts:
        first = await act()
        assert first.pay_time == placed.pay_time
        assert await act() == first
    kept = shop.rows("SELECT result::text AS json FROM sagas WHERE result IS NOT NULL")
    kept += shop.rows("SELECT reply::text AS json FROM idempotency WHERE reply IS NOT NULL")
    assert len(kept) > len(acts)
    assert not [row.json for row in kept if "pay_time" in row.json]


async def test_an_order_of_before_has_no_time_of_payment(shop: Shop) -> None:
    sale = await Sale.of(shop)
    shop.rows("UPDATE orders SET pay_time = NULL WHERE id = %s", sale.order.id)
    assert not (await sale.now()).HasField("pay_time")
    shipped = await shop.fulfil(sale.admin, sale.order.id)
    assert (shipped.state, shipped.HasField("pay_time")) == (FULFILLED, False)


# --- cancelling in part


async def test_a_part_is_cancelled_and_the_rest_stays(shop: Shop) -> None:
    sale = await Sale.of(shop)
    part = await shop.cancel(sale.buyer, sale.order.id, (sale.mine, 2))
    assert part.state == PAID
    assert counters(part) == [(2, False, 0), (0, False, 0)]
    (refund,) = part.refunds
    assert (refund.kind, refund.state, minor_of(refund.amount)) == (
        order_pb.REFUND_KIND_CANCEL,
        order_pb.REFUND_STATE_DONE,
        2000,
    )
    assert [(item.product_id, item.quantity) for item in refund.items] == [(sale.mine.id, 2)]
    assert minor_of(part.refunded) == 2000
    assert await sale.sums() == (10_000 - 2400, 4, 3)
    rest = await shop.cancel(sale.buyer, sale.order.id)
    assert (rest.state, minor_of(rest.refunded), len(rest.refunds)) == (CANCELLED, 4400, 2)
    assert await shop.cancel(sale.buyer, sale.order.id) == rest
    assert await sale.sums() == (10_000, 5, 5)


async def test_a_seller_cancels_the_own_lines_and_sees_no_others(shop: Shop) -> None:
    sale = await Sale.of(shop, shipping_address="1 Main St")
    seen = await shop.cancel(sale.brand, sale.order.id, (sale.mine, 1))
    assert (seen.user_id, seen.shipping_address) == ("", "1 Main St")
    assert [item.product_id for item in seen.items] == [sale.mine.id]
    with refusal("INVALID_FIELD", InvalidArgument) as caught:
        await shop.cancel(sale.brand, sale.order.id, (sale.theirs, 1))
    assert fields_of(caught) == {"items[0].product_id"}
    seen = await shop.cancel(sale.brand, sale.order.id)
    assert (seen.state, minor_of(seen.refunded)) == (PAID, 3000)
    assert counters(await sale.now()) == [(3, False, 0), (0, False, 0)]
    with refusal("ILLEGAL_STATE", FailedPrecondition):
        await shop.cancel(sale.brand, sale.order.id)
    assert (await shop.fulfil(sale.other, sale.order.id)).state == FULFILLED


async def test_when_the_last_line_is_cancelled_so_is_the_order(shop: Shop) -> None:
    sale = await Sale.of(shop)
    await shop.cancel(sale.other, sale.order.id)
    last = await shop.cancel(sale.brand, sale.order.id, (sale.mine, 3))
    assert last.state == CANCELLED
    assert await sale.sums() == (10_000, 5, 5)
    with refusal("INVALID_FIELD", InvalidArgument) as caught:
        await shop.cancel(sale.buyer, sale.order.id, (sale.mine, 1))
    assert fields_of(caught) == {"items[0].quantity"}


async def test_what_is_shipped_is_not_cancelled(shop: Shop) -> None:
    sale = await Sale.of(shop)
    await shop.fulfil(sale.brand, sale.order.id)
    for items in ((), ((sale.mine, 1),), ((sale.theirs, 1), (sale.mine, 1))):
        with refusal("ILLEGAL_STATE", FailedPrecondition):
            await shop.cancel(sale.buyer, sale.order.id, *items)
    part = await shop.cancel(sale.buyer, sale.order.id, (sale.theirs, 2))
    assert part.state == FULFILLED  # all that is left is shipped
    with refusal("ILLEGAL_STATE", FailedPrecondition):
        await shop.cancel(sale.buyer, sale.order.id)
    assert await sale.sums() == (10_000 - 3000, 2, 5)


@pytest.mark.parametrize("method", ["cancel", "refund"])
async def test_wrong_items_are_named_and_change_nothing(shop: Shop, method: str) -> None:
    sale, unknown = await Sale.of(shop), catalog_pb.Product(id=str(new_id()))
    if method == "refund":
        await shop.fulfil(sale.admin, sale.order.id)
    before, act = await sale.now(), getattr(shop, method)
    for items, fields in (
        (((sale.mine, 4),), {"items[0].quantity"}),
        (((sale.mine, 0),), {"items[0].quantity"}),
        (((sale.mine, -1), (unknown, 10_000)), {"items[0].quantity", "items[1].quantity"}),
        (((sale.mine, 1), (unknown, 1)), {"items[1].product_id"}),
        (((sale.mine, 1), (sale.mine, 1)), {"items[1].product_id"}),
        (((catalog_pb.Product(id="x"), 1),), {"items[0].product_id"}),
        (((sale.mine, 1),) * 101, {"items"}),
    ):
        with refusal("INVALID_FIELD", InvalidArgument) as caught:
            await act(sale.admin, sale.order.id, *items)
        assert fields_of(caught) == fields
    assert await sale.now() == before


# --- what comes back


async def test_what_came_back_is_refunded_and_can_be_sold_again(shop: Shop) -> None:
    sale = await Sale.of(shop)
    await shop.fulfil(sale.admin, sale.order.id)
    seen = await shop.refund(sale.brand, sale.order.id, (sale.mine, 1), reason=" Too small. ")
    assert (seen.state, seen.refunds[0].reason) == (FULFILLED, "Too small.")
    assert await sale.sums() == (10_000 - 3400, 3, 3)
    broken = await shop.refund(sale.admin, sale.order.id, (sale.mine, 1), restock=False)
    assert counters(broken) == [(0, True, 2), (0, True, 0)]
    assert [minor_of(each.amount) for each in broken.refunds] == [1000, 1000]
    assert await sale.sums() == (10_000 - 2400, 3, 3)
    with refusal("INVALID_FIELD", InvalidArgument) as caught:
        await shop.refund(sale.brand, sale.order.id, (sale.mine, 2))
    assert fields_of(caught) == {"items[0].quantity"}


async def test_only_what_is_shipped_comes_back(shop: Shop) -> None:
    sale = await Sale.of(shop)
    await shop.fulfil(sale.brand, sale.order.id)
    with refusal("ILLEGAL_STATE", FailedPrecondition):
        await shop.refund(sale.admin, sale.order.id, (sale.mine, 1), (sale.theirs, 1))
    for reason in ("", "x" * 201, "a\nb"):
        with refusal("INVALID_FIELD", InvalidArgument) as caught:
            await shop.refund(sale.admin, sale.order.id, (sale.mine, 1), reason=reason)
        assert fields_of(caught) == {"reason"}
    with refusal("INVALID_FIELD", InvalidArgument) as caught:
        await shop.refund(sale.admin, sale.order.id)
    assert fields_of(caught) == {"items"}


async def test_a_repeat_with_the_key_gets_the_first_answer(shop: Shop) -> None:
    sale = await Sale.of(shop)
    part = await shop.cancel(sale.brand, sale.order.id, (sale.mine, 1), key="part")
    await shop.fulfil(sale.admin, sale.order.id)
    back = await shop.refund(sale.brand, sale.order.id, (sale.mine, 1), key="back")
    for _ in "ab":
        assert await shop.cancel(sale.brand, sale.order.id, (sale.mine, 1), key="part") == part
        assert await shop.refund(sale.brand, sale.order.id, (sale.mine, 1), key="back") == back
    assert await sale.sums() == (10_000 - 2400, 4, 3)


async def test_a_refund_that_is_refused_stays_so_for_its_key(shop: Shop) -> None:
    """[R7]"""
    sale = await Sale.of(shop)
    for _ in "ab":
        with refusal("ILLEGAL_STATE", FailedPrecondition):
            await shop.refund(sale.admin, sale.order.id, (sale.mine, 1), key="early")
        await shop.fulfil(sale.admin, sale.order.id, key="ship")


# --- at the same time


async def test_one_refund_of_an_order_is_in_flight_at_once(shop: Shop) -> None:
    """[C47]"""
    sale, held = await Sale.of(shop), Held()
    shop.wallets.fault("RefundWallet", held)
    first = asyncio.ensure_future(shop.cancel(sale.buyer, sale.order.id, (sale.mine, 1), key="k"))
    await held.reached.wait()
    now = await sale.now()
    assert (now.refunds[0].state, minor_of(now.refunded)) == (order_pb.REFUND_STATE_OPEN, 0)
    assert await shop.stock(sale.mine) == 3  # what is cancelled can be sold at once
    for items in ((), ((sale.theirs, 1),)):
        with refusal("REFUND_IN_PROGRESS", Aborted):
            await shop.cancel(sale.buyer, sale.order.id, *items)
    again = asyncio.ensure_future(shop.cancel(sale.buyer, sale.order.id, (sale.mine, 1), key="k"))
    shipped = await shop.fulfil(sale.brand, sale.order.id)  # the rest
    assert counters(shipped) == [(1, True, 0)]
    with refusal("CHECKOUT_IN_PROGRESS", Aborted):
        await shop.forget(sale.buyer)
    held.released.set()
    assert (await first).refunds == (await again).refunds
    assert await sale.sums() == (10_000 - 3400, 3, 3)


async def test_a_hundred_returns_at_once_are_one_or_are_told_to_wait(shop: Shop) -> None:
    sale = await Sale.of(shop)
    await shop.fulfil(sale.admin, sale.order.id)
    answers = await asyncio.gather(
        *(shop.refund(sale.admin, sale.order.id, (sale.mine, 1)) for _ in range(100)),
        return_exceptions=True,
    )
    told = Counter(each.reason if isinstance(each, LockstepError) else "ok" for each in answers)
    assert 1 <= told["ok"] <= 3
    assert set(told) <= {"ok", "REFUND_IN_PROGRESS", "INVALID_FIELD", "DATABASE_UNAVAILABLE"}
    await shop.settled()
    now = await sale.now()
    assert now.items[0].returned_quantity == len(now.refunds) >= told["ok"]
    assert minor_of(now.refunded) == 1000 * len(now.refunds)


async def test_cancelling_and_shipping_at_once_do_one_of_both(shop: Shop) -> None:
    """[C46]"""
    for _ in range(5):
        sale = await Sale.of(shop)
        answers = await asyncio.gather(
            shop.cancel(sale.buyer, sale.order.id),
            shop.fulfil(sale.admin, sale.order.id),
            return_exceptions=True,
        )
        refused = [each for each in answers if isinstance(each, LockstepError)]
        assert [each.reason for each in refused] == ["ILLEGAL_STATE"]
        now = await sale.now()
        expected = CANCELLED if isinstance(answers[1], LockstepError) else FULFILLED
        assert now.state == expected


# --- those who are gone


async def test_the_address_stays_until_all_is_shipped_and_goes_with_its_buyer(shop: Shop) -> None:
    kept, done = [await Sale.of(shop, shipping_address="1 Main St") for _ in "ab"]
    await shop.fulfil(done.admin, done.order.id, tracking="RM 2")
    await shop.refund(done.admin, done.order.id, (done.mine, 1), reason="Ada did not like it.")
    for sale in (kept, done):
        await shop.forget(sale.buyer)
    addresses = "SELECT shipping_address FROM orders WHERE id = ANY (%s::uuid[]) ORDER BY id"
    ids = [kept.order.id, done.order.id]
    assert [row[0] for row in shop.rows(addresses, ids)] == ["1 Main St", ""]
    left = shop.rows("SELECT tracking FROM shipments WHERE order_id = %s", done.order.id)
    left += shop.rows("SELECT reason FROM refunds WHERE order_id = %s", done.order.id)
    assert {row[0] for row in left} == {""}
    assert (await shop.fulfil(kept.brand, kept.order.id)).state == PAID
    assert (await shop.fulfil(kept.other, kept.order.id)).state == FULFILLED
    assert [row[0] for row in shop.rows(addresses, ids)] == ["", ""]
    for table in ("idempotency", "sagas"):
        for row in shop.rows(f"SELECT {table}::text AS text FROM {table}"):
            assert str(kept.buyer.id) not in row.text


async def test_lines_of_a_brand_who_is_gone_are_the_administrators(shop: Shop) -> None:
    sale = await Sale.of(shop)
    await shop.forget(sale.brand)
    with refusal("ORDER_NOT_FOUND", NotFound):
        await shop.fulfil(sale.brand, sale.order.id)
    assert (await shop.fulfil(sale.admin, sale.order.id)).state == FULFILLED
    back = await shop.refund(sale.admin, sale.order.id, (sale.mine, 3))
    assert minor_of(back.refunded) == 3000


async def test_a_buyer_may_be_the_seller(shop: Shop) -> None:
    brand = shop.login("brand", await shop.people.with_funds(5000))
    order = await shop.bought(brand, await shop.product(by=brand, price=1000), 2)
    assert (await shop.fulfil(brand, order.id)).user_id == str(brand.id)
    product = catalog_pb.Product(id=order.items[0].product_id)
    await shop.refund(brand, order.id, (product, 2))
    assert await shop.balance(brand) == 5000


async def test_the_database_refuses_more_refunds_than_goods(shop: Shop) -> None:
    sale = await Sale.of(shop)
    for wrong in (
        "cancelled_quantity = quantity + 1",
        "returned_quantity = 1",
        "restocked_quantity = 1",
        "cancelled_quantity = -1",
    ):
        with pytest.raises(psycopg.errors.CheckViolation):
            shop.rows(f"UPDATE order_items SET {wrong} WHERE order_id = %s", sale.order.id)
