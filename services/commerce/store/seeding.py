"""Sample products for the catalog, written by COPY."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol
from uuid import UUID

import psycopg

from services.commerce.store.seeding_things import KINDS, STYLES, Thing, offer
from services.kernel.ids import new_id

ROWS_AT_ONCE = 2000
DAYS_BACK = 730
SOLD_OUT_SHARE = 0.03

_MAKE_CATEGORIES = b"""
    INSERT INTO categories (id, name, description)
    SELECT * FROM unnest(%s::uuid[], %s::text[], %s::text[]) ON CONFLICT DO NOTHING
"""
_FIND_CATEGORIES = b"SELECT id, name FROM categories WHERE name = ANY (%s)"
_COPY = b"""
    COPY products (id, category_id, name, description, price, stock, image_url, thumbnail_url,
                   create_time, update_time)
    FROM STDIN
"""
_COPY_IMAGES = b"COPY images (id, product_id, data) FROM STDIN"

ProductRecord = tuple[UUID, UUID, str, str, int, int, str, str, datetime, datetime]


class Image(Protocol):
    """A picture and its id."""

    @property
    def id(self) -> str:
        """The id."""

    @property
    def path(self) -> str:
        """The path under which the gateway serves it."""

    @property
    def data(self) -> bytes:
        """The bytes, as WebP."""


# Draws a product: the large picture and the small one.
Draw = Callable[[UUID, str, str], tuple[Image, Image]]


def seed(
    url: str,
    *,
    products: int,
    categories: int,
    on_progress: Callable[[int], None] = lambda _: None,
    random_seed: int | None = None,
    draw: Draw | None = None,
    pictures: int = 0,
) -> None:
    """Add products to the catalog, and the categories that are missing.

    Args:
        url: The URL of Commerce's database.
        products: The number of products to add.
        categories: The number of categories to spread them over.
        on_progress: Called with the number of products written since the last call.
        random_seed: The seed of the random numbers; the same seed gives the same products.
        draw: Draws pictures.
        pictures: The number of products that get one: the newest.
    """
    dice = random.Random(random_seed)
    with psycopg.connect(url, autocommit=True) as connection:
        # VACUUM marks a row as visible only when its commit is on disk.
        connection.execute(b"SET synchronous_commit = on")
        # A role may have a limit that a million rows do not keep.
        connection.execute(b"SET statement_timeout = 0")
        with connection.transaction():
            made = _make_categories(connection, categories)
            drawn = _Drawn(draw, pictures)
            _copy_products(connection, _products(dice, made, products, drawn), on_progress)
            _copy_images(connection, drawn.images)
        # The planner needs statistics of the new rows, and index-only scans visible rows.
        connection.execute(b"VACUUM (ANALYZE) products")
        connection.execute(b"ANALYZE categories")


def _make_categories(
    connection: psycopg.Connection[tuple[object, ...]], number: int
) -> list[tuple[UUID, tuple[Thing, ...]]]:
    """Return the id of each category, with the kinds of things in it."""
    things = dict(_categories(number))
    names = list(things)
    ids = [new_id() for _ in names]
    descriptions = [
        f"{', '.join(thing.noun for thing in things[name]).capitalize()} and more."
        for name in names
    ]
    connection.execute(_MAKE_CATEGORIES, [ids, names, descriptions])
    found = connection.execute(_FIND_CATEGORIES, [names]).fetchall()
    return [(UUID(str(row[0])), things[str(row[1])]) for row in found]


def _categories(number: int) -> Iterator[tuple[str, tuple[Thing, ...]]]:
    kinds = list(KINDS.items())
    for index in range(number):
        round_, position = divmod(index, len(kinds))
        kind, things = kinds[position]
        again, style = divmod(round_ - 1, len(STYLES))
        name = kind if not round_ else f"{STYLES[style]} {kind}"
        yield (name if round_ <= len(STYLES) else f"{name} {again + 1}"), things


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


def _copy_images(
    connection: psycopg.Connection[tuple[object, ...]], images: Sequence[tuple[UUID, Image]]
) -> None:
    if not images:
        return
    with connection.cursor() as cursor, cursor.copy(_COPY_IMAGES) as copy:
        for product_id, image in images:
            copy.write_row((image.id, product_id, image.data))


@dataclass
class _Drawn:
    """The pictures of the products that get one."""

    draw: Draw | None
    left: int
    images: list[tuple[UUID, Image]] = field(default_factory=list)

    def paths(self, product_id: UUID, noun: str, colour: str) -> tuple[str, str]:
        """Return the paths of a product's pictures; empty where it gets none."""
        if self.draw is None or self.left == 0:
            return "", ""
        self.left -= 1
        large, small = self.draw(product_id, noun, colour)
        self.images += [(product_id, large), (product_id, small)]
        return large.path, small.path


def _products(
    dice: random.Random,
    categories: Sequence[tuple[UUID, tuple[Thing, ...]]],
    number: int,
    drawn: _Drawn,
) -> Iterator[ProductRecord]:
    now = datetime.now(UTC)
    for index in range(number):
        category_id, things = categories[index % len(categories)]
        product_id = new_id()
        made = offer(dice, things)
        # The newest come first, so the pictures are where people look.
        age = (index + dice.random()) / number
        moment = now - timedelta(days=DAYS_BACK * age)
        yield (
            product_id,
            category_id,
            made.name,
            made.description,
            made.price,
            0 if dice.random() < SOLD_OUT_SHARE else dice.randint(1, 500),
            *drawn.paths(product_id, made.noun, made.colour),
            moment,
            moment,
        )
