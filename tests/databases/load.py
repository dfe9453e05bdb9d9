"""Clients that register and buy without end, and remember what they were told.

To judge a fault: ask again, by its key, for everything whose answer was lost; then compare
with the databases.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Self
from uuid import UUID

import psycopg
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep.auth.v1 import auth_service_pb2_grpc as auth_grpc
from lockstep.commerce.v1 import cart_service_pb2 as cart_pb
from lockstep.commerce.v1 import cart_service_pb2_grpc as cart_grpc
from lockstep.commerce.v1 import order_service_pb2 as order_pb
from lockstep.commerce.v1 import order_service_pb2_grpc as order_grpc
from lockstep_clients import LockstepError, bearer, connect

from services.kernel.ids import new_id
from tests.waiting import until

PASSWORD = "Secure-Horse-42"
PRICE, STOCK, FUNDS = 500, 1_000_000, 100_000_000
# So long may anything take that works again.
PATIENCE_SECONDS = 120.0
# After a failure a client waits a little, as people do.
PAUSE_SECONDS = 0.3
ASKED_AT_ONCE = 8

Metadata = tuple[tuple[str, str], ...]

_PRODUCT = """
WITH made AS (INSERT INTO categories (id, name, description) VALUES (%(p)s, %(p)s::text, ''))
INSERT INTO products (id, category_id, name, description, price, stock, image_url)
VALUES (%(p)s, %(p)s, 'Thing', '', %(price)s, %(stock)s, '')
"""
_FUND = """
WITH top AS (
  INSERT INTO transfers (id, kind, state, debit_account_id, credit_account_id, amount, reference,
    fingerprint)
  SELECT gen_random_uuid(), 'top_up', 'posted', '00000000-0000-8000-8000-000000000001', id, %(m)s,
    '', 'f' FROM accounts WHERE user_id = %(u)s RETURNING credit_account_id)
