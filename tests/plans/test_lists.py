"""A public page costs a bounded amount, whatever is asked of 100,000 products.

PostgreSQL counts the pages that it reads. Plain lists read a few dozen. Frequent matches end
the walk early; rare ones, and those that lie together far from where a list begins, are
collected by the index of their filter.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any
from uuid import UUID

import psycopg
import pytest

from services.commerce.model import Filters, Sort
from services.commerce.settings import SESSION_SETTINGS
from services.commerce.store import listing, relevance, search_words
from services.commerce.store.listing import WALKED_MAX, Names, Way
from services.commerce.store.seeding import seed
from services.kernel.db.limits import options_of
from services.kernel.db.statement import NoParameters
from tests.conftest import Databases
from tests.plans.pages import run

PRODUCTS = 100_000
CATEGORIES = 40
LIMIT = 21
# The rows of a walk lie anywhere, so each may be on a page of its own; and the index's pages.
WALK_PAGES = WALKED_MAX + 200
TABLE_SHARE = 0.95
# A statement that reads more than this has to wait for its turn.
CHEAP_PAGES = 300

ANY = Filters(None, None, None, None, Sort.NEWEST)
# Names begin with the maker, and what is of oak has its price.
WORDS = {
    "many": "slate",
    "clumped": "lindqvist",
    "clumped by price": "oak",
    "few": "zzyzx",
    "none": "xyzzy",
    "two": "lindqvist walnut",
}
BOUNDS: dict[str, dict[str, Any]] = {
    "every price": {"min_price": 0},
    "no price": {"min_price": 10**14},
    "one price": {"min_price": 4_999, "max_price": 4_999},
    "sold out": {"max_stock": 0},
    "low": {"min_stock": 1, "max_stock": 3},
    "in stock": {"min_stock": 1},
    "no stock": {"min_stock": 10**9},
}


# A seller of each third product, of thirty anywhere, and of those that come last by name.
SELLERS = {
    "many": (UUID(int=1), "get_byte(uuid_send(id), 15) % 3 = 0"),
    "few": (UUID(int=2), "id IN (SELECT id FROM products ORDER BY md5(id::text) DESC LIMIT 30)"),
    "clumped": (UUID(int=3), "name_key > 'w'"),
    "none": (UUID(int=4), "false"),
}


@pytest.fixture(scope="module")
def connection(databases: Databases) -> Iterator[psycopg.Connection[Any]]:
    with ExitStack() as stack:
        url = databases.fresh(stack, "commerce")
        seed(url, products=PRODUCTS, categories=CATEGORIES, random_seed=7)
        opened = stack.enter_context(
            psycopg.connect(url, options=options_of(SESSION_SETTINGS), autocommit=True)
        )
        opened.execute(
            "UPDATE products SET name = 'Zzyzx ' || name WHERE id IN"
            " (SELECT id FROM products ORDER BY md5(id::text) LIMIT 30)"
        )
        for seller, rows in SELLERS.values():
            opened.execute(f"UPDATE products SET seller_id = '{seller}' WHERE {rows}".encode())
        opened.execute("VACUUM ANALYZE products")
        yield opened


@pytest.fixture(scope="module")
def table_pages(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute("SELECT relpages FROM pg_class WHERE relname = 'products'").fetchone()
    assert row is not None
    return int(row[0])


def parameters_of(filters: Filters) -> tuple[Names, dict[str, Any]]:
    """Return the parameters of the first page of a list: their names, and their values."""
    parameters = listing.parameters_of(filters, skip=0, limit=LIMIT)
    names = listing.names_of(parameters)
    return names, {name: getattr(parameters, name) for name in names}


def pages(connection: psycopg.Connection[Any], filters: Filters) -> tuple[int, str]:
    """Return the pages that are read for the first page of a list, and the plans."""
    names, values = parameters_of(filters)
    is_served = listing._is_served(names, filters.sort)
    total, texts = 0, list[str]()
    for way in [Way.SERVED] if is_served else [Way.WALKED, Way.COLLECTED]:
        statement = listing._page(names, filters.sort, way)
        plan = run(connection, statement, values, mode="force_custom_plan")
        total, texts = total + plan.pages, [*texts, f"{way}: {plan.text}"]
        assert statement.is_costly or plan.pages <= CHEAP_PAGES, plan.text
        if plan.rows == LIMIT:
            break
    return total, "\n".join(texts)


@pytest.mark.parametrize("sort", listing.SORTS)
@pytest.mark.parametrize("matches", WORDS)
def test_a_search_reads_less_than_the_table(
    connection: psycopg.Connection[Any], table_pages: int, matches: str, sort: Sort
) -> None:
    read, plan = pages(connection, replace(ANY, words=WORDS[matches], sort=sort))
    assert read <= WALK_PAGES + TABLE_SHARE * table_pages, plan
    if matches in ("few", "none"):
        assert read <= WALK_PAGES + 500, plan
    if matches == "many":
        assert read <= WALK_PAGES, plan


@pytest.mark.parametrize("sort", listing.SORTS)
@pytest.mark.parametrize("bounds", BOUNDS)
def test_a_bound_reads_the_rows_of_a_walk_or_of_those_within_it(
    connection: psycopg.Connection[Any], bounds: str, sort: Sort
) -> None:
    read, plan = pages(connection, replace(ANY, **BOUNDS[bounds], sort=sort))
    assert read <= WALK_PAGES + 1000, plan


@pytest.mark.parametrize("sort", listing.SORTS)
@pytest.mark.parametrize("matches", SELLERS)
def test_a_list_of_a_seller_reads_less_than_the_table(
    connection: psycopg.Connection[Any], table_pages: int, matches: str, sort: Sort
) -> None:
    read, plan = pages(connection, replace(ANY, seller_id=SELLERS[matches][0], sort=sort))
    assert read <= WALK_PAGES + TABLE_SHARE * table_pages, plan
    if sort is Sort.NEWEST:
        assert read <= 200, plan
    if matches in ("few", "none"):
        assert read <= WALK_PAGES + 200, plan
    if matches == "many":
        assert read <= WALK_PAGES, plan


@pytest.mark.parametrize(
    ("first", "second"), [*itertools.combinations(("words", "prices", "category", "seller"), 2)]
)
def test_filters_together_read_no_more_than_each_alone(
    connection: psycopg.Connection[Any], table_pages: int, first: str, second: str
) -> None:
    row = connection.execute("SELECT category_id FROM products LIMIT 1").fetchone()
    assert row is not None
    both: dict[str, Any] = {"words": "lindqvist", "min_price": 100, "category_id": row[0]}
    both["seller_id"] = SELLERS["clumped"][0]
    names = {"words": "words", "prices": "min_price", "category": "category_id"}
    names["seller"] = "seller_id"
    given = {names[each]: both[names[each]] for each in (first, second)}
    for sort in listing.SORTS:
        read, plan = pages(connection, replace(ANY, **given, sort=sort))
        assert read <= WALK_PAGES + TABLE_SHARE * table_pages, plan


@pytest.mark.parametrize("matches", ["few", "none", "two"])
def test_ranks_cost_by_the_products_that_match(
    connection: psycopg.Connection[Any], matches: str
) -> None:
    names, values = parameters_of(replace(ANY, words=WORDS[matches], sort=Sort.RELEVANCE))
    plan = run(connection, relevance._page(names), values, mode="force_custom_plan")
    found = connection.execute(
        "SELECT count(*) FROM products WHERE words @@ search_query(%s)", [WORDS[matches]]
    ).fetchone()
    assert found is not None
    assert plan.pages <= found[0] + 200, plan.text


@pytest.mark.parametrize("matches", WORDS)
def test_what_counts_or_ranks_many_products_waits_for_its_turn(
    connection: psycopg.Connection[Any], matches: str
) -> None:
    names, values = parameters_of(replace(ANY, words=WORDS[matches], sort=Sort.RELEVANCE))
    counted = listing.names_of(listing.parameters_of(replace(ANY, words=WORDS[matches])))
    for statement, named in ((listing._count(counted), counted), (relevance._page(names), names)):
        given = {name: values[name] for name in named}
        plan = run(connection, statement, given, mode="force_custom_plan")
        assert statement.is_costly or plan.pages <= CHEAP_PAGES, plan.text


@pytest.mark.parametrize("sort", listing.SORTS)
def test_a_page_whose_places_are_known_is_read_by_them(
    connection: psycopg.Connection[Any], sort: Sort
) -> None:
    rows = connection.execute("SELECT id FROM products LIMIT %s", [LIMIT]).fetchall()
    filters = replace(ANY, words="oak", min_price=100, sort=sort)
    parameters = replace(listing.parameters_of(filters), ids=[row[0] for row in rows])
    names = listing.names_of(parameters)
    values = {name: getattr(parameters, name) for name in names}
    plan = run(connection, listing._products(names, sort), values, mode="force_custom_plan")
    assert plan.pages <= CHEAP_PAGES, plan.text


def test_suggestions_cost_by_the_words_that_are_alike(
    connection: psycopg.Connection[Any],
) -> None:
    collect = run(connection, search_words._COLLECT, {}, mode="force_custom_plan")
    assert collect.rows > 100, collect.text
    values = search_words._COLLECT._values(NoParameters())
    psycopg.RawCursor(connection).execute(search_words._COLLECT.sql, values)
    connection.execute("VACUUM ANALYZE search_words")
    asked = {"words": "lindqvst wallnut ketle aaaa bbbb cccc dddd eeee"}
    plan = run(connection, search_words._NEAR, asked, mode="force_custom_plan")
    assert plan.pages <= 300, plan.text


def test_a_page_of_rare_matches_is_complete_and_in_order(
    connection: psycopg.Connection[Any],
) -> None:
    for sort in (Sort.NAME, Sort.CHEAPEST):
        parameters = listing.parameters_of(replace(ANY, words="zzyzx", sort=sort), skip=0, limit=50)
        statement = listing._page(listing.names_of(parameters), sort, Way.COLLECTED)
        rows = psycopg.RawCursor(connection).execute(statement.sql, statement._values(parameters))
        assert len(rows.fetchall()) == 30
