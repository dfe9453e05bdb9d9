"""Lists: the cost of a page in a small and a large catalog, in front and in the middle."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from lockstep.commerce.v1 import catalog_service_pb2 as catalog_pb
from lockstep.commerce.v1 import catalog_service_pb2_grpc as catalog_grpc
from lockstep_clients import connect
from psycopg.rows import namedtuple_row

from services.cli.postgres import create_databases
from services.commerce.servicers.filters import read_filters
from services.commerce.store.listing import SORTS
from services.commerce.store.seeding import seed
from services.commerce.usecases.list_products import _name
from services.common.keys import KeyRing
from services.common.settings import embedded_url
from services.kernel.db.migrations import upgrade
from services.kernel.money import Currency
from services.kernel.paging import PageTokens
from services.kernel.validation import Violations
from tests.bench.lab import CATEGORIES, CHEAP, Lab
from tests.bench.report import Finding, Ratio, at_most
from tests.bench.stack import ROOT, helper

LARGE, QUICK_LARGE = 1_000_000, 100_000
DEPTH_MAX = 500_000
FLAT, OTHERWISE = 1.5, 10.0
KEYS = {"newest": "create_time", "price": "price", "name": "name_key", "stock": "stock"}

Fields = Mapping[str, str | int]


async def lists(lab: Lab) -> list[Finding]:
    """Compare the medians of lists in a catalog of 1,000 products and in a large one."""
    size = QUICK_LARGE if lab.is_quick else LARGE
    calls = 25 if lab.is_quick else 150
    async with lab.running(**CHEAP) as to, large_catalog(lab, size) as large:
        small = Catalog(to.catalog, lab.stack.database_url("commerce"), lab.stack.home / "keys")
        pair = Pair(small, large, calls)
        findings = [
            await _flat(lab, title, fields, pair) for title, fields in _filters(small, large)
        ]
        return [*findings, *await _others(lab, pair)]


@dataclass(frozen=True, slots=True)
class Catalog:
    """A Commerce, and a look at its tables."""

    stub: catalog_grpc.CatalogServiceAsyncStub
    url: str
    keys: Path
    endpoint: str = ""
    pid: int = 0

    async def listed(self, **fields: str | int) -> None:
        """List a page."""
        await self.stub.ListProducts(_request(**fields))

    def category(self) -> str:
        """Return one of the categories."""
        return str(self._rows("SELECT category_id FROM products LIMIT 1")[0].category_id)

    def token_in_the_middle(self, **fields: str | int) -> str:
        """Return the token of the page in the middle of the list."""
        request = _request(**fields)
        filters = read_filters(Violations(), request, Currency("USD", digits=2))
        key = KEYS[filters.sort.lstrip("-")]
        where = "WHERE delete_time IS NULL"
        if filters.category_id is not None:
            where += f" AND category_id = '{filters.category_id}'"
        if filters.has_prices:
            where += f" AND price BETWEEN {filters.min_price} AND {filters.max_price}"
        (row,) = self._rows(
            f"SELECT {key} AS value, id FROM products {where} ORDER BY {key}, id OFFSET"
            f" (SELECT least({DEPTH_MAX}, count(*) / 2) FROM products {where}) LIMIT 1"
        )
        value = row.value.isoformat() if isinstance(row.value, datetime) else row.value
        tokens = PageTokens(KeyRing.load(self.keys, "commerce").secrets["requests"])
        return tokens.make([value, str(row.id), 10_000, True], listing=_name(filters))

    def _rows(self, query: str) -> list[Any]:
        with psycopg.connect(self.url, row_factory=namedtuple_row) as connection:
            return connection.execute(query.encode()).fetchall()


def _request(**fields: str | int) -> catalog_pb.ListProductsRequest:
    # Each field has a type of its own, and mypy wants one that fits all.
    return catalog_pb.ListProductsRequest(**fields)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Pair:
    """A small and a large catalog, and the number of calls to each."""

    small: Catalog
    large: Catalog
    calls: int


def _filters(small: Catalog, large: Catalog) -> list[tuple[str, tuple[Fields, Fields]]]:
    """Return the lists whose cost must be flat, for either catalog."""
    ranges = {"min_price": "10.00", "max_price": "60.00"}
    own, other = {"category": small.category()}, {"category": large.category()}
    return [
        ("all products", ({}, {})),
        ("a category", (own, other)),
        ("a category and prices", (own | ranges, other | ranges)),
    ]


async def _flat(lab: Lab, title: str, fields: tuple[Fields, Fields], pair: Pair) -> Finding:
    """Measure every sort; the worst one counts."""
    worst = (0.0, "")
    for sort in SORTS:
        lab.say(f"lists of {title} by {sort}")
        here, there = ({"sort": str(sort), **each} for each in fields)
        token = await asyncio.to_thread(pair.large.token_in_the_middle, **there)
        yardstick, front, middle = await medians(
            [  # mypy infers no type of a lambda with defaults
                lambda here=here: pair.small.listed(**here),  # type: ignore[misc]
                lambda there=there: pair.large.listed(**there),  # type: ignore[misc]
                lambda there=there, token=token: pair.large.listed(page_token=token, **there),  # type: ignore[misc]
            ],
            pair.calls,
        )
        for place, median in (("page 1", front), ("the middle", middle)):
            text = (
                f"worst: by {sort}, {place}: {median:.2f} ms, {yardstick:.2f} ms in the small one"
            )
            worst = max(worst, (median / yardstick, text))
    return at_most("lists", f"{title}, each sort, both places", worst[1], Ratio([worst[0]]), FLAT)


async def _others(lab: Lab, pair: Pair) -> list[Finding]:
    combinations: dict[str, Fields] = {
        "prices": {"min_price": "10.00", "max_price": "60.00"},
        "prices, by name": {"min_price": "10.00", "max_price": "60.00", "sort": "name"},
        "rare words": {"q": "vintage walnut turntable"},
        "frequent words": {"q": "steel"},
    }
    findings = []
    for title, fields in combinations.items():
        lab.say(f"lists with {title}")
        yardstick, median = await medians(
            [  # as above
                lambda fields=fields: pair.small.listed(**fields),  # type: ignore[misc]
                lambda fields=fields: pair.large.listed(**fields),  # type: ignore[misc]
            ],
            pair.calls,
        )
        measured = f"{median:.2f} ms, {yardstick:.2f} ms in the small one"
        ratio = Ratio([median / yardstick])
        findings.append(at_most("lists", f"with {title}", measured, ratio, OTHERWISE))
    return findings


async def medians(
    calls: Sequence[Callable[[], Awaitable[object]]], number: int, *, pause_seconds: float = 0.0
) -> list[float]:
    """Make calls in turns; return the median of each in milliseconds, the first tenth left out.

    Args:
        calls: The calls to compare.
        number: The number of repeats of each.
        pause_seconds: A pause after each call, for work that goes on after its answer.
    """
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(number):
        for call, taken in zip(calls, times, strict=True):
            began = time.perf_counter()
            await call()
            taken.append(1000 * (time.perf_counter() - began))
            await asyncio.sleep(pause_seconds)
    return [statistics.median(taken[number // 10 :]) for taken in times]


@asynccontextmanager
async def large_catalog(lab: Lab, size: int, name: str = "large") -> AsyncIterator[Catalog]:
    """Run a second Commerce on a large catalog, beside the first one on the small."""
    postgres = lab.stack.home / "postgres"
    url = embedded_url(postgres, f"{name}db")

    def fill() -> None:
        create_databases(embedded_url(postgres, "postgres"), [f"{name}db"])
        upgrade(url, ROOT / "services" / "commerce" / "migrations")
        with psycopg.connect(url) as connection:
            if connection.execute("SELECT 1 FROM products LIMIT 1").fetchone():
                return
        seed(
            url,
            products=size,
            categories=CATEGORIES,
            random_seed=1,
            on_progress=lambda written: lab.progress.advance(task, written),
        )

    task = lab.progress.add_task(f"seeding {size:,} products", total=size)
    await asyncio.to_thread(fill)
    lab.progress.remove_task(task)
    environment = lab.stack.environment(**CHEAP, commerce_database_url=url)
    arguments = ("tests.faulty", "commerce", "", "KILL", "127.0.0.1:0")
    async with (
        helper(*arguments, environment=environment) as commerce,
        connect(commerce.endpoint) as channel,
    ):
        stub = catalog_grpc.CatalogServiceStub(channel)
        await stub.ListProducts(catalog_pb.ListProductsRequest(), wait_for_ready=True)
        yield Catalog(stub, url, lab.stack.home / "keys", commerce.endpoint, commerce.pid)
