"""Lists of orders: of one user or of all, by state, time and product."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, timedelta
from typing import Any
from uuid import UUID

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from lockstep.commerce.v1 import order_service_pb2 as order_pb
from lockstep_clients import InvalidArgument, PermissionDenied

from services.commerce.store import order_lists, walks
from services.common.keys import KeyRing
from services.kernel.ids import new_id
from services.kernel.paging import PageTokens
from services.kernel.rpc.timestamps import timestamp
from tests.commerce.world import Buyer, Shop, fields_of, refusal

pytestmark = pytest.mark.asyncio(loop_scope="module")

State = order_pb.OrderState
PAID, CANCELLED, FULFILLED = (
    State.ORDER_STATE_PAID,
    State.ORDER_STATE_CANCELLED,
    State.ORDER_STATE_FULFILLED,
)


@pytest.fixture(name="shop")
def shop_of_all(shared_shop: Shop) -> Shop:
    return shared_shop


async def listed(shop: Shop, by: Buyer | None, **wanted: Any) -> list[str]:
    """Follow the tokens to the end."""
    metadata = shop.admin if by is None else by.metadata
    seen, token = list[str](), ""
    while True:
        request = order_pb.ListOrdersRequest(**{"page_size": 2} | wanted, page_token=token)
        page = await shop.orders.ListOrders(request, metadata=metadata)
        seen += [order.id for order in page.orders]
        token = page.next_page_token
        if not token:
            return seen


def newest(*orders: Sequence[order_pb.Order]) -> list[str]:
    """Return the ids of orders, newest first; each has been placed after those before."""
    every = [each for some in orders for each in some]
    return [
        each.id
        for each in sorted(every, key=lambda each: each.create_time.ToNanoseconds(), reverse=True)
    ]


async def test_administrators_list_the_orders_of_all_users(shop: Shop) -> None:
    one, other = await shop.buyer(), await shop.buyer()
    tea, cup = await shop.product(price=1), await shop.product(price=2)
    of_one = [await shop.bought(one, each) for each in (tea, cup, tea)]
    of_other = [await shop.bought(other, each) for each in (cup, tea)]
    everything = newest(of_one, of_other)
    assert (await listed(shop, None, user_id="-"))[:5] == everything
    assert await listed(shop, None, user_id=str(one.id)) == newest(of_one)
    assert await listed(shop, None, user_id="-", product_id=cup.id) == newest(
        [of_one[1], of_other[0]]
    )
    assert await listed(shop, None, user_id="-", product_id=str(new_id())) == []
    since, until = of_one[1].create_time, of_other[1].create_time
    between: dict[str, Any] = {"start_time": since, "end_time": until}
    assert await listed(shop, None, user_id="-", **between) == newest(of_one[1:], of_other[:1])
    assert await listed(shop, None, user_id="-", product_id=tea.id, **between) == [of_one[2].id]
    later = timestamp(until.ToDatetime(UTC) + timedelta(microseconds=1))
    assert await listed(shop, None, user_id="-", start_time=later) == []
    assert await listed(shop, one, **between) == newest(of_one[1:])


async def test_orders_are_listed_by_their_states(shop: Shop) -> None:
    buyer, product = await shop.buyer(), await shop.product(price=1)
    paid, cancelled, shipped = (list[order_pb.Order]() for _ in range(3))
    for _ in range(3):
        paid.append(await shop.bought(buyer, product))
        cancelled.append(await shop.bought(buyer, product))
        await shop.cancel(buyer, cancelled[-1].id)
    shipped.append(paid.pop(1))
    await shop.orders.FulfilOrder(
        order_pb.FulfilOrderRequest(order_id=shipped[0].id), metadata=shop.admin
    )
    for states, expected in (
        ([PAID], newest(paid)),
        ([CANCELLED], newest(cancelled)),
        ([FULFILLED, CANCELLED, CANCELLED], newest(shipped, cancelled)),
        ([State.ORDER_STATE_PENDING], []),
        ([], newest(paid, cancelled, shipped)),
    ):
        assert await listed(shop, buyer, states=states) == expected
        of_all: dict[str, Any] = {"user_id": "-", "start_time": paid[0].create_time}
        of_all["states"] = states
        assert await listed(shop, None, **of_all) == expected
        assert await listed(shop, None, **of_all, product_id=product.id) == expected
        assert await listed(shop, None, **of_all, page_size=1) == expected


async def test_every_order_of_a_product_is_found_where_the_walk_ends_early(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    buyer, product = await shop.buyer(), await shop.product(price=1)
    first, *others = [await shop.bought(buyer, product) for _ in range(5)]
    await shop.cancel(buyer, first.id)
    monkeypatch.setattr(walks, "WALKED_MAX", 2)
    cut = order_lists._OF_PRODUCT_LIST.sql.replace(b"2000", b"2")
    monkeypatch.setattr(order_lists._OF_PRODUCT_LIST, "sql", cut)
    of_product: dict[str, Any] = {"user_id": "-", "product_id": product.id}
    for size in (1, 2, 100):
        of_size = of_product | {"page_size": size}
        assert await listed(shop, None, **of_size) == newest([first], others)
        assert await listed(shop, None, **of_size, states=[CANCELLED]) == [first.id]
        assert await listed(shop, None, **of_size, states=[FULFILLED]) == []


async def test_only_administrators_list_the_orders_of_all_users(shop: Shop) -> None:
    buyer = await shop.buyer()
    with refusal("FORBIDDEN", PermissionDenied):
        await listed(shop, buyer, user_id="-")
    with refusal("INVALID_FIELD", InvalidArgument) as caught:
        await listed(shop, buyer, product_id=str(new_id()))
    assert fields_of(caught) == {"product_id"}


@pytest.mark.parametrize(
    ("wanted", "fields"),
    [
        ({"states": [PAID, 0]}, {"states[1]"}),
        ({"states": [99]}, {"states[0]"}),
        ({"start_time": Timestamp(seconds=5), "end_time": Timestamp(seconds=5)}, {"end_time"}),
        ({"start_time": Timestamp(seconds=-(10**12))}, {"start_time"}),
        ({"end_time": Timestamp(seconds=10**12), "product_id": "x"}, {"end_time", "product_id"}),
    ],
)
async def test_every_wrong_field_is_named(
    shop: Shop, wanted: dict[str, Any], fields: set[str]
) -> None:
    with refusal("INVALID_FIELD", InvalidArgument) as caught:
        await listed(shop, None, user_id="-", **wanted)
    assert fields_of(caught) == fields


async def test_a_token_is_for_its_own_filters_only(shop: Shop) -> None:
    buyer, product = await shop.buyer(), await shop.product(price=1)
    for _ in range(3):
        await shop.bought(buyer, product)
    request = order_pb.ListOrdersRequest(user_id="-", page_size=1, product_id=product.id)
    token = (await shop.orders.ListOrders(request, metadata=shop.admin)).next_page_token
    with refusal("INVALID_FIELD", InvalidArgument):
        await shop.orders.ListOrders(
            order_pb.ListOrdersRequest(page_token="x"), metadata=buyer.metadata
        )
    for wanted in (
        {"user_id": "-"},
        {"user_id": str(buyer.id)},
        {"user_id": "-", "product_id": product.id, "states": [PAID]},
    ):
        with refusal("INVALID_FIELD", InvalidArgument):
            request = order_pb.ListOrdersRequest(page_token=token, **wanted)
            await shop.orders.ListOrders(request, metadata=shop.admin)


async def test_a_token_of_0_1_for_all_orders_of_a_user_leads_on(shop: Shop) -> None:
    buyer, product = await shop.buyer(), await shop.product(price=1)
    older, newer = [await shop.bought(buyer, product) for _ in range(2)]
    tokens = PageTokens(KeyRing.load(shop.settings.keys, "commerce").secrets["requests"])
    token = tokens.after(
        newer.create_time.ToDatetime(UTC), UUID(newer.id), listing=f"orders {buyer.id}"
    )
    request = order_pb.ListOrdersRequest(page_token=token)
    page = await shop.orders.ListOrders(request, metadata=buyer.metadata)
    assert [each.id for each in page.orders] == [older.id]
