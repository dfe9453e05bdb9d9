"""Real processes under load while they are killed and stopped, and PostgreSQL with them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import psycopg
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep.auth.v1 import auth_service_pb2_grpc as auth_grpc
from lockstep.commerce.v1 import cart_service_pb2 as cart_pb
from lockstep.commerce.v1 import cart_service_pb2_grpc as cart_grpc
from lockstep.commerce.v1 import order_service_pb2 as order_pb
from lockstep.commerce.v1 import order_service_pb2_grpc as order_grpc
from lockstep_clients import LockstepError, bearer, connect

from services.auth.settings import AuthSettings
from services.cli.postgres import EmbeddedPostgres
from services.cli.reconciler import compare
from services.commerce.settings import CommerceSettings
from services.common.settings import CommonSettings
from services.kernel.ids import new_id
from services.profile.settings import ProfileSettings
from tests.commerce.world import KEPT
from tests.commerce.world import SCRIPT as INVARIANTS
from tests.faults.traders import AWAY_SECONDS, PASSWORD, STOCK, Market
from tests.faulty import Process, started
from tests.ports import free_port
from tests.profile.world import SCRIPT as RECOMPUTE
from tests.profile.world import SYSTEM_BALANCES
from tests.unfinished_sagas import until_settled

SETTINGS: dict[str, type[CommonSettings]] = {
    "auth": AuthSettings,
    "profile": ProfileSettings,
    "commerce": CommerceSettings,
}
REPLICAS = 2
WELCOME = 100_000
PATIENCE_SECONDS = 60.0
# This replica of each service is stopped now and then, but never killed: what grows shows.
SPARED = 0

# Less than the server allows a session that idles in a transaction.
REST_SECONDS_MAX = 30.0

_SHARES = """
SELECT coalesce(sum(CASE kind WHEN 'sale' THEN amount ELSE -amount END), 0)
  FROM transfers WHERE kind IN ('sale', 'sale_refund')
"""

_SESSIONS = """
SELECT count(*), count(*) FILTER (WHERE state LIKE 'idle in transaction%%') FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""

_FUND = """
WITH top AS (
  INSERT INTO transfers (id, kind, state, debit_account_id, credit_account_id, amount, reference,
    fingerprint)
  SELECT gen_random_uuid(), 'top_up', 'posted', '00000000-0000-8000-8000-000000000001', id, %(m)s,
    '', 'f' FROM accounts WHERE user_id = %(u)s RETURNING credit_account_id)
UPDATE accounts SET balance = balance + %(m)s WHERE id IN (SELECT credit_account_id FROM top)
"""


@dataclass(frozen=True, slots=True)
class Size:
    """What a replica holds at an instant.

    Attributes:
        tasks: Of its event loop.
        sessions: At its service's database, those of the other replica too.
        in_transactions: How many of them are in a transaction.
        sockets: Open ones.
        mebibytes: Resident memory.
    """

    tasks: int
    sessions: int
    in_transactions: int
    sockets: int
    mebibytes: int


@dataclass
class History:
    """What clients were told, and counted."""

    counts: Counter[str] = field(default_factory=Counter)
    registered: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    paid: set[str] = field(default_factory=set)
    cancelled: set[str] = field(default_factory=set)


