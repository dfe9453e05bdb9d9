"""The effects of a checkout on a buyer, on goods and on money."""

from __future__ import annotations

from lockstep.commerce.v1 import order_service_pb2 as order_pb

from tests.commerce.world import Buyer, Shop

State = order_pb.OrderState


async def with_cart(shop: Shop, quantity: int = 2) -> Buyer:
    """Make a buyer who is about to spend 20 dollars of 50."""
    buyer = await shop.buyer(5000)
    await shop.add(buyer, await shop.product(stock=5), quantity)
    return buyer


async def assert_bought(shop: Shop, buyer: Buyer) -> None:
    """Check that the cart was bought once; earlier tries may have failed."""
    orders = await shop.history(buyer)
    assert [each.state for each in orders].count(State.ORDER_STATE_PAID) == 1
    assert {each.failure_reason for each in orders} <= {"", "PROFILE_UNAVAILABLE"}
    assert await shop.balance(buyer) == 3000
    assert not (await shop.cart(buyer)).items
    assert [row.stock for row in shop.rows("SELECT stock FROM products")] == [3]


async def assert_not_bought(shop: Shop, buyer: Buyer, reason: str) -> None:
    (order,) = await shop.history(buyer)
    assert (order.state, order.failure_reason) == (State.ORDER_STATE_FAILED, reason)
    assert await shop.balance(buyer) == 5000
    assert len((await shop.cart(buyer)).items) == 1
    assert [row.stock for row in shop.rows("SELECT stock FROM products")] == [5]
