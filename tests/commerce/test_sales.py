"""Sales: what a seller sees of the orders with the own products."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import Any

import pytest
import pytest_asyncio
from google.protobuf.timestamp_pb2 import Timestamp
from lockstep.commerce.v1 import order_service_pb2 as order_pb
from lockstep_clients import FailedPrecondition, InvalidArgument, PermissionDenied

from services.commerce.store import sales, walks
from services.kernel.ids import new_id
from services.kernel.rpc.timestamps import timestamp
from tests.commerce.people import minor_of
from tests.commerce.world import Buyer, Metadata, Product, Shop, fields_of, refusal

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(name="shop")
def shop_of_all(shared_shop: Shop) -> Shop:
    return shared_shop


class Seller:
    """A brand with two products, and a buyer with an order of them and of another's."""

    shop: Shop
    brand: Buyer
    buyer: Buyer
    tea: Product
    cup: Product

    async def buy(self, *items: tuple[Product, int]) -> order_pb.Order:
        for product, quantity in items:
            await self.shop.add(self.buyer, product, quantity)
        return await self.shop.place(self.buyer, shipping_address="1 Main St")

    async def pages(
        self, metadata: Metadata | None = None, **wanted: Any
    ) -> list[list[order_pb.Sale]]:
        """Follow the tokens to the end."""
        found, token = list[list[order_pb.Sale]](), ""
        while True:
            request = order_pb.ListSalesRequest(**{"page_size": 2} | wanted, page_token=token)
            page = await self.shop.orders.ListSales(
                request, metadata=metadata or self.brand.metadata
            )
            found.append(list(page.sales))
            token = page.next_page_token
            if not token:
                return found

    async def sold(self, **wanted: Any) -> list[order_pb.Sale]:
        return [sale for page in await self.pages(**wanted) for sale in page]


@pytest_asyncio.fixture(loop_scope="module")
async def seller(shop: Shop) -> Seller:
    made = Seller()
    made.shop, made.buyer = shop, await shop.buyer()
    made.brand = shop.login("brand", await shop.people.with_funds(0))
    made.tea = await shop.product(by=made.brand, price=1000, stock=100)
    made.cup = await shop.product(by=made.brand, price=300, stock=100)
    return made


def lines(found: list[order_pb.Sale]) -> list[tuple[str, str]]:
    return [(each.order_id, each.product_id) for each in found]


async def test_a_seller_sees_the_own_lines_the_newest_order_first(
    shop: Shop, seller: Seller
) -> None:
    other = await shop.product(price=5)
    first = await seller.buy((seller.tea, 3), (other, 1), (seller.cup, 1))
    second = await seller.buy((seller.cup, 2))
    found = await seller.sold()
    tea, cup = seller.tea.id, seller.cup.id
    assert lines(found) == [(second.id, cup), (first.id, cup), (first.id, tea)]
    assert found[2] == order_pb.Sale(
        order_id=first.id,
        number=first.number,
        product_id=tea,
        name=seller.tea.name,
        quantity=3,
        unit_price=seller.tea.price,
        share=first.items[0].line_total,
        commission=found[2].commission,
        create_time=first.create_time,
        shipping_address="1 Main St",
    )
    assert minor_of(found[2].commission) == 0
    assert str(seller.buyer.id) not in str(found)
    of_brand: dict[str, Any] = {"metadata": shop.admin, "seller_id": str(seller.brand.id)}
    assert await seller.sold(**of_brand) == found
    assert await seller.sold(metadata=shop.admin) == []


async def test_a_sale_tells_what_became_of_it(shop: Shop, seller: Seller) -> None:
    order = await seller.buy((seller.tea, 3), (seller.cup, 2))
    await shop.cancel(seller.buyer, order.id, (seller.tea, 1), (seller.cup, 2))
    await shop.fulfil(seller.brand, order.id, seller.tea)
    await shop.refund(seller.brand, order.id, (seller.tea, 1))
    cup, tea = await seller.sold()
    assert (tea.cancelled_quantity, tea.returned_quantity, tea.fulfilled) == (1, 1, True)
    assert (cup.cancelled_quantity, cup.returned_quantity, cup.fulfilled) == (2, 0, False)
    assert [minor_of(each.share) for each in (tea, cup)] == [1000, 0]
    assert tea.shipping_address == cup.shipping_address == ""


async def test_sales_are_listed_by_product_shipment_and_time(shop: Shop, seller: Seller) -> None:
    orders = [await seller.buy((seller.tea, 1), (seller.cup, 1)) for _ in range(3)]
    tea, cup = seller.tea, seller.cup
    await shop.fulfil(seller.brand, orders[0].id)
    await shop.fulfil(seller.brand, orders[1].id, tea)
    await shop.cancel(seller.buyer, orders[2].id, (cup, 1))
    every = [(order.id, each.id) for order in reversed(orders) for each in (cup, tea)]
    for wanted, expected in (
        ({}, every),
        ({"product_id": tea.id}, every[1::2]),
        ({"fulfilled": False}, [every[1], every[2]]),
        ({"fulfilled": True}, every[3:]),
        ({"fulfilled": True, "product_id": cup.id}, [every[4]]),
        ({"fulfilled": False, "product_id": tea.id}, [every[1]]),
        ({"start_time": orders[1].create_time}, every[:4]),
        ({"end_time": orders[1].create_time}, every[4:]),
        ({"start_time": orders[1].create_time, "end_time": orders[2].create_time}, every[2:4]),
        ({"product_id": str(new_id())}, []),
    ):
        for size in (1, 2, 100):
            assert lines(await seller.sold(**wanted, page_size=size)) == expected, wanted
    at = orders[-1].create_time.ToDatetime(UTC)
    for far in (timedelta(days=1), timedelta(days=9000)):
        assert await seller.sold(start_time=timestamp(at + far)) == []
        assert await seller.sold(end_time=timestamp(at - far)) == []


