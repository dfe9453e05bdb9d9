"""The shops that are compared over REST: Lockstep, and the FastAPI monolith with a driver."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import LiteralString

import psutil
import psycopg
from sqlalchemy import create_engine

from services.cli import parent_death
from services.cli.postgres import create_databases
from services.commerce.store.seeding import seed
from services.common.settings import embedded_url
from services.kernel.db.migrations import upgrade
from tests.bench import rest
from tests.bench.lab import CATEGORIES, PRODUCTS, Lab
from tests.bench.peers.models import Base
from tests.bench.people import PASSWORD, Clients
from tests.bench.rest import Answer, Headers, Request
from tests.bench.stack import CORES, ROOT, StackError, spare_ports
from tests.gateway.envoy import until_open

PASSWORD_COST = 12
SETUP_AT_ONCE = 16
STOCK, FUNDS = 10**6, 10**9
STOP_SECONDS_MAX = 10.0
# A worker that a busy machine holds up for 5 s would be ended.
PATIENTLY = ("--timeout-worker-healthcheck", "60")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """A shop that is asked over REST.

    Attributes:
        name: Its name in the table.
        endpoint: host:port.
        prefix: What all paths begin with.
        register_path: The path of registrations.
        url: The database of its products and carts; both have Commerce's tables.
        own_pids: Returns its processes.
        postgres_pids: Returns those of PostgreSQL that serve it.
        people: The headers of people who are logged in and have money.
        products: Products, of each of which there is enough.
        idle: The processor time that it takes in a second when nobody asks it.
    """

    name: str
    endpoint: str
    prefix: str
    register_path: str
    url: str
    own_pids: Callable[[], list[int]]
    postgres_pids: Callable[[], list[int]]
    people: Sequence[Headers]
    products: Sequence[str]
    idle: float = 0.0

    def pids(self) -> list[int]:
        """Return every process that serves it."""
        return self.own_pids() + self.postgres_pids()

    @property
    def one_product(self) -> Request:
        """A request that reads one product."""
        return Request(f"{self.prefix}/products/{self.products[0]}")

    @property
    def page(self) -> Request:
        """A request that reads the first page of all products, with their number."""
        return Request(f"{self.prefix}/products")

    def adding(self, who: Headers, product: str) -> Request:
        """Return a request that adds one to a cart."""
        body = {"product_id": product, "quantity": 1}
        return Request(f"{self.prefix}/cart/items", body, who)

    def ordering(self, who: Headers) -> Request:
        """Return a request that orders what is in the cart."""
        return Request(f"{self.prefix}/orders", {}, who)

    def registering(self, fields: Mapping[str, str]) -> Request:
        """Return a request that registers somebody."""
        return Request(self.register_path, dict(fields))

    def is_good(self, answer: Answer) -> bool:
        """Return whether a request was done."""
        return answer.is_good

    async def buy(self, people: Sequence[Headers]) -> int:
        """Let all of them order what is in their carts at once; return how many could."""
        orders = [self.ordering(who) for who in people]
        answers = await rest.send(self.endpoint, orders, at_once=len(orders))
        return sum(self.is_good(answer) for answer in answers)

    async def send(
        self, requests: Sequence[Request], *, at_once: int = SETUP_AT_ONCE
    ) -> list[Answer]:
        """Send requests, all of which must succeed.

        Raises:
            StackError: One was refused.
        """
        answers = await rest.send(self.endpoint, requests, at_once=at_once)
        self.check(answers)
        return answers

    def check(self, answers: Sequence[Answer]) -> None:
        """See that every request was done.

        Raises:
            StackError: One was refused.
        """
        for answer in answers:
            if not self.is_good(answer):
                raise StackError(f"{self.name}: {answer.status}: {answer.body.decode()}")

    async def quantity(self, who: Headers) -> int:
        """Return how many things are in a cart."""
        (answer,) = await self.send([Request(f"{self.prefix}/cart", headers=who)])
        return sum(item["quantity"] for item in answer.json()["items"])

    async def empty_carts(self) -> None:
        """Empty all carts."""
        await asyncio.to_thread(execute, self.url, "DELETE FROM cart_items", [])

    async def set_stock(self, product: str, stock: int) -> None:
        """Say how many of a product are left."""
        query: LiteralString = "UPDATE products SET stock = %s WHERE id = %s"
        await asyncio.to_thread(execute, self.url, query, [stock, product])


async def lockstep_shop(lab: Lab, to: Clients, people: int) -> Shop:
    """Return Lockstep, with so many people in it."""
    url = lab.stack.database_url("commerce")
    known = await to.people(people)
    if known:
        await to.fund(await lab.admin(to), known, FUNDS)
    return Shop(
        name="Lockstep",
        endpoint=lab.stack.endpoint("gateway"),
        prefix="/v1",
        register_path="/v1/auth/register",
        url=url,
        own_pids=lab.stack.all_pids,
        postgres_pids=lambda: lab.stack.postgres_pids("authdb", "profiledb", "commercedb"),
        people=[person.metadata for person in known],
        products=await asyncio.to_thread(_products, url),
    )


@asynccontextmanager
async def peer_shop(lab: Lab, driver: str, *, bcrypt_cost: int, people: int) -> AsyncIterator[Shop]:
    """Run the monolith on a database of its own of the same PostgreSQL.

    It has as many workers as there are cores, which its documentation advises.
    """
    postgres, database = lab.stack.home / "postgres", f"peers{driver}"
    url = embedded_url(postgres, database)
    await asyncio.to_thread(_make, embedded_url(postgres, "postgres"), database, url)
    port = spare_ports(["peer"])["peer"]
    environment = os.environ | {
        "PEER_DATABASE_URL": url.replace("postgresql:", f"postgresql+{driver}:"),
        "PEER_SECRET": secrets.token_hex(32),
        "PEER_BCRYPT_COST": str(bcrypt_cost),
    }
    log = lab.stack.home / "logs" / f"{database}.log"
    async with _uvicorn(port, environment, log) as pid:
        shop = Shop(
            name=f"FastAPI, {driver}",
            endpoint=f"127.0.0.1:{port}",
            prefix="",
            register_path="/register",
            url=url,
            own_pids=lambda: _family(pid),
            postgres_pids=lambda: lab.stack.postgres_pids(database),
            people=[],
            products=await asyncio.to_thread(_products, url),
        )
        yield await _with_people(shop, people)


def sign_up() -> dict[str, str]:
    """Return the fields of a registration, which both kinds of shops know."""
    return {
        "email": f"{secrets.token_hex(8)}@bench.example",
        "password": PASSWORD,
        "full_name": "Ada Lovelace",
        "phone_number": f"+1{secrets.randbelow(10**10):010}",
    }


async def _with_people(shop: Shop, number: int) -> Shop:
    fields = [sign_up() for _ in range(number)]
    await shop.send([shop.registering(each) for each in fields])
    logins = [
        Request("/login", {name: each[name] for name in ("email", "password")}) for each in fields
    ]
    tokens = [answer.json()["access_token"] for answer in await shop.send(logins)]
    await asyncio.to_thread(execute, shop.url, "UPDATE wallets SET balance = %s", [FUNDS])
    return replace(shop, people=[(("authorization", f"Bearer {token}"),) for token in tokens])


@asynccontextmanager
async def _uvicorn(port: int, environment: Mapping[str, str], log: Path) -> AsyncIterator[int]:
    command = [sys.executable, "-m", "uvicorn", "tests.bench.peers.monolith:app"]
    options = ("--port", str(port), "--workers", str(len(CORES)), *PATIENTLY)
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *parent_death.command([*command, *options], death_signal=signal.SIGTERM),
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=output,
        )
    try:
        await until_open(port)
        yield process.pid
    finally:
        family = _family(process.pid)
        process.terminate()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), STOP_SECONDS_MAX)
        for pid in family:  # a worker may outlive the one that started it
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _family(pid: int) -> list[int]:
    parent = psutil.Process(pid)
    return [parent.pid, *(child.pid for child in parent.children(recursive=True))]


def _make(server_url: str, database: str, url: str) -> None:
    """Make Commerce's tables and the monolith's own, and fill the catalog, once."""
    create_databases(server_url, [database])
    upgrade(url, ROOT / "services" / "commerce" / "migrations")
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    Base.metadata.create_all(engine)
    engine.dispose()
    if not _products(url):
        seed(url, products=PRODUCTS, categories=CATEGORIES, random_seed=1)


def _products(url: str) -> list[str]:
    """Return listed products, of each of which there is enough."""
    execute(url, "UPDATE products SET stock = %s", [STOCK])
    query: LiteralString = "SELECT id FROM products WHERE delete_time IS NULL ORDER BY id LIMIT 200"
    with psycopg.connect(url) as connection:
        return [str(row[0]) for row in connection.execute(query)]


def execute(url: str, query: LiteralString, values: Sequence[object]) -> None:
    """Execute a statement."""
    with psycopg.connect(url) as connection:
        connection.execute(query, values)