@dataclass
class Soak:
    """Two replicas of each service, and who hurts them."""

    server: EmbeddedPostgres
    home: Path
    keys: Path
    dice: random.Random
    history: History = field(default_factory=History)
    ports: dict[str, list[int]] = field(default_factory=dict)
    living: dict[tuple[str, int], Process] = field(default_factory=dict)
    stacks: dict[tuple[str, int], contextlib.AsyncExitStack] = field(default_factory=dict)
    product: UUID = field(default_factory=new_id)
    staff: Any = ()
    market: Market = field(init=False)
    # Nothing is measured while PostgreSQL restarts.
    postgres: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        """Open the market."""
        self.market = Market(self)

    @property
    def urls(self) -> dict[str, str]:
        return {name: self.server.url(f"{name}db") for name in SETTINGS}

    @property
    def addresses(self) -> dict[str, str]:
        """The addresses of the replicas of each service."""
        return {
            name: ",".join(f"127.0.0.1:{port}" for port in ports)
            for name, ports in self.ports.items()
        }

    def sql(self, service: str, statement: str, **parameters: Any) -> list[Any]:
        with psycopg.connect(self.urls[service], autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    async def _ask(self, service: str, statement: str) -> list[Any]:
        return await asyncio.to_thread(self.sql, service, statement)

    def settings(self, service: str) -> CommonSettings:
        """Tell a service where the replicas of the others are."""
        targets: dict[str, Any] = {f"{name}_address": at for name, at in self.addresses.items()}
        extra: dict[str, Any] = {f"{service}_database_url": self.urls[service]}
        if service == "commerce":
            extra["commission_bps"] = 1000
        if service == "auth":
            extra |= {"bcrypt_cost": 4, "smtp_url": "smtp://127.0.0.1:1"}
        return SETTINGS[service](
            env="test", home=self.home, keys=self.keys, address_limits=False, **targets, **extra
        )

    async def start(self, service: str, number: int) -> None:
        """Start a replica, at the same place as before."""
        stack = contextlib.AsyncExitStack()
        address = f"127.0.0.1:{self.ports[service][number]}"
        process = await stack.enter_async_context(
            started(service, self.settings(service), self.home / "log", listen_on=address)
        )
        self.living[service, number] = process
        self.stacks[service, number] = stack

    async def restart(self, service: str, number: int) -> None:
        """Kill a replica and start it again."""
        self.living.pop((service, number))
        await self.stacks.pop((service, number)).aclose()
        await self.start(service, number)

    async def employ(self) -> None:
        """Let an administrator log in, who ships and takes back."""
        async with connect(f"127.0.0.1:{self.ports['auth'][SPARED]}") as channel:
            auth = auth_grpc.AuthServiceStub(channel)
            staff = auth_pb.RegisterRequest(
                email="staff@example.com",
                password=PASSWORD,
                full_name="Grace Hopper",
                course="Compilers",
            )
            user = (await auth.Register(staff, wait_for_ready=True)).user
            self.sql(
                "auth",
                "INSERT INTO roles (id, name) VALUES (gen_random_uuid(), 'admin')"
                " ON CONFLICT DO NOTHING",
            )
            self.sql(
                "auth",
                "UPDATE users SET role_id = (SELECT id FROM roles WHERE name = 'admin')"
                " WHERE id = %(u)s",
                u=user.id,
            )
            self.history.registered.add(user.id)
            login = auth_pb.LoginRequest(email=staff.email, password=PASSWORD)
            self.staff = bearer((await auth.Login(login)).token)

    def prepare(self) -> None:
        """Put something up for sale."""
        self.sql(
            "commerce",
            "INSERT INTO categories (id, name, description) VALUES (%(c)s, 'Things', '')",
            c=self.product,
        )
        self.sql(
            "commerce",
            "INSERT INTO products (id, category_id, name, description, price, stock, image_url)"
            " VALUES (%(p)s, %(p)s, 'Thing', '', 500, %(stock)s, '')",
            p=self.product,
            stock=STOCK,
        )

    # --- those who want something

    async def tell(self, kind: str, call: Callable[[], Awaitable[Any]]) -> tuple[str, Any]:
        """Make a call and count how it ended: ok, refused (it did not happen) or unknown."""
        try:
            answer = await call()
        except LockstepError as error:
            unknown = {"", "DATABASE_UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL"}
            promising = error.reason not in unknown and not error.reason.endswith("_IN_PROGRESS")
            ended, answer = ("refused" if promising else "unknown"), error.reason
        else:
            ended = "ok"
        self.history.counts["requests"] += 1
        self.history.counts[ended] += 1
        self.history.counts[f"{kind} {ended}"] += 1
        return ended, answer

    async def join(
        self, auth: Any, request: auth_pb.RegisterRequest, key: Any = ()
    ) -> tuple[str, Any]:
        """Register and log in; return the user's id, and a proof if both succeeded."""
        ended, answer = await self.tell("register", lambda: auth.Register(request, metadata=key))
        if ended == "refused" and answer == "PROFILE_UNAVAILABLE":
            self.history.refused.add(request.email)
        if ended != "ok":
            return "", ()
        user_id = answer.user.id
        self.history.registered.add(user_id)
        login = auth_pb.LoginRequest(email=request.email, password=request.password)
        ended, tokens = await self.tell("login", lambda: auth.Login(login))
        return user_id, bearer(tokens.token) if ended == "ok" else ()

    async def leave(self, kind: str, auth: Any, user_id: str, proof: Any) -> None:
        """Delete one's account, and the money in its wallet with it."""
        delete = auth_pb.DeleteUserRequest(user_id="me", forfeit_balance=True)
        ended, _ = await self.tell(kind, lambda: auth.DeleteUser(delete, metadata=proof))
        if ended != "refused":
            self.history.registered.discard(user_id)
        if ended == "ok":
            self.history.deleted.add(user_id)

    async def live(self, number: int, until: float) -> None:
        """Be one client after the other."""
        at = self.addresses
        async with connect(at["auth"]) as auth, connect(at["commerce"]) as commerce:
            turn = 0
            while time.monotonic() < until:
                turn += 1
                before = self.history.counts["ok"]
                with contextlib.suppress(psycopg.OperationalError):
                    await self._visit(f"c{number}.{turn}@example.com", auth, commerce)
                if self.history.counts["ok"] == before:  # nobody gets anything: come back later
                    await asyncio.sleep(AWAY_SECONDS)

    async def trade(self, number: int, until: float) -> None:
        """Be one brand after the other."""
        async with connect(self.addresses["auth"]) as auth:
            await self.market.trade(number, until, auth)

    async def _visit(self, email: str, auth_channel: Any, commerce_channel: Any) -> None:
        auth = auth_grpc.AuthServiceStub(auth_channel)
        request = auth_pb.RegisterRequest(
            email=email, password=PASSWORD, full_name="Ada Lovelace", course="Analysis"
        )
        user_id, proof = await self.join(auth, request, (("idempotency-key", email),))
        if not proof:
            return
        await asyncio.to_thread(self.sql, "profile", _FUND, u=user_id, m=WELCOME)
        await self._shop(commerce_channel, proof)
        if self.dice.random() < 0.3:
            await self.leave("delete", auth, user_id, proof)

    async def _shop(self, channel: Any, proof: Any) -> None:
        carts, orders = cart_grpc.CartServiceStub(channel), order_grpc.OrderServiceStub(channel)
        product, seller = self.market.choose()
        add = cart_pb.AddCartItemRequest(product_id=product, quantity=2)
        ended, _ = await self.tell("add", lambda: carts.AddCartItem(add, metadata=proof))
        if ended != "ok":
            return
        keyed = (*proof, ("idempotency-key", str(new_id())))
        place = order_pb.PlaceOrderRequest()
        ended, order = await self.tell("order", lambda: orders.PlaceOrder(place, metadata=keyed))
        if ended != "ok":
            return
        if self.dice.random() < 0.5:
            await self.market.refund(orders, proof, seller, order)
        elif self.dice.random() < 0.5:
            cancel = order_pb.CancelOrderRequest(order_id=order.id)
            ended, _ = await self.tell("cancel", lambda: orders.CancelOrder(cancel, metadata=proof))
            if ended == "ok":
                self.history.cancelled.add(order.id)
        else:
            self.history.paid.add(order.id)

    # --- who hurts them

    async def hurt(self, service: str, until: float) -> None:
        """Kill one replica of a service, stop either, and restart the database of all."""
        shares = (6, 4, 2 if service == "auth" else 0)
        while time.monotonic() + 4.0 < until:
            await asyncio.sleep(self.dice.uniform(0.3, 1.5))
            what = self.dice.choices(("kill", "stop", "postgres"), shares)[0]
            number = self.dice.randrange(REPLICAS) if what == "stop" else REPLICAS - 1
            self.history.counts["faults"] += 1
            self.history.counts[f"faults {what}"] += 1
            if what == "kill":
                await self.restart(service, number)
            elif what == "stop":
                process = self.living[service, number]
                process.signal(signal.SIGSTOP)
                await asyncio.sleep(self.dice.uniform(0.2, 3.0))
                process.signal(signal.SIGCONT)
            else:
                async with self.postgres:
                    await asyncio.to_thread(self._restart_postgres)

    def _restart_postgres(self) -> None:
        process = self.server._process
        assert process is not None
        process.send_signal(signal.SIGQUIT)  # `pg_ctl stop -m immediate`
        process.wait(30)
        self.server.start()

    # --- and in the end

    async def settle(self) -> None:
        """Let leases run out, and wait until no saga is unfinished."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            for name in ("auth", "commerce"):
                await until_settled(partial(self._ask, name))

    def check(self) -> None:
        """Check every promise and every invariant."""
        history = self.history
        assert compare(self.urls) == []
        users = {
            str(row[0]): row[1:] for row in self.sql("auth", "SELECT id, status, email FROM users")
        }
        assert {row[0] for row in users.values()} <= {"ACTIVE"}
        profiles = {str(row[0]) for row in self.sql("profile", "SELECT user_id FROM profiles")}
        assert profiles == set(users)
        assert history.registered <= set(users)
        assert not history.deleted & set(users)
        assert not history.refused & {row[1] for row in users.values()}
        orders = {
            str(row[0]): row[1] for row in self.sql("commerce", "SELECT id, state FROM orders")
        }
        assert {orders[order_id] for order_id in history.paid} <= {"PAID"}
        assert {orders[order_id] for order_id in history.cancelled} <= {"CANCELLED"}
        assert set(orders.values()) <= {"PAID", "FAILED", "CANCELLED", "FULFILLED"}
        left = self.sql("commerce", "SELECT DISTINCT stock + taken FROM products")
        assert left == [(STOCK,)]
        problems = self.sql("commerce", INVARIANTS.read_text())
        assert problems == [], problems
        self._check_money()
        self.market.check()

    def _check_money(self) -> None:
        """Check that the sales hold what orders keep, less the shares, to the unit."""
        balances = dict(self.sql("profile", SYSTEM_BALANCES))
        ((kept, shares),) = self.sql(
            "commerce",
            f"SELECT coalesce(sum(kept), 0), coalesce(sum(shares), 0) FROM ({KEPT}) AS o",
        )
        assert balances["sales"] == kept - shares
        ((held,),) = self.sql("profile", _SHARES)
        assert held == shares
        assert self.sql("profile", RECOMPUTE.read_text()) == []
        suspense = int(balances["suspense"])
        self.history.counts |= Counter(kept=int(kept), shares=int(shares), suspense=suspense)

    async def sizes(self) -> dict[str, Size]:
        """Measure the replica of each service that nobody kills."""
        async with self.postgres:
            return {name: await self._size(name) for name in SETTINGS}

    async def sizes_at_rest(self, *, tasks_max: Mapping[str, int]) -> dict[str, Size]:
        """Measure between the transactions of those who poll, when the last calls have ended.

        The result of a service that is not at rest in time shows that.
        """
        # gRPC disconnects a closed channel when nothing refers to it any more; until then
        # it watches the health of the services, with two tasks in each.
        gc.collect()
        sizes = await self.sizes()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REST_SECONDS_MAX):
                while any(
                    size.in_transactions or size.tasks > tasks_max[name]
                    for name, size in sizes.items()
                ):
                    await asyncio.sleep(0.05)
                    sizes = await self.sizes()
        return sizes

    async def _size(self, service: str) -> Size:
        process = self.living[service, SPARED]
        seen = psutil.Process(process.process.pid)
        ((sessions, in_transactions),) = self.sql(service, _SESSIONS)
        return Size(
            tasks=await process.tasks(),
            sessions=sessions,
            in_transactions=in_transactions,
            sockets=len(seen.net_connections()),
            mebibytes=seen.memory_info().rss >> 20,
        )


@contextlib.asynccontextmanager
async def soaking(
    server: EmbeddedPostgres, home: Path, keys: Path, *, seed: int
) -> AsyncIterator[Soak]:
    """Start two replicas of each service."""
    soak = Soak(server, home, keys, random.Random(seed))
    soak.ports = {name: [free_port() for _ in range(REPLICAS)] for name in SETTINGS}
    soak.prepare()
    names = [(name, number) for name in SETTINGS for number in range(REPLICAS)]
    try:
        await asyncio.gather(*(soak.start(*name) for name in names))
        await soak.employ()
        yield soak
    finally:
        for stack in soak.stacks.values():
            await stack.aclose()