async def test_what_was_not_paid_is_no_sale(shop: Shop, seller: Seller) -> None:
    seller.buyer = await shop.buyer(funds=1)
    with refusal("INSUFFICIENT_FUNDS", FailedPrecondition):
        await seller.buy((seller.tea, 1))
    assert await seller.sold() == []
    assert await seller.sold(product_id=seller.tea.id) == []


async def test_another_sellers_sales_are_not_told(shop: Shop, seller: Seller) -> None:
    await seller.buy((seller.tea, 1))
    other = shop.login("brand")
    with refusal("FORBIDDEN", PermissionDenied):
        await seller.pages(other.metadata, seller_id=str(seller.brand.id))
    for who in (other, seller.buyer):
        assert await seller.pages(who.metadata, product_id=seller.tea.id) == [[]]


async def test_every_sale_is_found_where_the_walk_ends_early(
    shop: Shop, seller: Seller, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = [await seller.buy((seller.tea, 1), (seller.cup, 1)) for _ in range(4)]
    await shop.fulfil(seller.brand, orders[0].id, seller.tea)
    monkeypatch.setattr(walks, "WALKED_MAX", 3)
    for key in sales._LISTS:
        product, fulfilled = key
        monkeypatch.setitem(
            sales._LISTS, key, sales._list(is_of_product=product, is_fulfilled=fulfilled)
        )
    every = [(order.id, each.id) for order in reversed(orders) for each in (seller.cup, seller.tea)]
    assert lines(await seller.sold()) == every
    pages = await seller.pages(fulfilled=True, page_size=100)
    assert [len(page) for page in pages] == [0, 0, 1]
    for size in (1, 2, 3, 100):
        assert lines(await seller.sold(fulfilled=True, page_size=size)) == every[-1:]
        assert lines(await seller.sold(fulfilled=False, page_size=size)) == every[:-1]
        assert lines(await seller.sold(page_size=size, product_id=seller.tea.id)) == every[1::2]


@pytest.mark.parametrize(
    ("wanted", "fields"),
    [
        ({"seller_id": "x", "product_id": "y"}, {"seller_id", "product_id"}),
        ({"start_time": Timestamp(seconds=5), "end_time": Timestamp(seconds=5)}, {"end_time"}),
        ({"start_time": Timestamp(seconds=-(10**12))}, {"start_time"}),
        ({"page_size": -1}, {"page_size"}),
        ({"page_token": "x"}, {"page_token"}),
    ],
)
async def test_every_wrong_field_is_named(
    shop: Shop, wanted: dict[str, Any], fields: set[str]
) -> None:
    with refusal("INVALID_FIELD", InvalidArgument) as caught:
        await shop.orders.ListSales(order_pb.ListSalesRequest(**wanted), metadata=shop.admin)
    assert fields_of(caught) == fields


async def test_a_token_is_for_its_own_filters_only(shop: Shop, seller: Seller) -> None:
    for _ in range(2):
        await seller.buy((seller.tea, 1))
    request = order_pb.ListSalesRequest(page_size=1)
    page = await shop.orders.ListSales(request, metadata=seller.brand.metadata)
    for wanted in ({"fulfilled": False}, {"product_id": seller.tea.id}):
        with refusal("INVALID_FIELD", InvalidArgument):
            request = order_pb.ListSalesRequest(page_token=page.next_page_token, **wanted)
            await shop.orders.ListSales(request, metadata=seller.brand.metadata)


async def test_products_are_listed_by_their_seller(shop: Shop, seller: Seller) -> None:
    of_seller = {"seller": str(seller.brand.id)}
    assert [each.id for each in (await shop.listed(**of_seller)).products] == [
        seller.cup.id,
        seller.tea.id,
    ]
    for more, expected in (
        ({"sort": "price"}, [seller.cup, seller.tea]),
        ({"sort": "-price", "category": seller.tea.category_id}, [seller.tea]),
        ({"min_price": "5"}, [seller.tea]),
        ({"q": seller.cup.name}, [seller.cup]),
    ):
        page = await shop.listed(**of_seller | more)
        assert [each.id for each in page.products] == [each.id for each in expected], more
        assert page.metadata.total == len(expected)
    first = await shop.listed(**of_seller, limit=1)
    second = await shop.listed(**of_seller, limit=1, page_token=first.next_page_token)
    assert [each.id for each in second.products] == [seller.tea.id]
    await shop.remove(seller.tea)
    assert (await shop.listed(**of_seller)).metadata.total == 1
    assert (await shop.listed(seller=str(new_id()))).products == []
    with refusal("INVALID_FIELD", InvalidArgument) as caught:
        await shop.listed(seller="x")
    assert fields_of(caught) == {"seller"}
