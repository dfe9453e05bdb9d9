"""Reads of the catalog at a real standby: how old they may be, and when the primary answers."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import psycopg
import pytest
import pytest_asyncio
from lockstep.commerce.v1 import catalog_service_pb2 as catalog_pb
from lockstep_clients import NotFound
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from services.cli.postgres import THROWAWAY, EmbeddedPostgres
from tests.commerce.world import Shop, shop_world
from tests.conftest import Databases
from tests.databases.standby import StandbyPostgres
from tests.freezing import frozen

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.processes]

BEHIND_SECONDS = 1.0
PATIENCE_SECONDS = 20.0


@dataclass
class Far:
    """A shop whose strangers read at a standby."""

    shop: Shop
    primary: EmbeddedPostgres
    standby: StandbyPostgres
    database: str

    async def name(self, product: catalog_pb.Product, *, proven: bool = False) -> str:
        """Return the name of a product as a stranger sees it, or as an administrator does."""
        request = catalog_pb.GetProductRequest(product_id=product.id)
        metadata = self.shop.admin if proven else ()
        return (await self.shop.catalog.GetProduct(request, metadata=metadata)).name

    def outcomes(self) -> dict[str, float]:
        """Return how many reads had which outcome."""
        text = generate_latest(self.shop.telemetry.registry).decode()
        return {
            sample.labels["lockstep_outcome"]: sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "lockstep_standby_reads_total"
        }

    async def read_with(self, outcome: str, product: catalog_pb.Product) -> None:
        """Read until a read has this outcome."""
        before = self.outcomes().get(outcome, 0.0)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self.outcomes().get(outcome, 0.0) == before:
                await self.name(product)

    async def is_at_standby(self, product: catalog_pb.Product) -> None:
        """Wait until reads are made at the standby, which has all that was written."""
        await asyncio.to_thread(self.standby.catch_up)
        await self.read_with("answered", product)


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[EmbeddedPostgres, StandbyPostgres, str, str]]:
    """A primary with the databases of a shop, and a standby of it."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lockstep-standby-")))
        # A commit that was answered must be in the log.
        options = THROWAWAY | {"synchronous_commit": "on"}
        primary = EmbeddedPostgres(folder / "primary", options=options)
        stack.callback(primary.destroy)
        primary.start()
        databases = Databases(primary)
        urls = databases.fresh(stack, "commerce"), databases.fresh(stack, "profile")
        standby = StandbyPostgres(folder / "standby", primary)
        stack.callback(standby.destroy)
        standby.start()
        yield primary, standby, *urls


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def far(
    servers: tuple[EmbeddedPostgres, StandbyPostgres, str, str],
    keys: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Far]:
    primary, standby, commerce, profile = servers
    database = psycopg.conninfo.conninfo_to_dict(commerce)["dbname"]
    assert isinstance(database, str)
    async with shop_world(
        commerce,
        profile,
        keys,
        tmp_path_factory.mktemp("far"),
        commerce_read_database_url=standby.url(database),
        commerce_read_behind_seconds=BEHIND_SECONDS,
    ) as shop:
        yield Far(shop, primary, standby, database)


@pytest_asyncio.fixture(loop_scope="module")
async def product(far: Far) -> AsyncIterator[catalog_pb.Product]:
    """A product that the standby has, and reads that are made there."""
    made = await far.shop.product(name="Before")
    await far.is_at_standby(made)
    yield made
    far.standby.pause(is_paused=False)


async def test_strangers_read_at_the_standby_and_the_primary_hears_of_none(
    far: Far, product: catalog_pb.Product
) -> None:
    before = far.outcomes()
    for _ in range(20):
        assert await far.name(product) == "Before"
        await far.shop.listed(category=product.category_id)
    after = far.outcomes()
    assert after["answered"] >= before["answered"] + 40
    assert {name: after[name] for name in after if name != "answered"} == {
        name: before.get(name, 0.0) for name in after if name != "answered"
    }


