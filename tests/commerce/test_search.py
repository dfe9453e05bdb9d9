"""A search finds what people type, in the order in which it matters to them."""

from __future__ import annotations

import pytest
from lockstep.commerce.v1 import catalog_service_pb2 as catalog_pb
from lockstep_clients import AlreadyExists, InvalidArgument

from services.commerce.domain.word_collector import WordCollector
from services.commerce.store import listing, search_words
from tests.commerce.people import money
from tests.commerce.test_listing import by_token
from tests.commerce.world import Shop, fields_of, refusal

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(name="shop")
def shop_of_all(shared_shop: Shop) -> Shop:
    return shared_shop


async def named(shop: Shop, *names: str, description: str = "") -> str:
    """Make products of these names, and return their category."""
    category = await shop.category()
    for name in names:
        await shop.product(category_id=category.id, name=name, description=description)
    return category.id


async def found(shop: Shop, category: str, q: str, **more: str) -> list[str]:
    return [each.name for each in (await shop.listed(category=category, q=q, **more)).products]


MEANT = {
    "Café": ("cafe", "CAFÉ", "cafe\u0301", "caf"),
    "Straße": ("strasse", "STRASSE", "straße"),
    "ΟΔΌΣ": ("οδος", "οδός", "οδοσ"),
    "T-Shirt": ("tshirt", "t-shirt", "T Shirt", "TSHIRT", "t\u2011shirt"),
    "AB-12": ("ab12", "AB-12", "ab 12"),
    "XY34": ("xy-34", "XY34", "x\uff3934"),
    "\uff26\uff35\uff2c\uff2c \uff57\uff49\uff44\uff54\uff48": ("full width",),
    "ﬁligree": ("filigree", "FIL"),
    "ŁÓDŹ": ("lodz",),
    "Ørsted": ("orsted",),
    "Crème brûlée": ("creme brulee",),
    "Levi\u2019s": ("levis", "levi's", "levi"),
    "مُحَمَّد": ("محمد",),
    "محمد": ("مُحَمَّد", "محمـد"),
    "שָׁלוֹם": ("שלום",),
    "हिन्दी": ("हिन्दी", "हिन्"),
    "東京タワー": ("東京", "東京ﾀﾜｰ"),
    "Việt Nam": ("viet",),
    "m² tiles": ("m2",),
}


@pytest.mark.parametrize("name", MEANT)
async def test_text_is_compared_as_it_is_meant(shop: Shop, name: str) -> None:
    category = await named(shop, name, "Another thing", description="Of no interest")
    for q in MEANT[name]:
        assert await found(shop, category, q) == [name], q


async def test_descriptions_are_searched_and_names_come_first(shop: Shop) -> None:
    category = await named(shop, "Teapot", "Green tea", description="Leaves from Assam")
    await shop.product(category_id=category, name="Kettle", description="Good for tea")
    assert await found(shop, category, "assam") == ["Green tea", "Teapot"]
    assert await found(shop, category, "tea") == ["Green tea", "Teapot", "Kettle"]
    assert await found(shop, category, "tea", sort="relevance") == await found(
        shop, category, "tea"
    )
    assert await found(shop, category, "tea", sort="newest") == ["Kettle", "Green tea", "Teapot"]


async def test_pages_by_relevance_are_whole_and_in_order(shop: Shop) -> None:
    category = (await shop.category()).id
    names = ["Oak table", "Oaken shelf", "Shelf", "Oak oak oak"]
    for number in range(23):
        await shop.product(
            category_id=category, name=names[number % 4], description="Made of oak" * (number % 2)
        )
    everything = await shop.listed(category=category, q="oak", limit=100)
    expected = [each.id for each in everything.products]
    for limit in (1, 4, 7, 22):
        seen = await by_token(shop, category=category, q="oak", limit=limit)
        assert [each.id for each in seen] == expected
        second = await shop.listed(category=category, q="oak", limit=limit, page=2)
        assert [each.id for each in second.products] == expected[limit : 2 * limit]


async def test_too_many_matches_come_with_the_newest_first(shop: Shop) -> None:
    category = await named(shop, *(f"Oak {number}" for number in range(6)))
    await shop.product(category_id=category, name="Oaken")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing, "COUNTED_MAX", 4)
        listing._count.cache_clear()
        page = await shop.listed(category=category, q="oak", limit=3)
        assert page.metadata.total_is_lower_bound
        names = [each.name for each in page.products]
        further = await shop.listed(
            category=category, q="oak", limit=9, page_token=page.next_page_token
        )
        names += [each.name for each in further.products]
    listing._count.cache_clear()
    assert names == ["Oaken", *(f"Oak {number}" for number in reversed(range(6)))]


async def test_relevance_needs_words(shop: Shop) -> None:
    for q in ("", "  "):
        with refusal("INVALID_FIELD", InvalidArgument) as caught:
            await shop.listed(q=q, sort="relevance")
        assert fields_of(caught) == {"sort"}


async def test_a_search_that_finds_nothing_suggests_words_of_the_catalog(shop: Shop) -> None:
    category = await named(shop, "Copper kettle", "Copper kettle, large", "Kettledrum", "Bücher")
    await WordCollector(shop.database).collect()
    for q, best in (
        ("kettel", "kettle"),
        ("coper kettle", "copper kettle"),
        ("coper kettel zzzzzz", "copper kettle"),
        ("buchr", "bucher"),
    ):
        page = await shop.listed(category=category, q=q)
        assert (list(page.products), page.suggestions[:1]) == ([], [best])
        assert len(page.suggestions) <= search_words.SUGGESTIONS_MAX
        assert await found(shop, category, page.suggestions[0])
    for nothing in ("zzzzzz", "%", "東京", "copper b\u00fccher"):
        page = await shop.listed(category=category, q=nothing)
        assert (list(page.products), list(page.suggestions)) == ([], []), nothing
    assert not (await shop.listed(category=category, q="kettle")).suggestions
    assert not (await shop.listed(category=category)).suggestions


async def test_words_that_no_product_has_any_more_are_no_suggestions(shop: Shop) -> None:
    product = await shop.product(name="Xylophone")
    collector = WordCollector(shop.database)
    await collector.collect()
    assert list((await shop.listed(q="xylofone")).suggestions) == ["xylophone"]
    await shop.remove(product)
    await collector.collect()
    assert "xylophone" not in (await shop.listed(q="xylofone")).suggestions


async def test_the_name_of_a_category_is_one_however_it_is_written(shop: Shop) -> None:
    await shop.category("Große Bücher")
    for name in ("GROSSE BÜCHER", "große  bücher", "grosse bu\u0308cher", "\uff47roße Bücher"):
        with refusal("CATEGORY_NAME_TAKEN", AlreadyExists):
            await shop.category(name)
    assert (await shop.category("Grosse Bucher")).name == "Grosse Bucher"


async def test_the_longest_texts_can_be_stored_and_found(shop: Shop) -> None:
    category = await shop.category()
    product = catalog_pb.Product(
        category_id=category.id,
        name="\ufdfa" * 200,
        description=" ".join(["\ufdfa" * 49] * 100),
        price=money(100),
    )
    request = catalog_pb.BatchCreateProductsRequest(products=[product] * 2)
    await shop.catalog.BatchCreateProducts(request, metadata=shop.admin)
    assert len(await found(shop, category.id, "\ufdfa")) == 2
    assert len(await found(shop, category.id, "\ufdfa" * 200)) == 2
