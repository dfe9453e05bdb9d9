"""Sample products for the catalog, written by COPY."""

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

ProductRecord = tuple[UUID, UUID, str, str, int, int, str, datetime, datetime]


def seed(
    url: str,
    *,
    products: int,
    categories: int,
    on_progress: Callable[[int], None] = lambda _: None,
    random_seed: int | None = None,
) -> None:
    """Add products to the catalog, and the categories that are missing.

    Args:
        url: The URL of Commerce's database.
        products: The number of products to add.
        categories: The number of categories to spread them over.
        on_progress: Called with the number of products written since the last call.
        random_seed: The seed of the random numbers; the same seed gives the same products.
    """
    dice = random.Random(random_seed)
    with psycopg.connect(url, autocommit=True) as connection:
        # VACUUM marks a row as visible only when its commit is on disk.
        connection.execute(b"SET synchronous_commit = on")
        # A role may have a limit that a million rows do not keep.
        connection.execute(b"SET statement_timeout = 0")
        with connection.transaction():
            made = _make_categories(connection, categories)
            _copy_products(connection, _products(dice, made, products), on_progress)
        # The planner needs statistics of the new rows, and index-only scans visible rows.
        connection.execute(b"VACUUM (ANALYZE) products")
        connection.execute(b"ANALYZE categories")


def _make_categories(
    connection: psycopg.Connection[tuple[object, ...]], number: int
) -> list[tuple[UUID, Sequence[str]]]:
    """Return the id of each category, with the kinds of things in it."""
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
    rows: Iterator[ProductRecord],
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
) -> Iterator[ProductRecord]:
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
