"""What a page costs as the catalog grows, and how fast carts and orders are.

    python -m tests.bench.commerce_bench [SECONDS] [PRODUCTS...]

Commerce and Profile run as processes of their own, on a PostgreSQL that syncs its
commits. Every list is timed at the first page and in the middle of what it lists, in
catalogs of 1,000 and 100,000 products unless others are named; the ratio is that to
the same page of the smallest catalog.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from services.cli.postgres import EmbeddedPostgres
from services.commerce.model import Filters, Sort
from services.commerce.seeding import seed
from services.commerce.settings import CommerceSettings
from services.commerce.usecases.list_products import ListRequest, _checked, _name
from services.kernel import keys as key_files
from services.kernel.keys import KeyRing
from services.kernel.migrations import upgrade
from services.kernel.paging import PageTokens
from tests.commerce import people
from tests.commerce.wallet_proxy import WalletProxy
from tests.commerce.world import Shop, connected
from tests.conftest import SERVICES
from tests.faulty import started
from tests.profile.fake_auth import fake_auth

SIZES = (1_000, 100_000)
CALLERS = 16
CATEGORIES = 16

Once = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Figure:
    """A median time in milliseconds, how often a second, and a ratio where one matters."""

    name: str
    milliseconds: float
    per_second: float
    ratio: float

    def __str__(self) -> str:
        """Return a line for people."""
        return (
            f"{self.name:<52} {self.milliseconds:7.2f} ms {self.per_second:7.0f}/s"
            f" {self.ratio:6.2f}"
        )


async def figures(*, seconds: float = 2.0, sizes: Sequence[int] = SIZES) -> list[Figure]:
    """Measure everything here."""
    with tempfile.TemporaryDirectory(prefix="lockstep-bench-") as name:
        folder = Path(name)
        key_files.initialise(folder / "keys")
        server = EmbeddedPostgres(folder / "postgres")
        try:
            server.start()
            return await _figures(server, folder, seconds, sizes)
        finally:
            server.destroy()


async def _figures(
    server: EmbeddedPostgres, folder: Path, seconds: float, sizes: Sequence[int]
) -> list[Figure]:
    async with AsyncExitStack() as stack:
        shops = [await stack.enter_async_context(shop_of(server, folder, size)) for size in sizes]
        measured = []
        for same in zip(*(lists(shop) for shop in shops), strict=True):
            times = await in_turns([once for _, once in same], seconds)
            for size, (name, _), median in zip(sizes, same, times, strict=True):
                title = f"{name}, {size:,} products"
                measured.append(Figure(title, median, 1000 / median, median / times[0]))
        return measured + await writes(shops[-1], seconds)


def lists(shop: Shop) -> list[tuple[str, Once]]:
    """Return lists, each at its first page and in its middle."""
    category = shop.rows("SELECT category_id FROM products LIMIT 1")[0].category_id
    ranges = {"min_price": "10.00", "max_price": "60.00"}
    found: list[tuple[str, Once]] = []
    for sort in Sort:
        found += _pages(shop, f"list by {sort}", sort, {})
    found += _pages(shop, "list of a category", Sort.NEWEST, {"category": str(category)})
    narrowed = {"category": str(category), **ranges}
    found += _pages(shop, "list of a category by price", Sort.CHEAPEST, narrowed)
    found += _pages(shop, "list of words", Sort.NEWEST, {"q": "steel kettle"})
    return found


def _pages(shop: Shop, name: str, sort: Sort, fields: dict[str, str]) -> list[tuple[str, Once]]:
    token = _middle(shop, sort, fields)
    return [
        (f"{name}, page 1", partial(shop.listed, sort=sort, **fields)),
        (f"{name}, middle", partial(shop.listed, sort=sort, page_token=token, **fields)),
    ]


def _middle(shop: Shop, sort: Sort, fields: dict[str, str]) -> str:
    """Make the token that somebody who has turned half of all pages would hold."""
    asked = replace(ListRequest(sort=sort), **fields)  # type: ignore[arg-type]
    filters, _ = _checked(asked, "USD")
    value, row_id = _halfway(shop, filters)
    position = [value, str(row_id), 10_000, True]
    return PageTokens(KeyRing.load(shop.settings.keys, "commerce").secret).make(
        position, listing=_name(filters)
    )


def _halfway(shop: Shop, filters: Filters) -> tuple[Any, Any]:
    key = {"newest": "create_time", "price": "price", "name": "name_key"}[filters.sort.lstrip("-")]
    where = "WHERE delete_time IS NULL"
    if filters.category_id is not None:
        where += f" AND category_id = '{filters.category_id}'"
    if filters.has_prices:
        where += f" AND price BETWEEN {filters.min_price} AND {filters.max_price}"
    (row,) = shop.rows(
        f"SELECT {key} AS value, id FROM products {where} ORDER BY {key}, id"
        f" OFFSET (SELECT count(*) / 2 FROM products {where}) LIMIT 1"
    )
    value = row.value.isoformat() if isinstance(row.value, datetime) else row.value
    return value, row.id


async def writes(shop: Shop, seconds: float) -> list[Figure]:
    """Measure adds to carts and whole checkouts, with as many callers as carts."""
    products = [
        await shop.product(price=1, stock=2**31 - 1, name=f"Bench {n}") for n in range(CALLERS)
    ]
    buyers = [await shop.buyer(10**9) for _ in range(CALLERS)]
    pairs = list(zip(buyers, products, strict=True))

    async def add(caller: int) -> None:
        buyer, product = pairs[caller]
        await shop.add(buyer, product)

    async def order(caller: int) -> None:
        buyer, product = pairs[caller]
        await shop.bought(buyer, product)

    added = Figure("AddCartItem, 16 carts", *await together(add, seconds / 2), 1.0)
    for buyer, product in pairs:
        await shop.set(buyer, product, 0)
    ordered = Figure(
        "AddCartItem and PlaceOrder, 16 buyers", *await together(order, seconds * 2), 1.0
    )
    await shop.settled()
    shop.check()
    return [added, ordered]


async def in_turns(calls: Sequence[Once], seconds: float) -> list[float]:
    """Return the median of each in milliseconds, made in turns so that noise hits all."""
    times: list[list[float]] = [[] for _ in calls]
    until = time.perf_counter() + seconds * len(calls)
    while time.perf_counter() < until:
        for once, taken in zip(calls, times, strict=True):
            before = time.perf_counter()
            await once()
            taken.append(time.perf_counter() - before)
    return [statistics.median(taken[len(taken) // 10 :]) * 1000 for taken in times]


async def together(once: Callable[[int], Awaitable[None]], seconds: float) -> tuple[float, float]:
    """Return the median in milliseconds and the rate of callers who go on side by side."""
    times: list[float] = []
    until = time.perf_counter() + seconds

    async def repeat(caller: int) -> None:
        while (before := time.perf_counter()) < until:
            await once(caller)
            times.append(time.perf_counter() - before)

    await asyncio.gather(*(repeat(caller) for caller in range(CALLERS)))
    return statistics.median(times) * 1000, len(times) / seconds


@asynccontextmanager
async def shop_of(server: EmbeddedPostgres, folder: Path, size: int) -> AsyncIterator[Shop]:
    """Run Commerce on a catalog of a size, with Profile beside it."""
    databases = {service: f"{service}{size}" for service in ("commerce", "profile")}
    server.create_databases(list(databases.values()))
    urls = {service: server.url(name) for service, name in databases.items()}
    for service, url in urls.items():
        upgrade(url, SERVICES / service / "migrations")
    seed(urls["commerce"], products=size, categories=CATEGORIES, chance=size)
    async with AsyncExitStack() as stack:
        auth = await stack.enter_async_context(fake_auth(folder / "keys"))
        of_profile = people.settings_for(urls["profile"], folder / "keys", auth)
        profile = await stack.enter_async_context(started("profile", of_profile, folder / "log"))
        settings = CommerceSettings(
            keys=folder / "keys",
            commerce_database_url=urls["commerce"],
            auth_address=f"127.0.0.1:{auth.port}",
            profile_address=f"127.0.0.1:{profile.port}",
        )
        commerce = await stack.enter_async_context(started("commerce", settings, folder / "log"))
        buyers = await stack.enter_async_context(people.people_at(profile.port, of_profile, auth))
        wallets = WalletProxy(f"127.0.0.1:{profile.port}")
        stack.push_async_callback(wallets.close)
        yield await stack.enter_async_context(connected(commerce.port, settings, buyers, wallets))


if __name__ == "__main__":
    chosen = [float(sys.argv[1])] if len(sys.argv) > 1 else [2.0]
    named = [int(size) for size in sys.argv[2:]] or SIZES
    for figure in asyncio.run(figures(seconds=chosen[0], sizes=named)):
        print(figure)
