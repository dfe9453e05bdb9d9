"""Concurrent requests to several processes that share one database."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import AsyncExitStack
from typing import TypeVar

import pytest
import pytest_asyncio
from lockstep_clients import LockstepError

from services.commerce.model import LINES_MAX
from tests.commerce.world import Shop, connected
from tests.faulty import started

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.processes]

T = TypeVar("T")


@pytest_asyncio.fixture(name="replicas", scope="module", loop_scope="module")
async def three_replicas(
    shared_shop: Shop, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[list[Shop]]:
    """Run two processes beside the Commerce of this one."""
    log = tmp_path_factory.mktemp("replicas") / "log"
    async with AsyncExitStack() as stack:

        async def replica() -> Shop:
            process = await stack.enter_async_context(
                started("commerce", shared_shop.settings, log)
            )
            return await stack.enter_async_context(
                connected(
                    process.port, shared_shop.settings, shared_shop.people, shared_shop.wallets
                )
            )

        yield [shared_shop, await replica(), await replica()]


async def outcomes(calls: Iterable[Awaitable[object]]) -> Counter[str]:
    """Count the answers by their reasons, or `ok`; any other exception is raised."""
    answers = await asyncio.gather(*calls, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, LockstepError):
            raise answer
    return Counter(each.reason if isinstance(each, LockstepError) else "ok" for each in answers)


async def test_adds_at_once_lose_nothing(replicas: list[Shop]) -> None:
    shop = replicas[0]
    someone, products = shop.login(), await shop.products(3)
    calls = [
        replica.add(someone, product, quantity)
        for replica, product, quantity in itertools.product(replicas, products, (1, 2, 3, 4))
    ]
    assert await outcomes(calls) == {"ok": 36}
    cart = await shop.cart(someone)
    assert {item.product.id: item.quantity for item in cart.items} == {
        product.id: 30 for product in products
    }


async def test_adds_at_once_do_not_pass_the_limit_of_lines(replicas: list[Shop]) -> None:
    shop = replicas[0]
    someone, products = shop.login(), await shop.products(LINES_MAX + 5)
    await shop.merge(someone, *((product, 1) for product in products[: LINES_MAX - 1]))
    turns = zip(products[LINES_MAX - 1 :], itertools.cycle(replicas), strict=False)
    calls = [replica.add(someone, product) for product, replica in turns]
    assert await outcomes(calls) == {"ok": 1, "QUANTITY_LIMIT": 5}
    assert len((await shop.cart(someone)).items) == LINES_MAX


async def test_a_hundred_buyers_of_the_last_item_are_one_order_and_clean_refusals(
    replicas: list[Shop],
) -> None:
    """[C39]"""
    shop = replicas[0]
    product = await shop.product(stock=1, price=700)
    buyers = [await shop.buyer(1000) for _ in range(100)]
    for buyer in buyers:
        await shop.add(buyer, product)
    turns = zip(buyers, itertools.cycle(replicas), strict=False)
    assert await outcomes(replica.place(buyer) for buyer, replica in turns) == {
        "ok": 1,
        "NO_STOCK": 99,
    }
    await shop.settled()
    assert await shop.stock(product) == 0
    balances = Counter([await shop.balance(buyer) for buyer in buyers])
    assert balances == {300: 1, 1000: 99}
    shop.check()


async def test_the_last_money_is_spent_once(replicas: list[Shop]) -> None:
    """[C16] One wallet pays its balance once, whatever the cart holds."""
    shop = replicas[0]
    buyer, product = await shop.buyer(1000), await shop.product(stock=100, price=600)
    await shop.add(buyer, product)
    seen = await outcomes(replica.place(buyer) for replica in replicas * 4)
    assert seen["ok"] == 1
    assert set(seen) <= {"ok", "CHECKOUT_IN_PROGRESS", "CART_EMPTY"}
    await shop.add(buyer, product)
    seen = await outcomes(replica.place(buyer) for replica in replicas * 4)
    assert seen["ok"] == 0
    assert set(seen) <= {"CHECKOUT_IN_PROGRESS", "INSUFFICIENT_FUNDS"}
    await shop.settled()
    assert (await shop.balance(buyer), await shop.stock(product)) == (400, 99)
    shop.check()


async def test_opposite_orders_of_products_never_deadlock_for_a_caller(
    replicas: list[Shop],
) -> None:
    """[C5 C39]"""
    shop = replicas[0]
    products = await shop.products(4, stock=10_000)
    buyers = [await shop.buyer(10**9) for _ in range(12)]
    for _ in range(2):
        for number, buyer in enumerate(buyers):
            for product in products if number % 2 else reversed(products):
                await shop.add(buyer, product)
        turns = zip(buyers, itertools.cycle(replicas), strict=False)
        changes = (shop.change(product, description="New") for product in products)
        placing = (replica.place(buyer) for buyer, replica in turns)
        assert await outcomes([*placing, *changes]) == {"ok": 16}
    await shop.settled()
    assert [await shop.stock(product) for product in products] == [10_000 - 24] * 4
    cancelling = [
        replica.cancel(buyer, (await shop.history(buyer))[0].id)
        for buyer, replica in zip(buyers, itertools.cycle(replicas), strict=False)
    ]
    assert await outcomes(cancelling) == {"ok": 12}
    assert [await shop.stock(product) for product in products] == [10_000 - 12] * 4
    shop.check()
