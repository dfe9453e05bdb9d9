"""The way to PostgreSQL while connections are lost: real sockets, real time, both event loops.

Every call must end in time, with the right result or an error that tells the truth, and
afterwards every connection of the pool must be of use again.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
import uvloop

from services.kernel.db.database import Database, Transaction
from services.kernel.db.limits import LIMITS, TimeLimits
from services.kernel.db.statement import NoParameters
from services.kernel.errors import CommitUnknown, DatabaseUnavailable
from tests.faults.forms import IS_LONG
from tests.faults.proxy import Proxy, proxy_to_socket
from tests.kernel.rows import ALL, HAS, INSERT, RowId, count, fill
from tests.tcp_postgres import TcpPostgres, socket_url

CONNECTIONS = 3
QUICK = TimeLimits(statement_seconds=1.0, margin_seconds=0.5, reconnect_seconds=0.3)
# In the long form the pool also tries to connect again while bytes vanish.
LIMITS_USED, SILENT_SECONDS = (LIMITS, 12.0) if IS_LONG else (QUICK, 0.2)
# Two statements that nobody answers, a turn, and some time for a busy machine.
CALL_SECONDS = 2 * LIMITS_USED.answer_seconds + LIMITS_USED.turn_seconds + 5
RECOVERY_SECONDS = 15.0
KILLS, WORKERS = (25 if IS_LONG else 5), 3

MOMENTS = ("at rest", "in BEGIN", "between statements", "in COMMIT")

Fault = Callable[["Row"], Awaitable[None]]

_ids = itertools.count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TcpPostgres]:
    made = TcpPostgres(tmp_path_factory.mktemp("lost") / "postgres")
    try:
        made.start()
        fill(made.url("postgres"))
        yield made
    finally:
        made.destroy()


@dataclass
class Row:
    """A row of the table: a pool that loses its connections once.

    Attributes:
        moment: When it loses them.
        lose: The fault.
        is_silent: Whether all that the fault does is that bytes vanish.
        session: The name of its sessions at the server.
        number: What its transaction inserts.
    """

    server: TcpPostgres
    proxy: Proxy
    moment: str
    lose: Fault
    is_silent: bool
    number: int = field(default_factory=lambda: next(_ids))
    losing: asyncio.Task[None] | None = None
    lost: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def session(self) -> str:
        return f"row-{self.number}"

    async def play(self, database: Database, expected: set[str]) -> None:
        await use_all(database)
        calls = [outcome_of(database.transact("write", self.work))]
        if self.moment == "at rest":
            await self.strike()
            calls += [outcome_of(count(database)) for _ in range(CONNECTIONS)]
        elif self.moment == "in BEGIN":
            self.strike_in_flight()
        outcomes = await asyncio.gather(*calls)
        assert set(outcomes) <= expected, f"{self.moment}: {outcomes}"
        if self.losing is not None:
            await self.losing
        await use_all(database)
        [found] = await database.all(HAS, RowId(self.number))
        assert (outcomes[0], found.total) not in {("right", 0), ("not committed", 1)}, self.moment

    async def work(self, tx: Transaction) -> None:
        await tx.execute(INSERT, RowId(self.number))
        if self.moment == "between statements" and not self.lost.is_set():
            await self.strike()
        [found] = await tx.all(HAS, RowId(self.number))
        assert found.total == 1

    async def observe(self, edge: str) -> None:
        if self.moment == "in COMMIT" and edge.endswith("write.commit.sent"):
            self.strike_in_flight()

    async def strike(self) -> None:
        if self.is_silent:
            self.strike_in_flight()
        else:
            await self.lose(self)
            self.lost.set()

    def strike_in_flight(self) -> None:
        """Lose the connections when the next bytes are on their way."""
        self.proxy.is_swallowing = True
        self.losing = asyncio.create_task(self._lose_when_swallowed())

    async def _lose_when_swallowed(self) -> None:
        await self.proxy.swallowed.wait()
        if self.is_silent:
            await asyncio.sleep(SILENT_SECONDS)
        self.proxy.is_swallowing = False
        await self.lose(self)
        self.lost.set()


async def end_sessions(row: Row) -> None:
    """End the sessions, as an administrator does."""
    await end(row.server, "application_name = %s", row.session)


async def end(server: TcpPostgres, condition: str, *values: Any) -> None:
    """End sessions, and wait until they have ended."""
    url = server.url("postgres")
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as other:
        await other.execute(
            f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE {condition}",
            values,
        )


class Kill:
    """Kills the server and starts it again, as soon as all rows have got so far."""

    def __init__(self) -> None:
        self.ready = asyncio.Barrier(len(MOMENTS))
        self.is_back = asyncio.Event()

    async def __call__(self, row: Row) -> None:
        if await self.ready.wait() == 0:
            await row.server.kill_and_start()
            self.is_back.set()
        await self.is_back.wait()


async def reset(row: Row) -> None:
    """Reset the connections, as a router does that has lost its state."""
    row.proxy.drop()


async def nothing(row: Row) -> None:
    """Nobody breaks the connections."""


FAULTS: dict[str, Callable[[], Fault]] = {
    "ended": lambda: end_sessions,
    "killed": Kill,
    "reset": lambda: reset,
    "half-open": lambda: nothing,
}


async def outcome_of(call: Awaitable[object]) -> str:
    try:
        async with asyncio.timeout(CALL_SECONDS):
            await call
    except CommitUnknown:
        return "unknown"
    except DatabaseUnavailable:
        return "not committed"
    return "right"


async def use_all(database: Database) -> None:
    """Have every connection of the pool in a transaction at the same time, sooner or later."""

    async def work(tx: Transaction) -> None:
        await count(tx)
        async with asyncio.timeout(LIMITS_USED.turn_seconds):
            await together.wait()

    async with asyncio.timeout(RECOVERY_SECONDS):
        while True:
            together = asyncio.Barrier(CONNECTIONS)
            calls = [database.transact("all", work) for _ in range(CONNECTIONS)]
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            if outcomes == [None] * CONNECTIONS:
                return
            for each in outcomes:
                assert each is None or isinstance(
                    each, TimeoutError | DatabaseUnavailable | asyncio.BrokenBarrierError
                ), each


@contextlib.asynccontextmanager
async def opened(url: str, **options: Any) -> AsyncIterator[Database]:
    database = Database(url, name="test", connections=CONNECTIONS, limits=LIMITS_USED, **options)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


@contextlib.asynccontextmanager
async def proxied(server: TcpPostgres, transport: str) -> AsyncIterator[tuple[Proxy, str]]:
    """Run a proxy before the server; gives the URL of a database behind it."""
    with tempfile.TemporaryDirectory(prefix="lockstep-") as folder:
        own = Path(folder) / ".s.PGSQL.5432" if transport == "unix" else None
        async with proxy_to_socket(server.socket_path, listen_on=own) as proxy:
            url = server.url("postgres").replace(str(server.port), str(proxy.port))
            yield proxy, socket_url(own, "postgres") if own else url


Run = Callable[[Coroutine[Any, Any, None]], None]
on_both_loops = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])


@on_both_loops
@pytest.mark.parametrize("transport", ["tcp", "unix"])
@pytest.mark.parametrize("fault", FAULTS)
def test_calls_end_in_time_and_truly_when_connections_are_lost(
    run: Run, transport: str, fault: str, server: TcpPostgres
) -> None:
    """[R59] At rest, in BEGIN, between statements and in COMMIT."""

    async def table() -> None:
        lose = FAULTS[fault]()
        async with asyncio.TaskGroup() as group:
            for moment in MOMENTS:
                group.create_task(play(moment, lose))

    async def play(moment: str, lose: Fault) -> None:
        async with proxied(server, transport) as (proxy, url):
            row = Row(server, proxy, moment, lose, is_silent=fault == "half-open")
            options = f"-c application_name={row.session}"
            async with opened(url, options=options, observer=row.observe) as database:
                await row.play(database, expected(fault, moment))

    run(table())


def expected(fault: str, moment: str) -> set[str]:
    if moment == "in COMMIT":
        return {"unknown"}
    if fault in ("ended", "reset"):
        return {"right"}
    return {"right", "not committed"}  # it took too long, or the server was not back in time


@on_both_loops
def test_a_session_that_ends_between_two_statements_is_noticed_without_a_proxy(
    run: Run, server: TcpPostgres
) -> None:
    """uvloop calls a reader once at an error of the socket, and never again."""
    tries = 0

    async def work(tx: Transaction) -> int:
        nonlocal tries
        tries += 1
        await count(tx)
        if tries == 1:
            await end(server, "pid = %s", tx.connection.info.backend_pid)
        return await count(tx)

    async def repeated() -> None:
        async with opened(server.url("postgres")) as database, asyncio.timeout(CALL_SECONDS):
            await database.transact("count", work)
            assert tries == 2

    run(repeated())


async def insert(number: int, tx: Transaction) -> None:
    await tx.execute(INSERT, RowId(number))


@dataclass
class Load:
    """Reads and transactions without end, on one pool.

    Attributes:
        rounds: How often each worker got an answer.
    """

    database: Database
    written: set[int] = field(default_factory=set)
    rounds: Counter[str] = field(default_factory=Counter)

    async def read(self, name: str) -> None:
        while True:
            if await outcome_of(count(self.database)) == "right":
                self.rounds[name] += 1
            await asyncio.sleep(0.005)

    async def write(self, name: str) -> None:
        while True:
            number = next(_ids)
            write = self.database.transact("write", partial(insert, number))
            if await outcome_of(write) == "right":
                self.written.add(number)
                self.rounds[name] += 1
            await asyncio.sleep(0.005)

    async def go_on(self) -> None:
        """Wait until every worker has got another answer."""
        self.rounds.clear()
        async with asyncio.timeout(CALL_SECONDS + RECOVERY_SECONDS):
            while len(self.rounds) < 2 * WORKERS:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)


@on_both_loops
def test_a_server_that_is_killed_under_load_leaves_every_loop_alive(
    run: Run, server: TcpPostgres
) -> None:
    async def killed_again_and_again() -> None:
        async with opened(server.url("postgres")) as database:
            load = Load(database)
            works = [load.read(f"reader {n}") for n in range(WORKERS)]
            works += [load.write(f"writer {n}") for n in range(WORKERS)]
            workers = [asyncio.create_task(work) for work in works]
            await load.go_on()
            for _ in range(KILLS):
                await server.kill_and_start()
                await load.go_on()
            for worker in workers:
                worker.cancel()
            await asyncio.wait(workers)
            assert all(worker.cancelled() for worker in workers)
            await use_all(database)
            found = await database.all(ALL, NoParameters())
        numbers = {row.id for row in found}
        assert load.written <= numbers

    run(killed_again_and_again())
