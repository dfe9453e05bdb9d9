"""Carts."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from lockstep.commerce.v1 import cart_service_pb2 as cart_pb
from lockstep_clients import FailedPrecondition, InvalidArgument, NotFound, Unauthenticated

from services.commerce.model import CartProblem
from services.kernel.ids import new_id
from tests.commerce.people import minor_of
from tests.commerce.world import Shop, fields_of, refusal

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROBLEM = {
    str(name): cart_pb.CartItemProblem.Value(f"CART_ITEM_PROBLEM_{name}") for name in CartProblem
}


@pytest.fixture(name="shop")
def shop_of_all(shared_shop: Shop) -> Shop:
    return shared_shop


def lines(cart: cart_pb.Cart) -> list[tuple[str, int]]:
    return [(item.product.name, item.quantity) for item in cart.items]


async def test_a_user_who_added_nothing_has_an_empty_cart(shop: Shop) -> None:
    someone = shop.login()
    cart = await shop.cart(someone)
    assert cart.user_id == str(someone.id)
    assert (len(cart.items), minor_of(cart.subtotal)) == (0, 0)
    assert cart.etag
    assert not cart.HasField("update_time")


async def test_the_first_add_makes_the_cart(shop: Shop) -> None:
    someone, product = shop.login(), await shop.product(price=250)
    cart = await shop.add(someone, product, 3)
    (item,) = cart.items
    assert item.product == product
    assert item.product.category.name
    assert (item.quantity, minor_of(item.unit_price), minor_of(item.line_total)) == (3, 250, 750)
    assert minor_of(cart.subtotal) == 750
    assert not item.problems
    assert cart.HasField("update_time")
    assert cart == await shop.cart(someone)


async def test_an_add_of_the_same_product_increases_and_of_another_appends(shop: Shop) -> None:
    someone = shop.login()
    first, second, third = await shop.products(3)
    for product in (second, first, second, third):
        await shop.add(someone, product, 2)
    assert lines(await shop.cart(someone)) == [(second.name, 4), (first.name, 2), (third.name, 2)]


async def test_a_cart_is_its_users_alone(shop: Shop) -> None:
    one, other, product = shop.login(), shop.login(), await shop.product()
    await shop.add(one, product)
    assert not (await shop.cart(other)).items
    with refusal("INVALID_TOKEN", Unauthenticated):
        await shop.carts.GetCart(cart_pb.GetCartRequest())


@pytest.mark.parametrize("quantity", [0, -1, -(2**31)])
async def test_less_than_one_cannot_be_added(shop: Shop, quantity: int) -> None:
    someone, product = shop.login(), await shop.product()
    with refusal("INVALID_FIELD", InvalidArgument) as caught:
        await shop.add(someone, product, quantity)
    assert fields_of(caught) == {"quantity"}
    assert (await shop.cart(someone)).etag == "0"


async def test_all_that_is_wrong_with_an_add_is_said_at_once(shop: Shop) -> None:
    with refusal("INVALID_FIELD", InvalidArgument) as caught:
        await shop.carts.AddCartItem(
            cart_pb.AddCartItemRequest(product_id="x"), metadata=shop.login().metadata
        )
    assert fields_of(caught) == {"product_id", "quantity"}


@pytest.mark.parametrize("quantity", [10_000, 2**31 - 1])
async def test_more_than_the_limit_cannot_be_added(shop: Shop, quantity: int) -> None:
    someone, product = shop.login(), await shop.product()
    with refusal("QUANTITY_LIMIT", FailedPrecondition):
        await shop.add(someone, product, quantity)
    await shop.add(someone, product, 9_999)
    with refusal("QUANTITY_LIMIT", FailedPrecondition):
        await shop.add(someone, product, 1)
    with refusal("QUANTITY_LIMIT", FailedPrecondition):
        await shop.set(someone, product, quantity)
    assert lines(await shop.cart(someone)) == [(product.name, 9_999)]


async def test_a_cart_has_a_hundred_lines_at_most(shop: Shop) -> None:
    someone, products = shop.login(), await shop.products(101)
    for product in products[:100]:
        await shop.add(someone, product)
    with refusal("QUANTITY_LIMIT", FailedPrecondition):
        await shop.add(someone, products[100])
    assert lines(await shop.add(someone, products[0], 4))[0] == (products[0].name, 5)
    await shop.set(someone, products[5], 0)
    cart = await shop.add(someone, products[100])
    assert len(cart.items) == 100
    assert lines(cart)[-1] == (products[100].name, 1)


async def test_only_what_is_in_the_catalog_can_be_added(shop: Shop) -> None:
    someone, product = shop.login(), await shop.product()
    await shop.remove(product)
    with refusal("PRODUCT_NOT_FOUND", NotFound):
        await shop.add(someone, product)
    product.id = str(new_id())
    with refusal("PRODUCT_NOT_FOUND", NotFound):
        await shop.add(someone, product)
    assert not (await shop.cart(someone)).items


async def test_a_quantity_above_zero_replaces(shop: Shop) -> None:
    someone = shop.login()
    first, second = await shop.products(2)
    await shop.add(someone, first, 2)
    before = await shop.add(someone, second, 2)
    cart = await shop.set(someone, first, 9)
    assert lines(cart) == [(first.name, 9), (second.name, 2)]
    assert cart.etag != before.etag


async def test_a_quantity_of_zero_removes_that_product_only(shop: Shop) -> None:
    someone = shop.login()
    first, second = await shop.products(2)
    await shop.add(someone, first, 2)
    await shop.add(someone, second, 3)
    assert lines(await shop.set(someone, first, 0)) == [(second.name, 3)]


async def test_a_negative_or_absent_quantity_is_wrong(shop: Shop) -> None:
    someone, product = shop.login(), await shop.product()
    await shop.add(someone, product, 2)
    for quantity in (-1, -(2**31), None):
        with refusal("INVALID_FIELD", InvalidArgument) as caught:
            await shop.set(someone, product, quantity)
        assert fields_of(caught) == {"quantity"}
    assert lines(await shop.cart(someone)) == [(product.name, 2)]


async def test_there_must_be_a_cart_and_an_item_to_change(shop: Shop) -> None:
    someone = shop.login()
    there, absent = await shop.products(2)
    removal = cart_pb.RemoveCartItemRequest(product_id=absent.id)
    with refusal("CART_NOT_FOUND", NotFound):
        await shop.set(someone, absent, 1)
    with refusal("CART_NOT_FOUND", NotFound):
        await shop.carts.RemoveCartItem(removal, metadata=someone.metadata)
    before = await shop.add(someone, there)
    for quantity in (0, 1):
        with refusal("CART_ITEM_NOT_FOUND", NotFound):
            await shop.set(someone, absent, quantity)
    with refusal("CART_ITEM_NOT_FOUND", NotFound):
        await shop.carts.RemoveCartItem(removal, metadata=someone.metadata)
    assert await shop.cart(someone) == before


async def test_an_item_is_removed_and_a_cart_is_cleared(shop: Shop) -> None:
    someone = shop.login()
    first, second = await shop.products(2)
    clear = cart_pb.ClearCartRequest()
    assert not (await shop.carts.ClearCart(clear, metadata=someone.metadata)).items
    await shop.add(someone, first)
    filled = await shop.add(someone, second)
    cart = await shop.carts.RemoveCartItem(
        cart_pb.RemoveCartItemRequest(product_id=first.id), metadata=someone.metadata
    )
    assert lines(cart) == [(second.name, 1)]
    for _ in range(2):
        emptied = await shop.carts.ClearCart(clear, metadata=someone.metadata)
        assert (len(emptied.items), minor_of(emptied.subtotal)) == (0, 0)
    assert len({filled.etag, cart.etag, emptied.etag}) == 3


async def test_lines_that_cannot_be_bought_as_they_stand_say_why(shop: Shop) -> None:
    someone = shop.login()
    good, gone, scarce, dearer, both = await shop.products(5)
    for product in (good, gone, scarce, dearer, both):
        seen = await shop.add(someone, product, 2)
    await shop.remove(gone)
    await shop.change(scarce, stock=1)
    await shop.change(dearer, price=3000)
    await shop.change(both, price=500, stock=0)
    cart = await shop.cart(someone)
    assert [list(item.problems) for item in cart.items] == [
        [],
        [PROBLEM["GONE"]],
        [PROBLEM["NO_STOCK"]],
        [PROBLEM["PRICE_CHANGED"]],
        [PROBLEM["NO_STOCK"], PROBLEM["PRICE_CHANGED"]],
    ]
    assert cart.etag != seen.etag  # its products have changed, though the cart itself has not
    assert minor_of(cart.items[3].unit_price) == 3000
    assert minor_of(cart.subtotal) == 2 * 1000 + 2 * 3000
    again = await shop.set(someone, dearer, 1)
    assert not again.items[3].problems


async def test_a_repeated_add_with_a_key_counts_once(shop: Shop) -> None:
    someone = shop.login()
    product, other = await shop.products(2)
    first = await shop.add(someone, product, 2, key="once")
    await shop.add(someone, other)
    assert await shop.add(someone, product, 2, key="once") == first
    with refusal("IDEMPOTENCY_KEY_REUSED", InvalidArgument):
        await shop.add(someone, product, 3, key="once")
    assert lines(await shop.cart(someone)) == [(product.name, 2), (other.name, 1)]
    with refusal("QUANTITY_LIMIT", FailedPrecondition):
        await shop.add(someone, product, 9_999, key="refused")
    await shop.set(someone, product, 0)
    with refusal("QUANTITY_LIMIT", FailedPrecondition):
        await shop.add(someone, product, 9_999, key="refused")


async def test_two_first_adds_at_once_make_one_cart(shop: Shop) -> None:
    products = await shop.products(2)
    for _ in range(10):
        someone = shop.login()
        await asyncio.gather(*(shop.add(someone, product) for product in products))
        assert {name for name, _ in lines(await shop.cart(someone))} == {
            product.name for product in products
        }


async def test_limits_hold_against_adds_at_once(shop: Shop) -> None:
    someone, product = shop.login(), await shop.product()
    answers = await asyncio.gather(
        *(shop.add(someone, product, 2000) for _ in range(8)), return_exceptions=True
    )
    assert sum(isinstance(answer, cart_pb.Cart) for answer in answers) == 4
    assert lines(await shop.cart(someone)) == [(product.name, 8000)]


async def test_a_number_that_is_none_is_a_wrong_request(shop: Shop) -> None:
    """The generated types would not let a client send it."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{shop.port}") as channel:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            "/lockstep.commerce.v1.CartService/AddCartItem"
        )
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"\x0a\x05abc", metadata=shop.login().metadata)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
