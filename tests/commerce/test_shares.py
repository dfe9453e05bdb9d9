"""Sellers get their shares of orders: pending when paid, spendable when shipped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from lockstep.commerce.v1 import order_service_pb2 as order_pb
from lockstep_clients import FailedPrecondition

from services.commerce.domain import order_rules, shares
from services.commerce.model import RefundItem, share_of
from services.commerce.store.fulfilment import OrderLine
from services.kernel.ids import new_id
from tests.commerce.people import minor_of
from tests.commerce.wallet_proxy import Held, refused, reply_lost
from tests.commerce.world import Buyer, Product, Shop, refusal, shop_world
from tests.conftest import Databases

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(name="shop", scope="module", loop_scope="module")
async def shop_with_commission(
    databases: Databases, keys: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Shop]:
    with ExitStack() as stack:
        urls = databases.fresh(stack, "commerce"), databases.fresh(stack, "profile")
        home = tmp_path_factory.mktemp("shop")
        async with shop_world(*urls, keys, home, commission_bps=1000) as shop:
            yield shop
            await shop.settled()
            shop.check()


class Sale:
    """An order of three goods at 333 of a brand, and of one good without a seller."""

    shop: Shop
    buyer: Buyer
    brand: Buyer
    admin: Buyer
    mine: Product
    order: order_pb.Order

    @classmethod
    async def of(cls, shop: Shop) -> Sale:
        sale = cls()
        sale.shop, sale.buyer, sale.admin = shop, await shop.buyer(10_000), shop.login("admin")
        sale.brand = shop.login("brand", await shop.people.with_funds(0))
        sale.mine = await shop.product(by=sale.brand, price=333)
        await shop.add(sale.buyer, sale.mine, 3)
        await shop.add(sale.buyer, await shop.product(price=1000))
        sale.order = await shop.place(sale.buyer)
        return sale

    async def sums(self) -> tuple[int, int, int]:
        """Return the balances of buyer and seller, and what is pending."""
        await self.shop.settled()
        seller = self.brand.id
        people = self.shop.people
        balances = await self.shop.balance(self.buyer), await people.balance(seller)
        return *balances, await people.pending(seller)


async def test_a_share_is_pending_when_paid_and_spendable_when_shipped(shop: Shop) -> None:
    sale = await Sale.of(shop)
    assert await sale.sums() == (10_000 - 1999, 0, 900)  # 999 less floor(99.9)
    await shop.fulfil(sale.brand, sale.order.id)
    assert await sale.sums() == (10_000 - 1999, 900, 0)


async def test_a_part_takes_the_difference_of_the_shares_back(shop: Shop) -> None:
    sale = await Sale.of(shop)
    await shop.cancel(sale.buyer, sale.order.id, (sale.mine, 1))
    assert await sale.sums() == (10_000 - 1666, 0, 600)
    await shop.fulfil(sale.brand, sale.order.id)
    await shop.refund(sale.brand, sale.order.id, (sale.mine, 1))
    assert await sale.sums() == (10_000 - 1333, 300, 0)
    await shop.refund(sale.admin, sale.order.id, (sale.mine, 1))
    assert await sale.sums() == (10_000 - 1000, 0, 0)


async def test_a_cancelled_order_leaves_the_seller_nothing(shop: Shop) -> None:
    sale = await Sale.of(shop)
    await shop.cancel(sale.buyer, sale.order.id)
    assert await sale.sums() == (10_000, 0, 0)


async def test_a_return_is_refused_when_the_seller_has_spent_the_share(shop: Shop) -> None:
    """[C52 R7]"""
    sale = await Sale.of(shop)
    await shop.fulfil(sale.brand, sale.order.id)
    await shop.settled()
    cheap = await shop.product(price=700)
    await shop.bought(sale.brand, cheap)
    before = await shop.order(sale.buyer, sale.order.id)
    for _ in "ab":
        with refusal("INSUFFICIENT_FUNDS", FailedPrecondition):
            await shop.refund(sale.brand, sale.order.id, (sale.mine, 1), key="back")
        assert await shop.order(sale.buyer, sale.order.id) == before
        await shop.people.top_up(sale.brand.id, 1000)
    back = await shop.refund(sale.brand, sale.order.id, (sale.mine, 1), key="again")
    assert minor_of(back.refunded) == 333
    assert await sale.sums() == (10_000 - 1666, 2200 - 300, 0)
    events = shop.rows(
        "SELECT event FROM audit_log WHERE detail ->> 'order' = %s ORDER BY id", sale.order.id
    )
    assert {"order_refund_refused", "order_refunded"} <= {row.event for row in events}


async def test_a_return_waits_for_no_release(shop: Shop) -> None:
    sale, held = await Sale.of(shop), Held()
    shop.wallets.fault("ReleaseSales", held)
    await shop.fulfil(sale.brand, sale.order.id)
    await held.reached.wait()
    await shop.refund(sale.brand, sale.order.id, (sale.mine, 3))
    held.released.set()
    assert await sale.sums() == (10_000 - 1000, 0, 0)


async def test_a_shipment_is_noted_while_profile_is_down(shop: Shop) -> None:
    """[C51]"""
    sale = await Sale.of(shop)
    shop.wallets.is_down = True
    try:
        shipped = await shop.fulfil(sale.admin, sale.order.id)
    finally:
        shop.wallets.is_down = False
    assert shipped.state == order_pb.ORDER_STATE_FULFILLED
    shop.wallets.fault("ReleaseSales", refused(), reply_lost())
    assert await sale.sums() == (10_000 - 1999, 900, 0)


async def test_a_seller_who_goes_while_money_moves_stops_nobody(shop: Shop) -> None:
    """[C54]"""
    sale, held = await Sale.of(shop), Held()
    shop.wallets.fault("RefundWallet", reply_lost(), held)
    cancelling = asyncio.ensure_future(shop.cancel(sale.buyer, sale.order.id, (sale.mine, 1)))
    await held.reached.wait()
    await shop.forget(sale.brand)
    await shop.people.forget(sale.brand.id)
    held.released.set()
    await cancelling
    await shop.fulfil(sale.admin, sale.order.id)
    await shop.refund(sale.admin, sale.order.id, (sale.mine, 1))
    await shop.settled()
    assert await shop.balance(sale.buyer) == 10_000 - 1333


async def test_shares_of_parts_add_up_to_the_share_of_all() -> None:
    for price in (1, 3, 333, 999):
        for bps in (0, 1, 333, 1000, 9999, 10_000):
            line = OrderLine(new_id(), 9, price, 0, 0, None, new_id(), bps)
            left, back = line, 0
            for quantity in (2, 3, 4):
                item = RefundItem(line.product_id, quantity)
                (share,) = order_rules.shares_back([left], [item])
                assert share >= 0
                back += share
                left = OrderLine(
                    line.product_id, 9, price, left.cancelled_quantity + quantity, 0, None,
                    line.seller_id, bps,
                )  # fmt: skip
            assert back == line.share(9) == share_of(9 * price, bps)
            assert sum(shares.of_order([line]).values()) == back
