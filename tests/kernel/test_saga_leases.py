"""Leases: short, renewed while a saga is driven, and of no use to a process that has lost one.

The names in brackets are the rows of the fault matrix in docs/reliability.md.
"""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from services.kernel.errors import CommitUnknown
from services.kernel.sagas import leases
from services.kernel.sagas.leases import RENEWAL_SECONDS
from services.kernel.sagas.store import LEASE_SECONDS
from tests.busy import all_connections_taken
from tests.kernel.saga_world import Stop, World


async def held(w: World, owner: str) -> None:
    """Wait until a replica has the lease of the only saga."""
    async with asyncio.timeout(10):
        while not await w.sql("SELECT 1 FROM sagas WHERE lease_owner = %s", owner):
            pass


def hold(w: World) -> tuple[asyncio.Event, asyncio.Event]:
    """Hold the next create up; return the events that it was sent, and that it may arrive."""
    entered, released = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        w.wire.before_create = None
        entered.set()
        await released.wait()

    w.wire.before_create = wait
    return entered, released


class Edges:
    """An observer that counts edges."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def __call__(self, edge: str) -> None:
        self.seen.append(edge)

    @property
    def renewals(self) -> int:
        """The number of transactions that have renewed leases."""
        return self.seen.count("auth.renewal.commit.acked")


async def test_a_saga_that_takes_longer_than_its_lease_stays_with_its_driver(w: World) -> None:
    """[R48]: a renewal is no attempt."""
    entered, released = hold(w)
    slow = await w.engine(application="slow")
    other = await w.engine(application="other", poll_seconds=0.05)
    other.start()
    caller = asyncio.create_task(w.run(slow))
    await entered.wait()
    [begun] = await w.sql("SELECT next_run_at + interval '1 s' AS late FROM sagas")
    async with asyncio.timeout(10):
        while await w.sql("SELECT 1 WHERE saga_now() < %s", begun.late):
            pass
    [row] = await w.sql("SELECT lease_owner, lease_epoch, attempts FROM sagas")
    assert tuple(row) == ("slow", 1, 1)
    released.set()
    (await caller).unwrap()
    assert w.participant.calls == ["create"]


async def test_one_update_renews_all_that_a_process_holds(w: World) -> None:
    edges = Edges()
    engine = await w.engine(observer=edges)
    released = asyncio.Event()
    w.wire.before_create = released.wait  # type: ignore[assignment]  # returns True
    callers = [asyncio.create_task(w.run(engine, f"thing {n}")) for n in range(8)]
    async with asyncio.timeout(10):
        while edges.renewals < 3:
            await w.sql("SELECT 1")
    renewals = edges.renewals
    prolonged = f"next_run_at > create_time + interval '{LEASE_SECONDS + RENEWAL_SECONDS} s'"
    rows = await w.sql(f"SELECT attempts, lease_epoch FROM sagas WHERE {prolonged}")
    assert [tuple(row) for row in rows] == [(1, 1)] * len(callers)
    assert renewals < len(callers)
    released.set()
    await asyncio.gather(*callers)


async def test_a_saga_of_milliseconds_pays_for_no_renewal(w: World) -> None:
    edges = Edges()
    engine = await w.engine(observer=edges)
    (await w.run(engine)).unwrap()
    async with asyncio.timeout(10):
        while engine._leases._renewal is not None:
            await w.sql("SELECT 1")
    assert edges.renewals == 0


async def freeze(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no process renew: as after SIGSTOP, or when the database is out of its reach."""

    async def renew_nothing(self: leases.Leases) -> None:
        pass

    monkeypatch.setattr(leases.Leases, "_renew", renew_nothing)


@pytest.mark.parametrize("answers", [True, False])
async def test_a_holder_that_could_not_renew_decides_nothing_when_another_has_the_lease(
    w: World, monkeypatch: pytest.MonkeyPatch, *, answers: bool
) -> None:
    """[R48 R50]: neither T2 after its answer nor T3 after a refusal."""
    await freeze(w, monkeypatch)
    entered, released = hold(w)
    frozen = await w.engine(application="frozen")
    caller = asyncio.create_task(w.run(frozen))
    await entered.wait()
    stop = Stop("auth.T2.statement#1")
    other = await w.engine(application="other", observer=stop, poll_seconds=0.05)
    other.start()
    await asyncio.wait_for(stop.reached.wait(), 10)
    w.participant.refuses = not answers
    released.set()
    async with asyncio.timeout(10):
        while frozen._leases._held:
            await w.sql("SELECT 1")
    [row] = await w.sql("SELECT state, lease_owner, lease_epoch, attempts FROM sagas")
    assert tuple(row) == ("RUNNING", "other", 2, 2)
    stop.released.set()
    (await caller).unwrap()
    assert await w.states() == ["DONE"]
    await w.agree()


