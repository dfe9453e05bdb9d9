"""Lists of products."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from lockstep.commerce.v1 import catalog_service_pb2 as catalog_pb
from lockstep_clients import InvalidArgument

from services.commerce.store import listing
from services.kernel.ids import new_id
from tests.commerce.people import minor_of, money
from tests.commerce.world import Shop, fields_of, refusal

pytestmark = pytest.mark.asyncio(loop_scope="module")

Product = catalog_pb.Product
ORDERS: dict[str, tuple[Callable[[Product], Any], bool]] = {
    "newest": (lambda product: (product.create_time.ToNanoseconds(), product.id), True),
    "price": (lambda product: (minor_of(product.price), product.id), False),
    "-price": (lambda product: (minor_of(product.price), product.id), True),
    "name": (lambda product: (product.name.lower(), product.id), False),
    "-name": (lambda product: (product.name.lower(), product.id), True),
    "stock": (lambda product: (product.stock, product.id), False),
}


@pytest.fixture(name="shop")
def shop_of_all(shared_shop: Shop) -> Shop:
    return shared_shop


async def stocked(shop: Shop, number: int) -> list[Product]:
    """Make products; many share a price or a name."""
    category = await shop.category()
    dice = random.Random(number)
    names = ("Red tea", "red Wine", "Blue tea", "Éclair", "zebra", "Wi-Fi 3.5mm", "x" * 200)
    request = catalog_pb.BatchCreateProductsRequest(
        products=[
            Product(
                category_id=category.id,
                name=dice.choice(names),
                price=money(dice.choice((0, 99, 100, 101, 2500))),
                stock=dice.choice((0, 0, 1, 5, 10**9)),
            )
            for _ in range(number)
        ]
    )
    return list((await shop.catalog.BatchCreateProducts(request, metadata=shop.admin)).products)


async def by_token(shop: Shop, **filters: Any) -> list[Product]:
    """Follow the tokens to the end."""
    seen: list[Product] = []
    page = await shop.listed(**filters)
    total = page.metadata.total
    while True:
        seen += page.products
        assert page.metadata.total == total
        if not page.next_page_token:
            assert total == len(seen)
            return seen
        page = await shop.listed(**filters, page_token=page.next_page_token)
        assert page.metadata.page == 0


@pytest.mark.parametrize("sort", ORDERS)
async def test_every_sort_is_total_by_token_and_by_page(shop: Shop, sort: str) -> None:
    made = await stocked(shop, 53)
    key, is_backwards = ORDERS[sort]
    expected = [each.id for each in sorted(made, key=key, reverse=is_backwards)]
    filters = {"category": made[0].category_id, "sort": sort, "limit": 7}
    assert [each.id for each in await by_token(shop, **filters)] == expected
    paged = []
    for page in range(1, 9):
        paged += [each.id for each in (await shop.listed(**filters, page=page)).products]
    assert paged == expected


async def test_newest_is_the_usual_sort(shop: Shop) -> None:
    made = await stocked(shop, 3)
    category = made[0].category_id
    assert (await shop.listed(category=category)) == await shop.listed(
        category=category, sort="newest"
    )


@pytest.mark.parametrize("sort", ORDERS)
async def test_what_is_created_and_deleted_meanwhile_neither_doubles_nor_hides_a_row(
    shop: Shop, sort: str
) -> None:
    made = await stocked(shop, 20)
    category = made[0].category_id
    first = await shop.listed(category=category, sort=sort, limit=10)
    for price in (0, 100, 9999):
        await shop.product(category_id=category, name="aaa", price=price)
        await shop.product(category_id=category, name="zzzz", price=price)
    await shop.remove(first.products[-1])
    seen = [each.id for each in first.products]
    token = first.next_page_token
    while token:
        page = await shop.listed(category=category, sort=sort, limit=10, page_token=token)
        seen += [each.id for each in page.products]
        token = page.next_page_token
    assert len(seen) == len(set(seen))
    assert {each.id for each in made} <= set(seen)


async def test_products_come_with_their_category(shop: Shop) -> None:
    made = await stocked(shop, 3)
    for product in (await shop.listed(category=made[0].category_id)).products:
        assert product == next(each for each in made if each.id == product.id)
        assert product.category.name.startswith("Category")


async def test_the_metadata_says_where_a_page_stands(shop: Shop) -> None:
    made = await stocked(shop, 25)
    category = made[0].category_id
    page = await shop.listed(category=category, page=2, limit=10)
    assert len(page.products) == 10
    metadata = page.metadata
    assert (metadata.page, metadata.limit) == (2, 10)
    assert (metadata.total, metadata.total_is_lower_bound, metadata.total_pages) == (25, False, 3)
    last = await shop.listed(category=category, page=3, limit=10)
    assert (len(last.products), last.metadata.total, last.next_page_token) == (5, 25, "")
    beyond = await shop.listed(category=category, page=4, limit=10)
    assert (len(beyond.products), beyond.metadata.total) == (0, 25)
    usual = await shop.listed(category=category)
    assert (usual.metadata.page, usual.metadata.limit, len(usual.products)) == (1, 20, 20)
    assert (await shop.listed(category=category, limit=10**9)).metadata.limit == 100


async def test_the_total_is_right_as_soon_as_the_catalog_has_changed(shop: Shop) -> None:
    made = await stocked(shop, 5)
    category = made[0].category_id
    assert (await shop.listed(category=category, limit=2)).metadata.total == 5
    more = await shop.product(category_id=category)
    assert (await shop.listed(category=category, limit=2)).metadata.total == 6
    await shop.remove(more)
    assert (await shop.listed(category=category, limit=2)).metadata.total == 5


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({"min_price": "1"}, {100, 101, 2500}),
        ({"min_price": "1.00", "max_price": "1.01"}, {100, 101}),
        ({"max_price": "0"}, {0}),
        ({"min_price": "1.001", "max_price": "1.009"}, set()),
        ({"min_price": "1.001"}, {101, 2500}),
        ({"max_price": "1.009"}, {0, 99, 100}),
        ({"min_price": "999999999999999"}, set()),
    ],
)
async def test_prices_are_within_their_bounds(
    shop: Shop, bounds: dict[str, str], expected: set[int]
) -> None:
    made = await stocked(shop, 60)
    found = await shop.listed(category=made[0].category_id, limit=100, **bounds)
    assert {minor_of(each.price) for each in found.products} == expected
    wanted = [each for each in made if minor_of(each.price) in expected]
    assert found.metadata.total == len(wanted)


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({"max_stock": 0}, {0}),
        ({"min_stock": 0}, {0, 1, 5, 10**9}),
        ({"min_stock": 1, "max_stock": 5}, {1, 5}),
        ({"min_stock": 6}, {10**9}),
        ({"min_stock": 2**31 - 1}, set()),
    ],
)
async def test_stocks_are_within_their_bounds(
    shop: Shop, bounds: dict[str, int], expected: set[int]
) -> None:
    made = await stocked(shop, 60)
    found = await shop.listed(category=made[0].category_id, limit=100, **bounds)
    assert {each.stock for each in found.products} == expected
    assert found.metadata.total == sum(each.stock in expected for each in made)


@pytest.mark.parametrize(
    ("q", "expected"),
    [
        ("tea", {"Red tea", "Blue tea"}),
        ("TE", {"Red tea", "Blue tea"}),
        ("tea red", {"Red tea"}),
        ("r t", {"Red tea"}),
        ("ea", set()),
        ("ÉCL", {"Éclair"}),
        ("E\u0301clair", {"Éclair"}),
        ("fi wi-", {"Wi-Fi 3.5mm"}),
        ("3.5", {"Wi-Fi 3.5mm"}),
        ("tea'); DROP TABLE products; --", set()),
        ("tea | wine", set()),
        ("tea:* & !red", {"Red tea"}),
        ("%", set()),
        ("\\", set()),
    ],
)
async def test_words_begin_words_of_the_name(shop: Shop, q: str, expected: set[str]) -> None:
    made = await stocked(shop, 60)
    found = await shop.listed(category=made[0].category_id, q=q, limit=100)
    assert {each.name for each in found.products} == expected


async def test_filters_together_keep_what_passes_all(shop: Shop) -> None:
    made = await stocked(shop, 80)
    filters = {"category": made[0].category_id, "q": "tea", "min_price": "1", "max_price": "20"}
    for sort in ORDERS:
        found = await by_token(shop, **filters, sort=sort, limit=5)
        assert {each.id for each in found} == {
            each.id for each in made if "tea" in each.name and 100 <= minor_of(each.price) <= 2000
        }


async def test_an_unknown_category_has_no_products(shop: Shop) -> None:
    found = await shop.listed(category=str(new_id()))
    assert (len(found.products), found.metadata.total, found.metadata.total_pages) == (0, 0, 0)


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        ({"category": "tea"}, {"category"}),
        ({"min_price": "NaN"}, {"min_price"}),
        ({"min_price": "1e400", "max_price": "Infinity"}, {"min_price", "max_price"}),
        ({"min_price": "-1"}, {"min_price"}),
        ({"max_price": "+1"}, {"max_price"}),
        ({"max_price": "1,50"}, {"max_price"}),
        ({"max_price": ".5"}, {"max_price"}),
        ({"max_price": "٣"}, {"max_price"}),
        ({"max_price": "9" * 400}, {"max_price"}),
        ({"min_price": "2", "max_price": "1.99"}, {"min_price"}),
        ({"sort": "price; DROP TABLE products"}, {"sort"}),
        ({"sort": "-stock"}, {"sort"}),
        ({"min_stock": -1, "max_stock": -2}, {"min_stock", "max_stock"}),
        ({"min_stock": 2, "max_stock": 1}, {"min_stock"}),
        ({"sort": "NEWEST"}, {"sort"}),
        ({"sort": "relevance"}, {"sort"}),
        ({"page": -1}, {"page"}),
        ({"limit": -1}, {"limit"}),
        ({"q": "x" * 201}, {"q"}),
        ({"q": "a\x00b"}, {"q"}),
        ({"page_token": "x"}, {"page_token"}),
        ({"page_token": "é" * 10}, {"page_token"}),
        ({"page": 2, "page_token": "x"}, {"page"}),
        ({"category": "x", "sort": "x", "limit": -5}, {"category", "sort", "limit"}),
    ],
)
async def test_wrong_requests_name_every_wrong_field(
    shop: Shop, request_: dict[str, Any], fields: set[str]
) -> None:
    with refusal("INVALID_FIELD", InvalidArgument) as caught:
        await shop.listed(**request_)
    assert fields_of(caught) == fields


async def test_a_token_is_good_for_its_own_list_only(shop: Shop) -> None:
    made = await stocked(shop, 40)
    filters = {"category": made[0].category_id, "sort": "price", "q": "te"}
    token = (await shop.listed(**filters, limit=2)).next_page_token
    assert (await shop.listed(**filters, limit=50, page_token=token)).products
    for other in (
        {**filters, "sort": "-price"},
        {**filters, "q": "t"},
        {**filters, "min_price": "0"},
        {**filters, "max_stock": 0},
        {"sort": "price", "q": "te"},
    ):
        with refusal("INVALID_FIELD", InvalidArgument) as caught:
            await shop.listed(**other, page_token=token)
        assert fields_of(caught) == {"page_token"}
    other_first = "B" if token[0] == "A" else "A"
    for forged in (token[:-2] + "AA", other_first + token[1:], token + "A" * 2000):
        with refusal("INVALID_FIELD", InvalidArgument):
            await shop.listed(**filters, page_token=forged)


async def test_the_longest_names_fit_into_a_token(shop: Shop) -> None:
    category = await shop.category()
    for _ in range(2):
        await shop.product(category_id=category.id, name="\U0001f600" * 200)
    filters = {"category": category.id, "sort": "name", "limit": 1}
    assert len(await by_token(shop, **filters)) == 2


async def test_the_ninth_word_and_single_letters_beside_words_do_not_count(shop: Shop) -> None:
    category = await shop.category()
    product = await shop.product(category_id=category.id, name="One two three four five six seven")
    filters = {"category": category.id}
    for words in (
        "one two three four five six seven s nothing",  # with `s` left out, nothing is the eighth
        "one two three four five six seven seve sev",
        "zebra one",
    ):
        found = (await shop.listed(**filters, q=words)).products
        assert [each.id for each in found] == ([product.id] if "sev" in words[-4:] else []), words
    for words in ("t", "ONE q one q w", "one two three four five six seven sev se nothing"):
        found = (await shop.listed(**filters, q=words)).products
        assert [each.id for each in found] == [product.id], words


RARE: tuple[tuple[dict[str, Any], Callable[[Product], bool]], ...] = (
    ({"q": "zebra"}, lambda product: product.name == "zebra"),
    ({"min_price": "1.00", "max_price": "1.00"}, lambda product: minor_of(product.price) == 100),
    ({"max_stock": 0}, lambda product: product.stock == 0),
)


async def test_rare_matches_far_from_where_the_list_begins_are_found(shop: Shop) -> None:
    """Their page is collected, because the walk from the beginning of the list ends before."""
    made = await stocked(shop, 40)
    category = made[0].category_id
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing, "WALKED_MAX", 5)
        listing._page.cache_clear()
        for sort, (key, is_backwards) in ORDERS.items():
            filters = {"category": category, "sort": sort, "limit": 4}
            for wanted, matches in RARE:
                matching = sorted(filter(matches, made), key=key, reverse=is_backwards)
                expected = [each.id for each in matching]
                assert [each.id for each in await by_token(shop, **filters, **wanted)] == expected
                first = await shop.listed(**filters, **wanted, page=2)
                assert [each.id for each in first.products] == expected[4:8]
    listing._page.cache_clear()


async def test_a_digit_beside_a_word_counts(shop: Shop) -> None:
    category = await shop.category()
    made = [
        await shop.product(category_id=category.id, name=name)
        for name in ("Kettle 01", "Kettle 11", "Kettle \u8336 1")
    ]
    for words, expected in (("kettle 0", made[:1]), ("\u8336 kettle", made[2:]), ("k", made)):
        found = (await shop.listed(category=category.id, q=words)).products
        assert {each.id for each in found} == {each.id for each in expected}, words
