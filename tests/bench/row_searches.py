"""Searches of 200,000 products: none may be dear, and strangers may not hold up carts."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from uuid import UUID

import psycopg
from lockstep.commerce.v1 import cart_service_pb2 as cart_pb
from lockstep.commerce.v1 import cart_service_pb2_grpc as cart_grpc
from lockstep.commerce.v1 import catalog_service_pb2 as catalog_pb
from lockstep.commerce.v1 import catalog_service_pb2_grpc as catalog_grpc
from lockstep_clients import connect

from services.commerce.store.listing import SORTS
from tests.bench.lab import CHEAP, Lab, p99
from tests.bench.people import Person
from tests.bench.report import Finding, Ratio, at_most
from tests.bench.row_lists import OTHERWISE, Catalog, Fields, large_catalog, medians

SIZE, QUICK_SIZE = 200_000, 50_000
STRANGERS = 20
SLOWER_MAX = 3.0
BUYERS = 8
RARE = """
UPDATE products SET name = 'Zzyzx ' || name
 WHERE id IN (SELECT id FROM products ORDER BY md5(id::text) LIMIT 30)
"""
# Of each eighth product, of thirty, and of those that come last by name.
SELLERS: Mapping[str, tuple[str, str]] = {
    "many": (str(UUID(int=1)), "get_byte(uuid_send(id), 15) % 8 = 0"),
    "few": (
        str(UUID(int=2)),
        "id IN (SELECT id FROM products ORDER BY md5(id::text) DESC LIMIT 30)",
    ),
    "clumped": (str(UUID(int=3)), "name_key > 'w'"),
}
# By how the products that match lie: everywhere, few of them, or all in one part of an order.
MATCHES: Mapping[str, tuple[Fields, ...]] = {
    "many": (
        {"q": "slate"},
        {"min_price": "10.00"},
        {"min_stock": 1},
        {"q": "o", "min_stock": 1},
        {"seller": SELLERS["many"][0]},
    ),
    "few": (
        {"q": "zzyzx"},
        {"q": "xyzzy"},
        {"min_price": "49.99", "max_price": "49.99"},
        {"q": "zzyzx", "min_price": "10.00"},
        {"min_stock": 1, "max_stock": 1},
        {"seller": SELLERS["few"][0]},
        {"seller": SELLERS["few"][0], "min_price": "10.00"},
    ),
    "clumped": (
        {"q": "lindqvist"},
        {"q": "oak"},
        {"q": "lindqvist walnut"},
        {"max_stock": 0},
        {"min_price": "200.00"},
        {"q": "lindqvist", "min_price": "30.00"},
        {"q": "lindqvist", "max_stock": 0},
        {"seller": SELLERS["clumped"][0]},
        {"seller": SELLERS["clumped"][0], "q": "oak"},
    ),
}


async def searches(lab: Lab) -> list[Finding]:
    """Compare each filter, sort and sort of matches with the plain list of the same catalog."""
    calls = 10 if lab.is_quick else 40
    async with lab.running(**CHEAP), _catalog(lab) as catalog:
        return [await _worst(lab, catalog, matches, calls) for matches in MATCHES]


async def strangers(lab: Lab) -> list[Finding]:
    """Let strangers search as hard as they can, and look at what that does to carts."""
    rounds, seconds = lab.rounds(8)
    async with lab.running(**CHEAP) as to, _catalog(lab) as catalog:
        people = await to.people(BUYERS)
        async with connect(catalog.endpoint) as channel:
            carts = cart_grpc.CartServiceStub(channel)
            page = await catalog.stub.ListProducts(catalog_pb.ListProductsRequest())
            add = partial(_adds, carts, people, [each.id for each in page.products])
            await add(seconds / 4)  # warms up
            calm, busy = list[float](), list[float]()
            for turn in range(rounds):
                lab.say(f"carts beside strangers, {turn + 1} of {rounds}")
                calm.append(p99(await add(seconds)))
                async with _searching(catalog):
                    busy.append(p99(await add(seconds)))
    ratio = Ratio.of(busy, calm)
    measured = f"{1000 * max(busy):.0f} ms at most, {1000 * max(calm):.0f} ms without them"
    figure = f"p99 of AddCartItem beside {STRANGERS} strangers who search"
    return [at_most("strangers", figure, measured, ratio, SLOWER_MAX)]


def combinations(fields: Fields) -> Iterator[Fields]:
    """Return a search in every order."""
    sorts = [*map(str, SORTS), *(["relevance"] if "q" in fields else [])]
    return ({**fields, "sort": sort} for sort in sorts)


async def _worst(lab: Lab, catalog: Catalog, matches: str, calls: int) -> Finding:
    worst = (0.0, "")
    for fields in itertools.chain.from_iterable(map(combinations, MATCHES[matches])):
        lab.say(f"searches, {matches} matches: {fields}")
        plain, median = await medians([catalog.listed, partial(catalog.listed, **fields)], calls)
        told = ", ".join(f"{name} {value}" for name, value in fields.items())
        text = f"worst: {told}: {median:.1f} ms, {plain:.1f} ms without filters"
        worst = max(worst, (median / plain, text))
    return at_most("searches", f"{matches} matches", worst[1], Ratio([worst[0]]), OTHERWISE)


async def _adds(
    carts: cart_grpc.CartServiceAsyncStub,
    people: list[Person],
    products: list[str],
    seconds: float,
) -> list[float]:
    """Add to the carts of all people until the time is up; return how long each call took."""
    times: list[float] = []
    end = time.perf_counter() + seconds

    async def one(person: Person) -> None:
        for product in itertools.cycle(products):
            began = time.perf_counter()
            if began > end:
                return
            request = cart_pb.AddCartItemRequest(product_id=product, quantity=1)
            await carts.AddCartItem(request, metadata=person.metadata)
            times.append(time.perf_counter() - began)
            await asyncio.sleep(0.01)

    await asyncio.gather(*map(one, people))
    return times


@asynccontextmanager
async def _searching(catalog: Catalog) -> AsyncIterator[None]:
    """Let strangers search in a process of their own."""
    asked = [each for some in MATCHES.values() for fields in some for each in combinations(fields)]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.row_searches", catalog.endpoint, json.dumps(asked)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        await process.stdout.readline()
        yield
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def _catalog(lab: Lab) -> AsyncIterator[Catalog]:
    async with large_catalog(lab, QUICK_SIZE if lab.is_quick else SIZE, "searched") as catalog:
        await asyncio.to_thread(_make_few, catalog.url)
        yield catalog


def _make_few(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(RARE)
        for seller, rows in SELLERS.values():
            connection.execute(f"UPDATE products SET seller_id = '{seller}' WHERE {rows}".encode())
        connection.execute("VACUUM ANALYZE products")


async def _search(endpoint: str, asked: list[Fields]) -> None:
    async with connect(endpoint) as channel:
        catalog = Catalog(catalog_grpc.CatalogServiceStub(channel), "", Path())
        print("searching", flush=True)

        async def stranger(number: int) -> None:
            for fields in itertools.islice(itertools.cycle(asked), number * 3, None):
                with contextlib.suppress(Exception):  # refused, as it may be
                    await catalog.listed(**fields)

        await asyncio.gather(*map(stranger, range(STRANGERS)))


if __name__ == "__main__":
    asyncio.run(_search(sys.argv[1], json.loads(sys.argv[2])))
