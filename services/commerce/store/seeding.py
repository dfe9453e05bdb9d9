"""Fills the catalog with believable products, as fast as PostgreSQL reads them (COPY)."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg

from services.kernel.ids import new_id

ROWS_AT_ONCE = 2000
DAYS_BACK = 730
SOLD_OUT_SHARE = 0.03

KINDS = {
    "Kitchen": ("kettle", "saucepan", "chopping board", "whisk", "bread knife", "mixing bowl"),
    "Lighting": ("floor lamp", "desk lamp", "pendant light", "lantern", "wall light"),
    "Tea and Coffee": ("green tea", "teapot", "espresso cup", "coffee grinder", "tea tin"),
    "Bedroom": ("pillow", "duvet cover", "bedside table", "blanket", "wool throw"),
    "Bathroom": ("bath towel", "soap dish", "bath mat", "mirror", "laundry basket"),
    "Garden": ("watering can", "plant pot", "garden chair", "trowel", "bird feeder"),
    "Office": ("notebook", "fountain pen", "desk organiser", "paper tray", "stapler"),
    "Cycling": ("bike light", "pannier", "helmet", "pump", "bottle cage"),
    "Hiking": ("rucksack", "water bottle", "head torch", "trekking pole", "tent"),
    "Music": ("headphones", "turntable", "loudspeaker", "music stand", "ukulele"),
    "Toys": ("wooden train", "puzzle", "building blocks", "kite", "marble run"),
    "Clothing": ("scarf", "rain jacket", "cardigan", "linen shirt", "socks"),
    "Travel": ("suitcase", "wash bag", "travel adapter", "passport holder", "weekend bag"),
    "Baking": ("cake tin", "rolling pin", "proving basket", "oven glove", "cake stand"),
    "Storage": ("shelf", "storage box", "coat rack", "drawer unit", "glass jar"),
    "Pets": ("dog bed", "cat tree", "food bowl", "dog lead", "scratching post"),
}
MAKERS = ("Aldermoor", "Brightwell", "Copperline", "Fjord & Sons", "Halden", "Kestrel", "Lindqvist")
LOOKS = ("brushed", "compact", "everyday", "folding", "hand-made", "large", "slim", "vintage")
MATERIALS = ("bamboo", "ceramic", "cotton", "glass", "oak", "recycled", "steel", "walnut", "wool")
COLOURS = ("black", "cream", "forest green", "navy", "rust", "sand", "slate", "white")
STYLES = ("Everyday", "Classic", "Compact", "Outdoor", "Premium", "Small", "Sustainable", "Vintage")

_MAKE_CATEGORIES = b"""
    INSERT INTO categories (id, name, description)
    SELECT * FROM unnest(%s::uuid[], %s::text[], %s::text[]) ON CONFLICT DO NOTHING
"""
_FIND_CATEGORIES = b"SELECT id, name FROM categories WHERE name = ANY (%s)"
_COPY = b"""
    COPY products (id, category_id, name, description, price, stock, image_url,
                   create_time, update_time)
    FROM STDIN
"""

Row = tuple[UUID, UUID, str, str, int, int, str, datetime, datetime]


def seed(
    url: str,
    *,
    products: int,
    categories: int,
    on_progress: Callable[[int], None] = lambda _: None,
    chance: int | None = None,
) -> None:
    """Add products to the catalog, and the categories that are missing.

    Args:
        url: The database of Commerce.
        products: How many to add.
        categories: Over how many categories they are spread.
        on_progress: Told now and then how many more have been written.
        chance: Where the dice begin, for the same names and prices again.
    """
    dice = random.Random(chance)
    # VACUUM marks only rows as visible whose commit is on the disk.
    durable = "-c synchronous_commit=on"
    with psycopg.connect(url, autocommit=True, options=durable) as connection:
        with connection.transaction():
            made = _make_categories(connection, categories)
            _copy_products(connection, _products(dice, made, products), on_progress)
        # The planner does not know the new rows yet, and no row is marked visible.
        connection.execute(b"VACUUM (ANALYZE) products")
        connection.execute(b"ANALYZE categories")


def _make_categories(
    connection: psycopg.Connection[tuple[object, ...]], number: int
) -> list[tuple[UUID, Sequence[str]]]:
    """Return the id of each category, with what is sold in it."""
    nouns = dict(_categories(number))
    names = list(nouns)
    ids = [new_id() for _ in names]
    descriptions = [f"{', '.join(nouns[name]).capitalize()} and more." for name in names]
    connection.execute(_MAKE_CATEGORIES, [ids, names, descriptions])
    found = connection.execute(_FIND_CATEGORIES, [names]).fetchall()
    return [(UUID(str(row[0])), nouns[str(row[1])]) for row in found]


def _categories(number: int) -> Iterator[tuple[str, Sequence[str]]]:
    kinds = list(KINDS.items())
    for index in range(number):
        round_, position = divmod(index, len(kinds))
        kind, nouns = kinds[position]
        again, style = divmod(round_ - 1, len(STYLES))
        name = kind if not round_ else f"{STYLES[style]} {kind}"
        yield (name if round_ <= len(STYLES) else f"{name} {again + 1}"), nouns


def _copy_products(
    connection: psycopg.Connection[tuple[object, ...]],
    rows: Iterator[Row],
    on_progress: Callable[[int], None],
) -> None:
    written = 0
    with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        for row in rows:
            copy.write_row(row)
            written += 1
            if written % ROWS_AT_ONCE == 0:
                on_progress(ROWS_AT_ONCE)
    on_progress(written % ROWS_AT_ONCE)


def _products(
    dice: random.Random, categories: Sequence[tuple[UUID, Sequence[str]]], number: int
) -> Iterator[Row]:
    now = datetime.now(UTC)
    for index in range(number):
        category_id, nouns = categories[index % len(categories)]
        product_id = new_id()
        noun, material = dice.choice(nouns), dice.choice(MATERIALS)
        colour, maker = dice.choice(COLOURS), dice.choice(MAKERS)
        moment = now - timedelta(days=DAYS_BACK * dice.random())
        yield (
            product_id,
            category_id,
            f"{maker} {dice.choice(LOOKS)} {material} {noun}, {colour}",
            f"A {noun} by {maker}, made of {material} in {colour}. Made to be used every day.",
            _price(dice),
            0 if dice.random() < SOLD_OUT_SHARE else dice.randint(1, 500),
            f"https://images.example.com/products/{product_id}.jpg",
            moment,
            moment,
        )


def _price(dice: random.Random) -> int:
    """Return a price in minor units: most are small, few are large, many end in 99."""
    whole = max(1, round(dice.lognormvariate(3.2, 0.9)))
    return whole * 100 - dice.choice((1, 1, 1, 5, 50))
