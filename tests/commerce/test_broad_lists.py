"""Pages of lists that more products match than are counted: found seldom, never wrong."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from lockstep.commerce.v1 import catalog_service_pb2 as catalog_pb

from services.commerce.domain import broad_lists
from services.commerce.domain.broad_lists import BroadLists
from services.commerce.model import Filters, Sort
from services.commerce.store.seeding import seed
from tests.commerce.people import minor_of
from tests.commerce.world import Shop

pytestmark = pytest.mark.asyncio(loop_scope="module")

MATCHES = 11_000
SELLER = str(UUID(int=5))
_numbers = itertools.count(999_999, -1)
OF_THE_SELLER = f"seller_id = '{SELLER}' AND delete_time IS NULL"


@pytest_asyncio.fixture(name="shop", scope="module", loop_scope="module")
async def shop_of_one_large_seller(shared_shop: Shop) -> Shop:
    """A seller's products are the last ones by name, so a walk by name finds none of them."""
    seed(shared_shop.settings.commerce_database_url, products=20_000, categories=20)
    shared_shop.rows(
        f"UPDATE products SET seller_id = '{SELLER}' WHERE id IN"
        f" (SELECT id FROM products ORDER BY name_key DESC, id DESC LIMIT {MATCHES})"
    )
    return shared_shop


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def forget(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep pages for longer than a test takes, and none of the test before."""
    monkeypatch.setattr(broad_lists, "KEPT_SECONDS", 3600.0)
    await shop.product()


async def page(shop: Shop, **fields: str | int) -> catalog_pb.ListProductsResponse:
    usual: dict[str, str | int] = {"seller": SELLER, "sort": "name", "limit": 5}
    found = await shop.listed(**usual | fields)
    assert found.metadata.total_is_lower_bound
    return found


async def ids(shop: Shop) -> list[str]:
    return [each.id for each in (await page(shop)).products]


def expected(shop: Shop, number: int = 5) -> list[str]:
    rows = shop.rows(
        f"SELECT id FROM products WHERE {OF_THE_SELLER} ORDER BY name_key, id LIMIT {number}"
    )
    return [str(row.id) for row in rows]


def add_first(shop: Shop) -> str:
    """Add a product that comes first, as another process does."""
    (row,) = shop.rows(
        "INSERT INTO products (id, category_id, name, description, price, stock, image_url,"
        " seller_id) SELECT gen_random_uuid(), category_id, %s, '', 1, 1, '', seller_id"
        f" FROM products WHERE {OF_THE_SELLER} LIMIT 1 RETURNING id",
        f"0 {next(_numbers)}",
    )
    return str(row.id)


async def test_pages_that_are_kept_follow_each_other_as_those_that_are_found(shop: Shop) -> None:
    for _ in range(2):
        token, seen = "", list[str]()
        for _ in range(4):
            found = await page(shop, page_token=token)
            token, seen = found.next_page_token, [*seen, *(each.id for each in found.products)]
        assert seen == expected(shop, 20)


async def test_a_product_of_another_process_comes_when_the_page_is_found_anew(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broad_lists, "KEPT_SECONDS", 0.0)
    await ids(shop)
    added = add_first(shop)
    assert (await ids(shop))[0] == added
    monkeypatch.setattr(broad_lists, "KEPT_SECONDS", 3600.0)
    before = await ids(shop)
    add_first(shop)
    assert await ids(shop) == before


async def test_a_change_of_the_catalog_here_shows_at_once(shop: Shop) -> None:
    await ids(shop)
    added = add_first(shop)
    await shop.product()
    assert added in await ids(shop)


async def test_a_product_of_a_page_that_is_kept_is_shown_as_it_is_now(shop: Shop) -> None:
    first = (await ids(shop))[0]
    shop.rows("UPDATE products SET price = 4321 WHERE id = %s", first)
    shown = (await page(shop)).products[0]
    assert (shown.id, minor_of(shown.price)) == (first, 4321)


@pytest.mark.parametrize(
    "change", ["delete_time = now()", "seller_id = NULL", "name = 'zzzz' || name"]
)
async def test_a_page_is_found_anew_when_one_of_its_products_has_left_its_place(
    shop: Shop, change: str
) -> None:
    left = (await ids(shop))[2]
    shop.rows(f"UPDATE products SET {change} WHERE id = %s", left)
    found = await ids(shop)
    assert left not in found
    assert found == expected(shop)


async def test_a_page_that_is_being_found_while_the_catalog_changes_is_not_kept(
    shop: Shop,
) -> None:
    class Changing:
        """A reader: the catalog changes after each read, until nothing is to happen."""

        first = shop.database.first
        happens: Callable[[], None]

        async def all(self, statement: Any, parameters: Any, /) -> Any:
            found = await shop.database.all(statement, parameters)
            self.happens()
            return found

    reader = Changing()
    lists = BroadLists(reader)
    reader.happens = lists.clear
    filters = Filters(None, None, None, None, Sort.NAME, seller_id=UUID(SELLER))
    await lists.list_products(filters, limit=5)
    reader.happens = lambda: None
    added = add_first(shop)
    assert str((await lists.list_products(filters, limit=5))[0].id) == added


async def test_the_oldest_page_makes_room_when_there_are_too_many(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broad_lists, "KEPT_PAGES_MAX", 2)
    before = await ids(shop)
    for limit in (6, 7):
        await page(shop, limit=limit)
    added = add_first(shop)
    assert await ids(shop) != before
    assert (await ids(shop))[0] == added
