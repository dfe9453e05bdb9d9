"""`lockstep seed` makes a believable catalog."""

from __future__ import annotations

import io
from uuid import uuid4

import psycopg
import pytest
from PIL import Image
from typer.testing import CliRunner

from services.cli.main import app
from services.commerce.domain.demo_drawings import shapes_of
from services.commerce.domain.demo_pictures import COLOURS, pictures_of
from services.commerce.store.seeding import seed
from services.commerce.store.seeding_things import COLOURS as COLOURS_SOLD
from services.commerce.store.seeding_things import KINDS
from tests.commerce.people import minor_of
from tests.commerce.world import Shop


async def test_a_seeded_catalog_can_be_browsed_and_bought(shop: Shop) -> None:
    written: list[int] = []
    url = shop.settings.commerce_database_url
    seed(url, products=4500, categories=20, on_progress=written.append, random_seed=1)
    assert sum(written) == 4500
    assert len(written) > 2
    page = await shop.listed(limit=100)
    assert page.metadata.total == 4500
    assert len({product.name for product in page.products}) > 90
    for product in page.products:
        assert product.category.name
        assert product.description
        assert 0 < minor_of(product.price) < 10**6
    assert (await shop.listed(q="lamp")).products
    in_stock = next(product for product in page.products if product.stock)
    await shop.bought(await shop.buyer(), in_stock)


async def test_seeding_again_adds_to_the_same_categories(shop: Shop) -> None:
    for _ in range(2):
        seed(shop.settings.commerce_database_url, products=40, categories=300)
    assert len(shop.rows("SELECT 1 FROM products")) == 80
    assert len(shop.rows("SELECT 1 FROM categories")) == 300


def test_the_command_seeds_what_it_is_told(
    auth_url: str, profile_url: str, commerce_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, url in (("AUTH", auth_url), ("PROFILE", profile_url), ("COMMERCE", commerce_url)):
        monkeypatch.setenv(f"LOCKSTEP_{name}_DATABASE_URL", url)
    result = CliRunner().invoke(app, ["seed", "--products", "12", "--categories", "3"])
    assert result.exit_code == 0, result.output
    assert "added 12 products in 3 categories" in result.output
    with psycopg.connect(commerce_url) as connection:
        found = connection.execute(
            "SELECT data FROM images JOIN products ON image_url = '/v1/images/' || images.id"
        ).fetchall()
    assert len(found) == 12
    assert all(Image.open(io.BytesIO(data)).format == "WEBP" for (data,) in found)
    assert CliRunner().invoke(app, ["seed", "--products", "0"]).exit_code == 2


def test_everything_that_is_sold_has_a_drawing_in_each_of_its_colours() -> None:
    assert set(COLOURS) == set(COLOURS_SOLD)
    nouns = [thing.noun for things in KINDS.values() for thing in things]
    assert len(nouns) == len(set(nouns)) > 75
    assert all(shapes_of(noun) for noun in nouns)
    product_id = uuid4()
    large, small = pictures_of(product_id, "kettle", "rust")
    assert len(small.data) < len(large.data) < 20_000
    assert large.id != pictures_of(uuid4(), "kettle", "rust")[0].id
