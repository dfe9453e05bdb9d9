"""Commerce tells when nothing of a product is left, and when something is again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random

import pytest
from lockstep.commerce.v1 import catalog_service_pb2 as catalog_pb
from lockstep_clients import FailedPrecondition, LockstepError

from tests.commerce.test_catalog import adjust
from tests.commerce.test_fulfilment import Sale
from tests.commerce.test_told_events import names
from tests.commerce.wallet_proxy import Held
from tests.commerce.world import Buyer, Shop, refusal

pytestmark = pytest.mark.asyncio(loop_scope="module")

OUT, BACK = "ProductStockOut", "ProductStockBack"
Product = catalog_pb.Product


@pytest.fixture(name="shop")
def shop_of_all(shared_shop: Shop) -> Shop:
    return shared_shop


def stock_events(shop: Shop, product: Product) -> list[str]:
    return [each for each in names(shop, f"products/{product.id}") if each in (OUT, BACK)]


async def held_order(shop: Shop, product: Product) -> tuple[Held, asyncio.Task[object]]:
    """Place an order that waits for its money."""
    buyer, held = await shop.buyer(), Held()
    await shop.add(buyer, product)
    shop.wallets.fault("DebitWallet", held)
    placing: asyncio.Task[object] = asyncio.ensure_future(shop.place(buyer))
    await asyncio.wait_for(held.reached.wait(), 10)
    return held, placing


async def sold_out(shop: Shop) -> tuple[Buyer, Product, str]:
    """Sell all of a product, and return the buyer and the order."""
    buyer, product = await shop.buyer(), await shop.product(price=100, stock=2)
    order = await shop.bought(buyer, product, 2)
    assert stock_events(shop, product) == [OUT]
    return buyer, product, order.id


async def test_a_product_is_out_when_its_last_piece_is_paid_and_not_before(shop: Shop) -> None:
    product = await shop.product(price=100, stock=1)
    held, placing = await held_order(shop, product)
    assert await shop.stock(product) == 0
    assert stock_events(shop, product) == []
    held.released.set()
    await placing
    assert stock_events(shop, product) == [OUT]


async def test_a_checkout_that_fails_tells_nothing(shop: Shop) -> None:
    buyer, product = await shop.buyer(1), await shop.product(price=100, stock=1)
    await shop.add(buyer, product)
    with refusal("INSUFFICIENT_FUNDS", FailedPrecondition):
        await shop.place(buyer)
    await shop.settled()
    assert await shop.stock(product) == 1
    assert stock_events(shop, product) == []


async def test_what_another_checkout_holds_is_left(shop: Shop) -> None:
    product = await shop.product(price=100, stock=2)
    held, placing = await held_order(shop, product)
    await shop.bought(await shop.buyer(), product)
    assert (await shop.stock(product), stock_events(shop, product)) == (0, [])
    held.released.set()
    await placing
    assert stock_events(shop, product) == [OUT]


async def cancelled(shop: Shop, buyer: Buyer, order_id: str, product: Product) -> None:
    await shop.cancel(buyer, order_id)


async def cancelled_in_part(shop: Shop, buyer: Buyer, order_id: str, product: Product) -> None:
    await shop.cancel(buyer, order_id, (product, 1))


async def returned(shop: Shop, buyer: Buyer, order_id: str, product: Product) -> None:
    await shop.fulfil(shop.login("admin"), order_id)
    await shop.refund(shop.login("admin"), order_id, (product, 1))


async def adjusted(shop: Shop, buyer: Buyer, order_id: str, product: Product) -> None:
    await adjust(shop, product.id, 1)


async def updated(shop: Shop, buyer: Buyer, order_id: str, product: Product) -> None:
    await shop.change(product, stock=3)


async def returned_broken(shop: Shop, buyer: Buyer, order_id: str, product: Product) -> None:
    await shop.fulfil(shop.login("admin"), order_id)
    await shop.refund(shop.login("admin"), order_id, (product, 1), restock=False)


async def deleted_and_cancelled(shop: Shop, buyer: Buyer, order_id: str, product: Product) -> None:
    await shop.remove(product)
    await shop.cancel(buyer, order_id)


async def renamed(shop: Shop, buyer: Buyer, order_id: str, product: Product) -> None:
    await shop.change(product, name="New name")


Change = Callable[[Shop, Buyer, str, Product], Awaitable[None]]
CHANGES: list[tuple[Change, list[str]]] = [
    (cancelled, [BACK]),
    (cancelled_in_part, [BACK]),
    (returned, [BACK]),
    (adjusted, [BACK]),
    (updated, [BACK]),
    (returned_broken, []),
    (deleted_and_cancelled, []),
    (renamed, []),
]


@pytest.mark.parametrize(
    ("change", "told"), CHANGES, ids=[change.__name__ for change, _ in CHANGES]
)
async def test_what_brings_a_product_back(shop: Shop, change: Change, told: list[str]) -> None:
    buyer, product, order_id = await sold_out(shop)
    await change(shop, buyer, order_id, product)
    assert stock_events(shop, product) == [OUT, *told]
    if told:
        await change_nothing_more(shop, product)


async def change_nothing_more(shop: Shop, product: Product) -> None:
    """More of what is there is no event, until all is gone."""
    before = stock_events(shop, product)
    await adjust(shop, product.id, 2)
    await shop.bought(await shop.buyer(), product)
    assert stock_events(shop, product) == before
    await adjust(shop, product.id, -await shop.stock(product))
    assert stock_events(shop, product) == [*before, OUT]
    await shop.change(product, stock=0)
    assert stock_events(shop, product) == [*before, OUT]


async def test_a_product_without_stock_at_first_is_back_when_it_gets_some(shop: Shop) -> None:
    product = await shop.product(stock=0)
    assert stock_events(shop, product) == []
    await shop.change(product, stock=1)
    await shop.change(product, stock=0)
    assert stock_events(shop, product) == [BACK, OUT]


async def test_a_stock_that_is_taken_away_during_a_checkout_is_out_with_its_payment(
    shop: Shop,
) -> None:
    product = await shop.product(price=100, stock=3)
    held, placing = await held_order(shop, product)
    await adjust(shop, product.id, -2)
    assert (await shop.stock(product), stock_events(shop, product)) == (0, [])
    held.released.set()
    await placing
    assert stock_events(shop, product) == [OUT]


async def test_a_stock_that_comes_during_a_checkout_was_never_out(shop: Shop) -> None:
    product = await shop.product(price=100, stock=1)
    held, placing = await held_order(shop, product)
    await adjust(shop, product.id, 1)
    held.released.set()
    await placing
    assert stock_events(shop, product) == []


async def test_a_product_that_is_deleted_during_a_checkout_is_not_told_of(shop: Shop) -> None:
    product = await shop.product(price=100, stock=1)
    held, placing = await held_order(shop, product)
    await shop.remove(product)
    held.released.set()
    await placing
    assert stock_events(shop, product) == []


async def test_a_return_brings_a_product_back_when_its_money_is_given_back(shop: Shop) -> None:
    sale = await Sale.of(shop)
    await adjust(shop, sale.mine.id, -await shop.stock(sale.mine))
    await shop.fulfil(sale.brand, sale.order.id)
    held = Held()
    shop.wallets.fault("RefundWallet", held)
    request = shop.refund(sale.admin, sale.order.id, (sale.mine, 1))
    refunding = asyncio.ensure_future(request)
    await asyncio.wait_for(held.reached.wait(), 10)
    assert stock_events(shop, sale.mine) == [OUT]
    held.released.set()
    await refunding
    assert stock_events(shop, sale.mine) == [OUT, BACK]


@pytest.mark.parametrize("seed", range(2))
async def test_whatever_meets_out_and_back_take_turns_and_fit_the_stock(
    shop: Shop, seed: int
) -> None:
    dice, product = Random(seed), await shop.product(price=100, stock=2)

    async def live(poor: bool) -> None:
        buyer = await shop.buyer(1 if poor else 100_000)
        await shop.add(buyer, product)
        for _ in range(4):
            with suppress(LockstepError):
                if poor or dice.random() < 0.7:
                    order = await shop.place(buyer)
                    if dice.random() < 0.5:
                        await shop.cancel(buyer, order.id)
                    await shop.add(buyer, product)
                else:
                    await adjust(shop, product.id, dice.choice((-1, 1)))

    await asyncio.gather(*(live(poor=number % 3 == 0) for number in range(6)))
    await shop.settled()
    told = stock_events(shop, product)
    assert told[::2] == [OUT] * len(told[::2])
    assert told[1::2] == [BACK] * len(told[1::2])
    assert (await shop.stock(product) == 0) == (len(told) % 2 == 1)
