"""Lists of a catalog of 20,000 products: more than are counted."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg
import pytest
import pytest_asyncio
from lockstep_clients import OutOfRange

from services.commerce.model import Filters
from services.commerce.store import listing
from services.commerce.store.listing import ListParameters, Way
from services.commerce.store.seeding import seed
from services.kernel.db.statement import Statement
from tests.commerce.world import Shop, refusal

NOBODY = UUID("01890a5d-ac96-774b-bcce-b302099a8057")

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(name="shop", scope="module", loop_scope="module")
async def large_shop(shared_shop: Shop) -> Shop:
    seed(shared_shop.settings.commerce_database_url, products=20_000, categories=20)
    return shared_shop


async def test_a_total_is_exact_to_ten_thousand_and_a_bound_beyond(shop: Shop) -> None:
    metadata = (await shop.listed(limit=100)).metadata
    assert (metadata.total, metadata.total_is_lower_bound) == (10_000, True)
    assert metadata.total_pages == 100


async def test_pages_by_number_end_where_tokens_go_on(shop: Shop) -> None:
    last = await shop.listed(page=100, limit=100)
    assert len(last.products) == 100
    for page, limit in ((101, 100), (501, 20), (2**31 - 1, 100)):
        with refusal("USE_PAGE_TOKEN", OutOfRange):
            await shop.listed(page=page, limit=limit)
    further = await shop.listed(limit=100, page_token=last.next_page_token)
    assert len(further.products) == 100
    assert further.metadata.total_is_lower_bound


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"category_id": True},
        {"category_id": True, "min_price": 1000, "max_price": 20000},
        {"min_price": 1000, "max_price": 20000},
        {"min_price": 0},
        {"max_stock": 0},
        {"min_stock": 1},
        {"category_id": True, "min_stock": 1, "max_stock": 5},
        {"words": "tea"},
        {"words": "steel lamp"},
        {"category_id": True, "words": "s"},
        {"words": "tea", "min_price": 100},
        {"seller_id": NOBODY},
    ],
    ids=str,
)
async def test_no_list_reads_the_whole_table(shop: Shop, wanted: dict[str, Any]) -> None:
    usual = {"category_id": None, "min_price": None, "max_price": None, "words": None}
    if "category_id" in wanted:
        row = shop.rows("SELECT category_id FROM products LIMIT 1")[0]
        wanted = {**wanted, "category_id": row.category_id}
    for sort in listing.SORTS:
        everything = Filters(**usual, sort=sort)
        product, *_ = await listing.list_products(shop.database, everything, skip=5000, limit=1)
        filters = Filters(**usual | wanted, sort=sort)
        for plan in plans(shop, filters, product.position(sort)):
            assert "Seq Scan on products" not in plan, plan


def plans(shop: Shop, filters: Filters, after: listing.Position) -> list[str]:
    """Explain a first page, a deep one and the count."""
    counted = listing.parameters_of(filters)
    pages = (
        listing.parameters_of(filters, skip=0, limit=21),
        listing.parameters_of(filters, after=after, limit=21),
    )
    options = "-c random_page_cost=1.1"  # as the service's own sessions
    with psycopg.connect(shop.settings.commerce_database_url, options=options) as connection:
        plans = [
            _plan(connection, listing._page(listing.names_of(each), filters.sort, way), each)
            for each in pages
            for way in ways(each, filters)
        ]
        # A count by words may read the table from its beginning: it ends soon when the words
        # are common, and when they are rare the planner uses their index.
        if not filters.words:
            plans.append(_plan(connection, listing._count(listing.names_of(counted)), counted))
        return plans


def ways(parameters: ListParameters, filters: Filters) -> list[Way]:
    """Return the ways to a page. Frequent matches are not collected: walking finds them."""
    if listing._is_served(listing.names_of(parameters), filters.sort):
        return [Way.SERVED]
    return [Way.WALKED, Way.COLLECTED] if filters.words else [Way.WALKED]


def _plan(
    connection: psycopg.Connection[Any],
    statement: Statement[ListParameters, Any],
    parameters: ListParameters,
) -> str:
    query = b"EXPLAIN " + statement.sql
    rows = psycopg.RawCursor(connection).execute(query, statement._values(parameters))
    return "\n".join(row[0] for row in rows)
