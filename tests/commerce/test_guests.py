"""The cart of a guest: its products, and how it becomes the cart of a user."""

from __future__ import annotations

import asyncio

import pytest
from lockstep.commerce.v1 import cart_service_pb2 as cart_pb
from lockstep.commerce.v1 import catalog_service_pb2 as catalog_pb
from lockstep_clients import InvalidArgument, LockstepError, Unauthenticated

from services.commerce.model import LINES_MAX
from services.kernel.ids import new_id
from tests.commerce.world import Shop, fields_of, refusal

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(name="shop")
def shop_of_all(shared_shop: Shop) -> Shop:
    return shared_shop


def unknown() -> catalog_pb.Product:
    return catalog_pb.Product(id=str(new_id()))


def lines(cart: cart_pb.Cart) -> list[tuple[str, int]]:
    return [(item.product.id, item.quantity) for item in cart.items]


async def test_products_are_got_in_the_order_of_their_ids_without_those_that_are_gone(
    shop: Shop,
) -> None:
    one, gone, other = await shop.products(3)
    await shop.remove(gone)
    ids = [other.id, unknown().id, gone.id, one.id, other.id]
    found = await shop.catalog.BatchGetProducts(catalog_pb.BatchGetProductsRequest(ids=ids))
    assert list(found.products) == [other, one]
    for wrong, fields in (([], {"ids"}), ([one.id] * 101, {"ids"}), ([one.id, "x"], {"ids[1]"})):
        with refusal("INVALID_FIELD", InvalidArgument) as caught:
            await shop.catalog.BatchGetProducts(catalog_pb.BatchGetProductsRequest(ids=wrong))
        assert fields_of(caught) == fields


async def test_each_line_becomes_the_larger_of_both_and_a_repeat_changes_nothing(
    shop: Shop,
) -> None:
    buyer = shop.login()
    both, mine, new = await shop.products(3)
    await shop.add(buyer, both, 2)
    await shop.add(buyer, mine, 4)
    merged = await shop.merge(buyer, (both, 3), (mine, 1), (new, 5))
    assert lines(merged.cart) == [(both.id, 3), (mine.id, 4), (new.id, 5)]
    assert not merged.skipped
    assert await shop.merge(buyer, (both, 3), (mine, 1), (new, 5)) == merged
    assert await shop.cart(buyer) == merged.cart


async def test_a_merge_accepts_the_price_of_a_line_that_it_raises_and_of_no_other(
    shop: Shop,
) -> None:
    buyer = shop.login()
    raised, kept, new = await shop.products(3)
    for product in (raised, kept):
        await shop.add(buyer, product, 2)
        await shop.change(product, price=700)
    merged = await shop.merge(buyer, (new, 1), (kept, 2), (raised, 3))
    assert lines(merged.cart) == [(raised.id, 3), (kept.id, 2), (new.id, 1)]
    assert [list(item.problems) for item in merged.cart.items] == [
        [],
        [cart_pb.CART_ITEM_PROBLEM_PRICE_CHANGED],
        [],
    ]


async def test_new_lines_of_a_merge_come_after_others_in_the_order_of_the_guest(
    shop: Shop,
) -> None:
    buyer, products = shop.login(), await shop.products(6)
    first, second, *rest = reversed(products)
    merged = await shop.merge(buyer, (first, 1), (second, 1))
    assert lines(merged.cart) == [(first.id, 1), (second.id, 1)]
    merged = await shop.merge(buyer, *((each, 2) for each in (rest[0], second, *rest[1:])))
    assert [item.product.id for item in merged.cart.items] == [
        each.id for each in (first, second, *rest)
    ]
    await shop.add(buyer, after := await shop.product())
    assert (await shop.cart(buyer)).items[-1].product.id == after.id


async def test_what_is_gone_or_too_much_is_skipped_and_told(shop: Shop) -> None:
    buyer, lost = shop.login(), unknown()
    gone, good, *more = await shop.products(LINES_MAX + 1)
    await shop.remove(gone)
    merged = await shop.merge(
        buyer, (lost, 1), (gone, 1), (good, 10_000), *((p, 1) for p in more[:9])
    )
    assert [(each.product_id, each.reason) for each in merged.skipped] == [
        (lost.id, "PRODUCT_NOT_FOUND"),
        (gone.id, "PRODUCT_NOT_FOUND"),
        (good.id, "QUANTITY_LIMIT"),
    ]
    assert len(merged.cart.items) == 9
    await shop.merge(buyer, *((each, 1) for each in more[9:]))
    full = await shop.merge(buyer, (good, 1), (await shop.product(), 1), (more[0], 7))
    assert (len(full.cart.items), full.cart.items[0].quantity) == (LINES_MAX, 7)
    assert [each.reason for each in full.skipped] == ["QUANTITY_LIMIT"]
    assert full.cart.items[-1].product.id == good.id


async def test_wrong_lines_are_named_and_nobody_else_merges(shop: Shop) -> None:
    buyer, product = shop.login(), await shop.product()
    for items, fields in (
        ((), {"items"}),
        (((product, 1),) * 101, {"items"}),
        (((product, 0), (unknown(), 1)), {"items[0].quantity"}),
        (((product, 1), (catalog_pb.Product(id="x"), 1)), {"items[1].product_id"}),
        (((product, 1), (product, 2)), {"items[1].product_id"}),
    ):
        with refusal("INVALID_FIELD", InvalidArgument) as caught:
            await shop.merge(buyer, *items)
        assert fields_of(caught) == fields
    assert not (await shop.cart(buyer)).items
    with refusal("INVALID_TOKEN", Unauthenticated):
        await shop.carts.MergeCart(cart_pb.MergeCartRequest())


async def test_a_merge_and_an_order_at_once_leave_what_was_not_ordered(shop: Shop) -> None:
    for _ in range(5):
        buyer, product = await shop.buyer(), await shop.product(stock=100)
        await shop.add(buyer, product, 2)
        merged, placed = await asyncio.gather(
            shop.merge(buyer, (product, 5)), shop.place(buyer), return_exceptions=True
        )
        assert not isinstance(merged, LockstepError)
        assert not isinstance(placed, BaseException)
        ordered = placed.items[0].quantity
        assert ordered in (2, 5)
        left = sum(item.quantity for item in (await shop.cart(buyer)).items)
        # Merged before the order: all of it is bought. During its payment: the rest stays.
        # Afterwards: the guest's cart is a new one.
        assert left in ({0} if ordered == 5 else {3, 5})