async def test_whoever_has_written_reads_it_at_once(far: Far, product: catalog_pb.Product) -> None:
    far.standby.pause(is_paused=True)
    await far.shop.change(product, name="After")
    assert await far.name(product, proven=True) == "After"
    request = catalog_pb.ListProductsRequest(category=product.category_id)
    listed = await far.shop.catalog.ListProducts(request, metadata=far.shop.admin)
    assert [each.name for each in listed.products] == ["After"]


async def test_no_read_is_older_than_the_bound(far: Far, product: catalog_pb.Product) -> None:
    far.standby.pause(is_paused=True)
    await far.shop.change(product, name="After")
    written = time.monotonic()
    seen = set()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while "After" not in seen:
            began = time.monotonic()
            seen.add(name := await far.name(product))
            assert name == "After" or began - written < BEHIND_SECONDS
    # The standby was asked, as long as it might be.
    assert "Before" in seen
    await far.read_with("behind", product)


async def test_a_standby_that_has_caught_up_is_read_again(
    far: Far, product: catalog_pb.Product
) -> None:
    far.standby.pause(is_paused=True)
    await far.shop.change(product, name="After")
    await far.read_with("behind", product)
    far.standby.pause(is_paused=False)
    await far.is_at_standby(product)
    assert await far.name(product) == "After"


async def test_an_idle_primary_makes_no_standby_old(far: Far, product: catalog_pb.Product) -> None:
    await asyncio.sleep(2 * BEHIND_SECONDS)  # longer than any proof holds
    before = far.outcomes()
    assert await far.name(product) == "Before"
    assert far.outcomes()["answered"] == before["answered"] + 1


async def test_what_the_standby_lacks_yet_is_found(far: Far, product: catalog_pb.Product) -> None:
    far.standby.pause(is_paused=True)
    made = await far.shop.product(name="New", category_id=product.category_id)
    before = far.outcomes()
    assert await far.name(made) == "New"
    after = far.outcomes()
    assert after["missing"] == before.get("missing", 0.0) + 1
    assert sum(after.values()) == sum(before.values()) + 1
    await far.shop.remove(made)
    far.standby.pause(is_paused=False)
    await asyncio.to_thread(far.standby.catch_up)
    with pytest.raises(NotFound):
        await far.name(made)


async def test_a_table_that_the_standby_does_not_have_yet_fails_no_read(
    far: Far, product: catalog_pb.Product
) -> None:
    """A migration has run, and this process knows the new tables already."""
    url = far.primary.url(far.database)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER TABLE products RENAME TO things")
    await asyncio.to_thread(far.standby.catch_up)
    far.standby.pause(is_paused=True)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER TABLE things RENAME TO products")
    assert await far.name(product) == "Before"


@pytest.mark.slow
async def test_a_standby_that_freezes_costs_no_read(far: Far, product: catalog_pb.Product) -> None:
    pid = int((far.standby.data / "postmaster.pid").read_text().split("\n", 1)[0])
    with frozen(psutil.Process(pid)):
        for _ in range(30):
            assert await far.name(product) == "Before"
    await far.is_at_standby(product)


@pytest.mark.slow
async def test_a_standby_that_stops_costs_no_read_and_is_found_again(
    far: Far, product: catalog_pb.Product
) -> None:
    far.standby.stop()
    for _ in range(30):
        assert await far.name(product) == "Before"
    far.standby.start()
    await far.is_at_standby(product)


async def test_a_service_starts_without_its_standby(
    far: Far,
    product: catalog_pb.Product,
    servers: tuple[EmbeddedPostgres, StandbyPostgres, str, str],
    keys: Path,
    tmp_path: Path,
) -> None:
    _, _, commerce, profile = servers
    nowhere = "postgresql://nobody@127.0.0.1:1/nothing"
    async with shop_world(
        commerce, profile, keys, tmp_path, commerce_read_database_url=nowhere
    ) as shop:
        assert await replace(far, shop=shop).name(product) == "Before"
