"""Vendure as a shop that is measured: filled by its own importer, and asked in GraphQL."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import os
import secrets
import shutil
import signal
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, LiteralString

import httpx
import psycopg

from services.cli import parent_death
from services.cli.postgres import SUPERUSER, create_databases
from services.common.settings import embedded_socket_folder, embedded_url
from tests.bench import rest, vendure_install
from tests.bench import vendure_queries as queries
from tests.bench.lab import PRODUCTS, Lab
from tests.bench.rest import Answer, Headers, Request
from tests.bench.shops import SETUP_AT_ONCE, STOCK, STOP_SECONDS_MAX, Shop, execute
from tests.bench.stack import StackError, spare_ports
from tests.bench.vendure_queries import asked
from tests.gateway.envoy import until_open

DATABASE: Final = "vendure"
POPULATE_SECONDS_MAX, READY_SECONDS_MAX = 900.0, 300.0
COLUMNS: Final = (
    *("name", "slug", "description", "assets", "facets", "optionGroups", "optionValues", "sku"),
    *("price", "taxCategory", "stockOnHand", "trackInventory", "variantAssets", "variantFacets"),
)

_PAID: Final = "PaymentSettled"


@dataclass(frozen=True, slots=True, kw_only=True)
class VendureShop(Shop):
    """Vendure, whose shop is asked in GraphQL; people are sessions of guests.

    Attributes:
        product_id: The product of the first variant; carts hold variants.
    """

    product_id: str

    @property
    def one_product(self) -> Request:
        """A request that reads one product."""
        return asked(queries.ONE, id=self.product_id)

    @property
    def page(self) -> Request:
        """A request that reads the first page of the list of products."""
        return asked(queries.PAGE)

    @property
    def search(self) -> Request:
        """A request that reads the first page of what the search plugin finds."""
        return asked(queries.SEARCH)

    def adding(self, who: Headers, product: str) -> Request:
        """Return a request that adds one to a cart."""
        return asked(queries.ADD, who, id=product)

    def is_good(self, answer: Answer) -> bool:
        """Return whether a request was done; GraphQL answers 200 to those that it refuses."""
        is_refused = any(word in answer.body for word in (b'"errors":', b'"errorCode":'))
        return answer.is_good and not is_refused

    async def quantity(self, who: Headers) -> int:
        """Return how many things are in a cart."""
        (answer,) = await self.send([asked(queries.QUANTITY, who)])
        return int(answer.json()["data"]["activeOrder"]["totalQuantity"])

    async def empty_carts(self) -> None:
        """Empty all carts; who has none gets an empty one."""
        await self.send([asked(queries.EMPTY, who) for who in self.people])

    async def set_stock(self, product: str, stock: int) -> None:
        """Say how many of a product are left."""
        query: LiteralString = (
            'UPDATE stock_level SET "stockOnHand" = %s, "stockAllocated" = 0'
            ' WHERE "productVariantId" = %s'
        )
        await asyncio.to_thread(execute, self.url, query, [stock, product])

    async def buy(self, people: Sequence[Headers]) -> int:
        """Let all of them order what is in their carts at once; return how many could.

        Addresses come before. What is done at once is what the last click does: close the cart,
        and pay.
        """
        for query in queries.CHECKOUT:
            await self.send([asked(query, who, **_details()) for who in people])
        bought = await asyncio.gather(*(self._buy(who) for who in people))
        return sum(bought)

    async def _buy(self, who: Headers) -> bool:
        places = [asked(query, who) for query in queries.PLACE]
        *_, paid = await rest.send(self.endpoint, places, at_once=1)
        return self.is_good(paid) and _PAID.encode() in paid.body


@asynccontextmanager
async def vendure_shop(lab: Lab, people: int) -> AsyncIterator[Shop]:
    """Run Vendure's server and worker on a database of its own of the same PostgreSQL."""
    postgres = lab.stack.home / "postgres"
    url = embedded_url(postgres, DATABASE)
    await asyncio.to_thread(create_databases, embedded_url(postgres, "postgres"), [DATABASE])
    port = spare_ports([DATABASE])[DATABASE]
    programs = _Programs(lab.stack.home / "logs", _environment(postgres, port))
    lab.say("Vendure imports the products, which takes a minute or more")
    products = lab.stack.home / "products.csv"
    await asyncio.to_thread(_write_products, lab.stack.database_url("commerce"), products)
    async with programs.running("populate.js", str(products)) as populate:
        await programs.until_done(populate)
    async with programs.running("worker.js"):
        await _until_indexed(url)
    async with AsyncExitStack() as opened:
        lab.say("starting Vendure")  # anew, so that its memory is not that of the import
        pids = [
            (await opened.enter_async_context(programs.running(script))).pid
            for script in ("server.js", "worker.js")
        ]
        await until_open(port)
        await programs.until_told("worker.js", "Starting queue: update-search-index")
        variants, product_id = await asyncio.to_thread(_variants, url)
        endpoint = f"127.0.0.1:{port}"
        yield VendureShop(
            name=vendure_install.name(),
            endpoint=endpoint,
            prefix="",
            register_path="",
            url=url,
            own_pids=lambda: pids,
            postgres_pids=lambda: lab.stack.postgres_pids(DATABASE),
            people=await _sessions(endpoint, people),
            products=variants,
            product_id=product_id,
        )