async def test_a_holder_whose_lease_ran_out_unseen_goes_on_with_it(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[R48]: nobody has taken it, so nobody else drives the saga."""
    await freeze(w, monkeypatch)
    w.wire.create_faults = ["lose request"]
    engine = await w.engine(sleep=lambda _: asyncio.sleep(LEASE_SECONDS * 1.1))
    (await w.run(engine)).unwrap()
    [row] = await w.sql("SELECT state, lease_epoch, attempts FROM sagas")
    assert tuple(row) == ("DONE", 1, 1)


async def test_a_holder_that_lost_its_lease_asks_nobody_any_more(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[R48 R49]"""
    await freeze(w, monkeypatch)
    waits = asyncio.Event()

    async def sleep(seconds: float) -> None:
        await waits.wait()

    w.wire.create_faults = ["lose request"]
    frozen = await w.engine(application="frozen", sleep=sleep)
    caller = asyncio.create_task(w.run(frozen))
    await held(w, "frozen")
    stop = Stop("auth.T2.statement#1")
    other = await w.engine(application="other", observer=stop, poll_seconds=0.05)
    other.start()
    await asyncio.wait_for(stop.reached.wait(), 10)
    waits.set()
    async with asyncio.timeout(10):
        while frozen._leases._held:
            await w.sql("SELECT 1")
    assert w.participant.calls == ["create"]  # by the other one
    stop.released.set()
    (await caller).unwrap()


async def test_a_t1_that_was_taken_up_before_its_commit_was_known_is_left_to_the_other(
    w: World,
) -> None:
    """[R9 R48]: its row says who drives it by then."""
    entered = asyncio.Event()
    resumed = asyncio.Event()

    async def lose_t1(edge: str) -> None:
        if edge == "auth.T1.commit.acked" and not entered.is_set():
            entered.set()
            await resumed.wait()
            raise CommitUnknown

    slow = await w.engine(application="slow", observer=lose_t1)
    caller = asyncio.create_task(w.run(slow))
    await entered.wait()
    stop = Stop("auth.T2.statement#1")
    other = await w.engine(application="other", observer=stop, poll_seconds=0.05)
    other.start()
    await asyncio.wait_for(stop.reached.wait(), 10)
    resumed.set()
    async with asyncio.timeout(10):
        while slow._tasks:
            await w.sql("SELECT 1")
    assert w.participant.calls == ["create"]
    stop.released.set()
    (await caller).unwrap()


async def test_leases_are_renewed_when_recovery_has_taken_all_its_connections(w: World) -> None:
    entered, released = hold(w)
    engine = await w.engine(own_leases=True)
    other = await w.engine(application="other", poll_seconds=0.05)
    other.start()
    caller = asyncio.create_task(w.run(engine))
    await entered.wait()
    async with all_connections_taken(engine._recovery):
        [begun] = await w.sql("SELECT next_run_at + interval '1 s' AS late FROM sagas")
        async with asyncio.timeout(10):
            while await w.sql("SELECT 1 WHERE saga_now() < %s", begun.late):
                pass
    [row] = await w.sql("SELECT lease_epoch FROM sagas")
    assert row.lease_epoch == 1
    released.set()
    (await caller).unwrap()


async def test_renewing_goes_on_after_a_renewal_that_failed(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [RuntimeError("a bug"), psycopg.OperationalError("gone")]
    entered, released = hold(w)
    edges = Edges()

    async def fail(edge: str) -> None:
        if ".renewal." in edge and failures:
            raise failures.pop()
        await edges(edge)

    monkeypatch.setattr(leases, "RENEWAL_SECONDS", 0.15)
    engine = await w.engine(observer=fail)
    caller = asyncio.create_task(w.run(engine))
    await entered.wait()
    async with asyncio.timeout(10):
        while edges.renewals < 2:
            await w.sql("SELECT 1")
    assert not failures
    released.set()
    (await caller).unwrap()
