"""How often a request goes to the database and back: each way wakes two processes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from lockstep.commerce.v1 import cart_service_pb2 as cart_pb

from tests.commerce.world import Shop, shop_world

STATEMENT = re.compile(r"commerce\.(\w+)\.statement#\d+")


class Counted:
    """Counts the statements of each transaction by its name, as an observer."""

    def __init__(self) -> None:
        self.statements = Counter[str]()

    async def __call__(self, edge: str) -> None:
        if found := STATEMENT.fullmatch(edge):
            self.statements[found[1]] += 1


@pytest.fixture
def counted() -> Counted:
    return Counted()


@pytest.fixture
async def shop(
    commerce_url: str, profile_url: str, keys: Path, tmp_path: Path, counted: Counted
) -> AsyncIterator[Shop]:
    async with shop_world(commerce_url, profile_url, keys, tmp_path, observer=counted) as shop:
        yield shop


async def test_a_change_of_a_cart_is_one_statement_behind_the_lock_of_its_user(
    shop: Shop, counted: Counted
) -> None:
    someone = shop.login()
    first, second = await shop.products(2)
    await shop.add(someone, first)  # the first change of a user makes the user's row, too
    counted.statements.clear()
    await shop.add(someone, second)
    await shop.set(someone, second, 3)
    removal = cart_pb.RemoveCartItemRequest(product_id=first.id)
    await shop.carts.RemoveCartItem(removal, metadata=someone.metadata)
    await shop.carts.ClearCart(cart_pb.ClearCartRequest(), metadata=someone.metadata)
    taken = counted.statements
    assert taken["AddCartItem"] == 2 + 2  # two are of the idempotency key that the client gives
    assert taken["UpdateCartItem"] == taken["RemoveCartItem"] == taken["ClearCart"] == 2


async def test_a_merge_takes_as_many_statements_for_many_lines_as_for_one(
    shop: Shop, counted: Counted
) -> None:
    someone, products = shop.login(), await shop.products(20)
    await shop.add(someone, products[0])
    for lines in (products[:1], products):
        counted.statements.clear()
        await shop.merge(someone, *((each, len(lines) + 1) for each in lines))
        # The user, the products, the cart, its change, and the cart once more.
        assert counted.statements["MergeCart"] == 5