UPDATE accounts SET balance = balance + %(m)s WHERE id IN (SELECT credit_account_id FROM top)
"""


def is_in_doubt(error: LockstepError) -> bool:
    """Return whether the caller cannot tell from an error what has happened."""
    unknown = {"", "DATABASE_UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL"}
    return error.reason in unknown or error.reason.endswith("_IN_PROGRESS")


@dataclass(frozen=True, slots=True)
class Buyer:
    """Somebody who is logged in and has money."""

    user_id: str
    proof: Metadata


@dataclass
class Kept:
    """What the clients of one kind were told.

    Attributes:
        acknowledged: The id of what was made, by the key of its request.
        in_doubt: Repeats the request, by its key.
        refusals: How often the answer was a clear no.
        times: When something was acknowledged.
    """

    acknowledged: dict[str, str] = field(default_factory=dict)
    in_doubt: dict[str, Callable[[], Awaitable[str]]] = field(default_factory=dict)
    refusals: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    async def ask(self, key: str, call: Callable[[], Awaitable[str]]) -> bool:
        """Make a request, and remember its answer; return whether it was a yes."""
        try:
            made = await call()
        except LockstepError as error:
            if is_in_doubt(error):
                self.in_doubt[key] = call
            else:
                self.in_doubt.pop(key, None)
                self.refusals.append(error.reason)
            return False
        self.in_doubt.pop(key, None)
        self.acknowledged[key] = made
        self.times.append(time.monotonic())
        return True


class Load:
    """Clients of the three services.

    Args:
        targets: The gRPC target of each service.
        urls: The database of each service, for the judge.
        name: Makes e-mail addresses of one load different from those of another.
    """

    def __init__(self, targets: Mapping[str, str], urls: Mapping[str, str], name: str) -> None:
        self.registrations, self.orders = Kept(), Kept()
        self.product: UUID = new_id()
        self.patience_seconds = PATIENCE_SECONDS
        self.buyers: list[Buyer] = []
        self.targets, self._urls, self._name = targets, urls, name
        self._numbers = itertools.count(1)
        self._tasks: list[asyncio.Task[None]] = []
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        auth = await self._stack.enter_async_context(connect(self.targets["auth"]))
        commerce = await self._stack.enter_async_context(connect(self.targets["commerce"]))
        self._auth = auth_grpc.AuthServiceStub(auth)
        self._carts = cart_grpc.CartServiceStub(commerce)
        self._orders = order_grpc.OrderServiceStub(commerce)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        await self._stack.aclose()

    def sql(self, service: str, statement: str, **parameters: Any) -> list[Any]:
        """Run a statement on a service's database."""
        with psycopg.connect(
            self._urls[service], autocommit=True, connect_timeout=5, prepare_threshold=None
        ) as connection:
            cursor = connection.execute(statement.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    def sell(self) -> None:
        """Put something up for sale."""
        self.sql("commerce", _PRODUCT, p=self.product, price=PRICE, stock=STOCK)

    def fund(self, user_id: str) -> None:
        """Give a user money."""
        self.sql("profile", _FUND, u=user_id, m=FUNDS)

    async def prepare(self, *, buyers: int) -> None:
        """Put something up for sale, and make buyers."""
        await asyncio.to_thread(self.sell)
        for number in range(buyers):
            email = f"buyer{number}@{self._name}.example.com"
            user_id = await self._register(email)()
            await asyncio.to_thread(self.fund, user_id)
            request = auth_pb.LoginRequest(email=email, password=PASSWORD)
            tokens = await self._auth.Login(request)
            self.buyers.append(Buyer(user_id, bearer(tokens.token)))

    def start(self, *, registering: int) -> None:
        """Let clients register, and each buyer buy, until they are stopped."""
        self._tasks += [asyncio.create_task(self._register_always()) for _ in range(registering)]
        self._tasks += [asyncio.create_task(self._buy_always(each)) for each in self.buyers]

    async def stop(self) -> None:
        """Stop when each client has its last answer."""
        tasks, self._tasks = self._tasks, []
        self._is_over = True
        if tasks:
            await asyncio.wait(tasks, timeout=PATIENCE_SECONDS)
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended

    _is_over = False

    async def go_on(self, more: int = 3) -> None:
        """Wait until somebody has registered again, and somebody has bought again."""
        kinds = (self.registrations, self.orders)
        expected = [(each.times, len(each.times) + more) for each in kinds]
        await until(
            lambda: all(len(times) >= least for times, least in expected), seconds=PATIENCE_SECONDS
        )

    async def settle_doubts(self) -> None:
        """Ask again, by its key, for whatever was not answered."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            for kept in (self.registrations, self.orders):
                while kept.in_doubt:
                    some = islice(kept.in_doubt.items(), ASKED_AT_ONCE)
                    await asyncio.gather(*(kept.ask(key, call) for key, call in list(some)))

    def longest_pause(self, begin: float) -> float:
        """Return the longest time without a yes since a moment."""
        moments = sorted(each for kept in (self.registrations, self.orders) for each in kept.times)
        after = [begin, *(each for each in moments if each > begin)]
        return max((later - each for each, later in itertools.pairwise(after)), default=0.0)

    def lost(self) -> tuple[set[str], set[str]]:
        """Return the registrations and the orders that were acknowledged and are not there."""
        return self.missing(
            set(self.registrations.acknowledged.values()), set(self.orders.acknowledged.values())
        )

    def missing(self, users_told: set[str], orders_told: set[str]) -> tuple[set[str], set[str]]:
        """Return those of these users and orders that are not there."""
        users = {
            str(row[0]) for row in self.sql("auth", "SELECT id FROM users WHERE status = 'ACTIVE'")
        }
        profiles = {str(row[0]) for row in self.sql("profile", "SELECT user_id FROM profiles")}
        paid = self.sql("commerce", "SELECT id, debit_id FROM orders WHERE state = 'PAID'")
        debits = {row[0] for row in self.sql("profile", "SELECT id FROM transfers")}
        orders = {str(order) for order, debit in paid if debit in debits}
        return users_told - (users & profiles), orders_told - orders

    async def _register_always(self) -> None:
        while not self._is_over:
            email = f"c{next(self._numbers)}@{self._name}.example.com"
            if not await self.registrations.ask(email, self._register(email)):
                await asyncio.sleep(PAUSE_SECONDS)

    def _register(self, email: str) -> Callable[[], Awaitable[str]]:
        request = auth_pb.RegisterRequest(
            email=email, password=PASSWORD, full_name="Ada Lovelace", course="Analysis"
        )

        async def register() -> str:
            key = (("idempotency-key", email),)
            return str((await self._auth.Register(request, metadata=key)).user.id)

        return register

    async def _buy_always(self, buyer: Buyer) -> None:
        add = cart_pb.AddCartItemRequest(product_id=str(self.product), quantity=1)
        while not self._is_over:
            try:
                await self._carts.AddCartItem(add, metadata=buyer.proof)
            except LockstepError:
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            key = str(new_id())
            if not await self.orders.ask(key, self._buy(buyer, key)):
                await asyncio.sleep(PAUSE_SECONDS)

    def _buy(self, buyer: Buyer, key: str) -> Callable[[], Awaitable[str]]:
        keyed = (*buyer.proof, ("idempotency-key", key))

        async def buy() -> str:
            order = await self._orders.PlaceOrder(order_pb.PlaceOrderRequest(), metadata=keyed)
            return str(order.id)

        return buy