@dataclass(frozen=True, slots=True)
class _Programs:
    """The scripts of Vendure's project, each run as a process group of its own.

    Attributes:
        logs: The folder of their logs.
        environment: Their environment.
    """

    logs: Path
    environment: Mapping[str, str]

    @asynccontextmanager
    async def running(
        self, script: str, *arguments: str
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        """Run a script, and end it with everything that it has started."""
        node = str(shutil.which("node"))
        command = [node, str(vendure_install.INSTALLED / script), *arguments]
        with self._log(script).open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *parent_death.command(command, death_signal=signal.SIGTERM),
                cwd=vendure_install.INSTALLED,
                env=self.environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            await _end_group(process)

    async def until_done(self, process: asyncio.subprocess.Process) -> None:
        """Wait until the products are imported.

        Raises:
            StackError: They could not be; the text has the reason.
        """
        async with asyncio.timeout(POPULATE_SECONDS_MAX):
            code = await process.wait()
        if code != 0:
            told = self._log("populate.js").read_text(errors="replace")
            raise StackError(f"Vendure was not filled: {told[-2000:]}")

    async def until_told(self, script: str, text: str) -> None:
        """Wait until a script has logged something.

        Raises:
            StackError: It has not in time.
        """
        deadline = time.monotonic() + READY_SECONDS_MAX
        while text not in (told := self._log(script).read_text(errors="replace")):
            if time.monotonic() > deadline:
                raise StackError(f"Vendure's {script} does not start: {told[-2000:]}")
            await asyncio.sleep(0.1)

    def _log(self, script: str) -> Path:
        return self.logs / f"vendure-{script}.log"


async def _end_group(process: asyncio.subprocess.Process) -> None:
    for each in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, each)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), STOP_SECONDS_MAX)


def _environment(postgres: Path, port: int) -> dict[str, str]:
    return dict(os.environ) | {
        "NODE_ENV": "production",
        "VENDURE_DISABLE_TELEMETRY": "true",
        "VENDURE_PORT": str(port),
        "VENDURE_DATABASE": DATABASE,
        "VENDURE_DATABASE_HOST": str(embedded_socket_folder(postgres)),
        "VENDURE_DATABASE_USER": SUPERUSER,
        "VENDURE_SECRET": secrets.token_hex(16),
    }


def _write_products(url: str, path: Path) -> None:
    """Write products of Lockstep in the form that Vendure imports."""
    query: LiteralString = """
        SELECT id, name, description, price FROM products
        WHERE delete_time IS NULL ORDER BY id LIMIT %s
    """
    with psycopg.connect(url) as connection, path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        for number, title, description, price in connection.execute(query, [PRODUCTS]):
            writer.writerow(
                {
                    "name": title,
                    "slug": str(number),
                    "description": description,
                    "sku": str(number),
                    "price": f"{price // 100}.{price % 100:02}",
                    "taxCategory": "standard",
                    "stockOnHand": STOCK,
                    "trackInventory": "true",
                }
            )


async def _until_indexed(url: str) -> None:
    """Wait until the worker has indexed every product, and has nothing left to do.

    Raises:
        StackError: It has not in time.
    """
    query: LiteralString = """
        SELECT (SELECT count(DISTINCT "productId") FROM search_index_item),
               (SELECT count(*) FROM job_record WHERE NOT "isSettled")
    """
    deadline = time.monotonic() + READY_SECONDS_MAX
    while (found := await asyncio.to_thread(_first, url, query)) != (PRODUCTS, 0):
        if time.monotonic() > deadline:
            raise StackError(f"Vendure has indexed {found[0]} products, and has {found[1]} jobs")
        await asyncio.sleep(0.5)


def _variants(url: str) -> tuple[list[str], str]:
    """Return variants, and the product of the first of them."""
    query: LiteralString = """
        SELECT array_agg(id::text ORDER BY id), (array_agg("productId"::text ORDER BY id))[1]
        FROM (SELECT id, "productId" FROM product_variant ORDER BY id LIMIT 200) AS listed
    """
    variants, product_id = _first(url, query)
    return variants, product_id


def _first(url: str, query: LiteralString) -> tuple[Any, ...]:
    with psycopg.connect(url) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return row


async def _sessions(endpoint: str, number: int) -> list[Headers]:
    """Open sessions of guests, each with an empty cart."""
    gate = asyncio.Semaphore(SETUP_AT_ONCE)
    request = asked(queries.EMPTY)

    async def one(client: httpx.AsyncClient) -> Headers:
        async with gate:
            answer = await client.post(f"http://{endpoint}{request.path}", json=request.body)
        return (("authorization", f"Bearer {answer.headers['vendure-auth-token']}"),)

    async with httpx.AsyncClient(timeout=60) as client:
        return await asyncio.gather(*(one(client) for _ in range(number)))


def _details() -> dict[str, object]:
    return {"email": f"{secrets.token_hex(8)}@bench.example", "shipping": ["1"]}
