"""Commerce tells what has happened to products and orders, once it is final."""

from __future__ import annotations

import pytest
from lockstep_clients import FailedPrecondition

from services.commerce import events
from tests.commerce.test_fulfilment import Sale
from tests.commerce.world import Shop, refusal
from tests.told import Told, told

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(name="shop")
def shop_of_all(shared_shop: Shop) -> Shop:
    return shared_shop


def events_of(shop: Shop, subject: str = "") -> list[Told]:
    found = told(shop.settings.commerce_database_url, "commerce")
    return [event for event in found if event.subject.startswith(subject)]


def told_of(sale: Sale) -> dict[str, str]:
    return {
        "order_id": sale.order.id,
        "order_number": sale.order.number,
        "user_id": str(sale.buyer.id),
    }


def names(shop: Shop, subject: str) -> list[str]:
    return [event.name for event in events_of(shop, subject)]


async def test_a_product_is_created_changed_and_deleted(shop: Shop) -> None:
    product = await shop.product(price=1000, stock=5)
    await shop.change(product, price=1100)
    await shop.remove(product)
    subject = f"products/{product.id}"
    assert names(shop, subject) == ["ProductCreated", "ProductChanged", "ProductDeleted"]
    facts = [each.facts for each in events_of(shop, subject)]
    assert facts[1]["product_id"] == product.id


async def test_the_products_of_a_seller_who_is_forgotten_are_deleted(shop: Shop) -> None:
    brand = shop.login("brand")
    one, other = [await shop.product(by=brand, price=1000, stock=5) for _ in range(2)]
    await shop.remove(other)
    await shop.forget(brand)
    for product in (one, other):
        assert names(shop, f"products/{product.id}") == ["ProductCreated", "ProductDeleted"]


async def test_an_order_is_paid_and_fulfilled_once(shop: Shop) -> None:
    sale = await Sale.of(shop)
    subject = f"orders/{sale.order.id}"
    assert names(shop, subject) == ["OrderPaid"]
    (paid,) = (each.facts for each in events_of(shop, subject))
    assert paid == told_of(sale) | {"total": 4400}
    await shop.fulfil(sale.brand, sale.order.id)
    assert names(shop, subject) == ["OrderPaid"]
    await shop.fulfil(sale.other, sale.order.id)
    assert names(shop, subject) == ["OrderPaid", "OrderFulfilled"]
    await shop.refund(sale.admin, sale.order.id, (sale.mine, 1))
    assert names(shop, subject) == ["OrderPaid", "OrderFulfilled", "OrderReturned"]


async def test_every_event_of_an_order_names_the_order_and_its_buyer(shop: Shop) -> None:
    sale = await Sale.of(shop)
    await shop.fulfil(sale.brand, sale.order.id)
    await shop.refund(sale.admin, sale.order.id, (sale.mine, 1))
    await shop.cancel(sale.buyer, sale.order.id, (sale.theirs, 2))
    cancelled = await Sale.of(shop)
    await shop.cancel(cancelled.buyer, cancelled.order.id)
    names_seen = set()
    for each in (sale, cancelled):
        for event in events_of(shop, f"orders/{each.order.id}"):
            assert told_of(each).items() <= event.facts.items()
            names_seen.add(event.name)
    assert names_seen == {name for name in events.MESSAGES if name.startswith("Order")}


async def test_a_buyer_who_was_forgotten_is_not_named(shop: Shop) -> None:
    sale = await Sale.of(shop)
    await shop.forget(sale.buyer)
    await shop.fulfil(sale.admin, sale.order.id)
    fulfilled = events_of(shop, f"orders/{sale.order.id}")[-1]
    assert fulfilled.name == "OrderFulfilled"
    assert fulfilled.facts == {"order_id": sale.order.id, "order_number": sale.order.number}


async def test_parts_are_cancelled_and_then_all(shop: Shop) -> None:
    sale = await Sale.of(shop)
    subject = f"orders/{sale.order.id}"
    await shop.cancel(sale.buyer, sale.order.id, (sale.mine, 1))
    await shop.cancel(sale.buyer, sale.order.id)
    assert names(shop, subject) == ["OrderPaid", "OrderPartlyCancelled", "OrderCancelled"]


async def test_the_rest_of_a_shipped_order_is_fulfilled_when_a_part_is_cancelled(
    shop: Shop,
) -> None:
    sale = await Sale.of(shop)
    await shop.fulfil(sale.brand, sale.order.id)
    await shop.cancel(sale.buyer, sale.order.id, (sale.theirs, 2))
    assert names(shop, f"orders/{sale.order.id}") == [
        "OrderPaid",
        "OrderPartlyCancelled",
        "OrderFulfilled",
    ]


async def test_an_order_that_is_not_paid_tells_nothing(shop: Shop) -> None:
    buyer = await shop.buyer(1)
    product = await shop.product(price=1000, stock=5)
    before = events_of(shop)
    await shop.add(buyer, product, 1)
    with refusal("INSUFFICIENT_FUNDS", FailedPrecondition):
        await shop.place(buyer)
    assert events_of(shop) == before
