"""The saga engine: every fault that one coordinator and one participant can meet.

The names in brackets are the rows of the fault matrix in docs/reliability.md.
"""

from __future__ import annotations

import asyncio
import time

import psycopg
import pydantic
import pytest
from lockstep_clients import deadlines

from services.kernel.db.connection import Connection
from services.kernel.db.database import Transaction
from services.kernel.errors import (
    DatabaseUnavailable,
    DeadlineExceeded,
    DomainError,
    RequestInProgress,
)
from services.kernel.ids import new_id
from services.kernel.sagas.engine import SagaEngine
from services.kernel.sagas.lease_store import SagaQueue
from services.kernel.sagas.model import STORED, Nothing, Outcome, RunningSaga, SagaKind
from services.kernel.sagas.protocol import ForwardOnlySaga
from tests.kernel.saga_world import THING, Stop, ThingSaga, World


@pydantic.dataclasses.dataclass(frozen=True, slots=True, config=STORED)
class Count:
    """How often T2 was made when this answer was given."""

    number: int


COUNT = SagaKind("count", Nothing, Count, version=1)


class CountingSaga(ForwardOnlySaga[Nothing, Count]):
    """Its T2 has another answer each time."""

    kind = COUNT

    def __init__(self) -> None:
        """Begin at none."""
        self.number = 0

    async def forward(self, saga: RunningSaga[Nothing]) -> None:
        """Ask nobody."""

    async def complete(self, tx: Transaction, saga: RunningSaga[Nothing]) -> Count:
        """Count."""
        self.number += 1
        return Count(self.number)


async def refused(w: World, engine: SagaEngine, name: str = "a") -> str:
    outcome = await w.run(engine, name)
    with pytest.raises(DomainError) as caught:
        outcome.unwrap()
    return caught.value.reason


async def test_a_saga_that_meets_no_fault_is_done_on_both_sides(w: World) -> None:
    engine = await w.engine()
    result = (await w.run(engine)).unwrap()
    assert [str(result.thing)] == await w.made()
    assert await w.states() == ["DONE"]
    assert await w.things() == ["ACTIVE"]
    assert await w.parts() == 1


@pytest.mark.parametrize("fault", ["lose request", "lose reply", "twice"])
async def test_a_create_that_is_lost_or_doubled_is_repeated_until_it_is_answered(
    w: World, fault: str
) -> None:
    """[R12 R13 R17 R20 R21]"""
    w.wire.create_faults = [fault] * 3
    engine = await w.engine()
    (await w.run(engine)).unwrap()
    assert await w.things() == ["ACTIVE"]
    assert await w.parts() == 1


async def test_a_rejection_undoes_everything_and_cancels_the_rejected_branch_too(w: World) -> None:
    """[R14]"""
    w.participant.refuses = True
    engine = await w.engine()
    assert await refused(w, engine) == "PHONE_TAKEN"
    assert await w.states() == ["ABORTED"]
    assert w.participant.calls == ["create", "cancel"]
    await w.agree()


async def test_a_duplicate_of_a_rejected_create_stays_refused_when_it_comes_after_all(
    w: World,
) -> None:
    """[P3]"""
    w.participant.refuses = True
    w.wire.create_faults = ["late"]
    engine = await w.engine()
    assert await refused(w, engine) == "PHONE_TAKEN"
    w.participant.refuses = False
    with pytest.raises(DomainError) as caught:
        await w.wire.late.pop()()
    assert caught.value.reason == "SAGA_CANCELLED"
    await w.agree()


async def test_when_time_is_up_the_caller_is_told_as_soon_as_the_saga_turned_back(w: World) -> None:
    """[R12 R15]"""
    w.wire.create_faults = ["lose request"] * 1000
    w.wire.cancel_faults = ["lose request"]
    engine = await w.engine(deadline_seconds=0.3)
    assert await refused(w, engine) == "PROFILE_UNAVAILABLE"
    assert await w.states() == ["COMPENSATING"]
    engine.start()
    await w.make_due()
    await w.settled()
    assert await w.things() == []


async def test_a_create_that_arrives_after_the_cancel_is_refused_for_ever(w: World) -> None:
    """[R23 R25 R49]"""
    w.wire.create_faults = ["late"] * 1000
    engine = await w.engine(deadline_seconds=0.2)
    assert await refused(w, engine) == "PROFILE_UNAVAILABLE"
    await w.settled()
    for late in w.wire.late:
        with pytest.raises(DomainError) as caught:
            await late()
        assert caught.value.reason == "SAGA_CANCELLED"
    await w.agree()


async def test_a_create_that_arrives_beyond_not_after_is_refused_without_a_tombstone(
    w: World,
) -> None:
    """[R26 R35]"""
    w.wire.create_faults = ["late"] * 1000
    w.wire.cancel_faults = ["lose request"] * 1000
    engine = await w.engine(deadline_seconds=1.0)
    assert await refused(w, engine) == "PROFILE_UNAVAILABLE"
    with pytest.raises(DomainError) as caught:
        await w.wire.late[0]()
    assert caught.value.reason == "SAGA_CANCELLED"
    assert await w.parts() == 0


@pytest.mark.parametrize("fault", ["lose request", "lose reply", "twice"])
async def test_compensation_is_repeated_until_it_succeeds(w: World, fault: str) -> None:
    """[R40 R42]"""
    w.participant.refuses = True
    w.wire.cancel_faults = [fault] * 2
    engine = await w.engine()
    engine.start()
    waiting = asyncio.create_task(refused(w, engine))
    while w.wire.cancel_faults and fault != "twice":
        await w.make_due()
        await asyncio.sleep(0)
    await w.make_due()
    assert await waiting == "PHONE_TAKEN"
    await w.settled()
    await w.agree()


@pytest.mark.parametrize(
    "edge",
    [
        "auth.T1.commit.acked",
        "auth.T2.statement#1",
        "auth.T2.commit.sent",
        "auth.T2.commit.acked",
    ],
)
async def test_another_replica_finishes_what_a_killed_one_began(w: World, edge: str) -> None:
    """[R10 R27 R30 R47 R48]"""
    stop = Stop(edge)
    killed = await w.engine(observer=stop, application="killed")
    caller = asyncio.create_task(w.run(killed))
    await stop.reached.wait()
    await w.kill_sessions("killed")
    other = await w.engine(application="other")
    await w.make_due()
    other.start()
    await w.settled()
    assert await w.things() == ["ACTIVE"]
    await w.agree()
    caller.cancel()
    stop.released.set()


@pytest.mark.parametrize(
    "edge",
    [
        "auth.T3.statement#1",
        "auth.T3.commit.sent",
        "auth.T3.commit.acked",
        "auth.T4.statement#1",
        "auth.T4.commit.sent",
        "auth.T4.commit.acked",
    ],
)
async def test_another_replica_undoes_what_a_killed_one_was_undoing(w: World, edge: str) -> None:
    """[R34 R43]"""
    w.participant.refuses = True
    stop = Stop(edge)
    killed = await w.engine(observer=stop, application="killed")
    caller = asyncio.create_task(w.run(killed))
    await stop.reached.wait()
    await w.kill_sessions("killed")
    other = await w.engine(application="other")
    await w.make_due()
    other.start()
    await w.settled()
    assert await w.things() == []
    await w.agree()
    caller.cancel()
    stop.released.set()


async def test_nobody_can_finish_what_another_replica_has_turned_back(w: World) -> None:
    """[R28 R32 R50]: a zombie that is resumed before T2 finds the decision made."""
    stop = Stop("auth.T2.statement#1")
    zombie = await w.engine(observer=stop, application="zombie", deadline_seconds=1.0)
    caller = asyncio.create_task(w.run(zombie))
    await stop.reached.wait()
    w.wire.create_faults = ["lose request"] * 1000
    other = await w.engine(application="other", clock_offset="1 hour")
    await w.make_due()
    other.start()
    await asyncio.wait_for(_until(w, {"COMPENSATING", "ABORTED"}), 10)
    stop.released.set()
    with pytest.raises(DomainError) as caught:
        (await caller).unwrap()
    assert caught.value.reason == "PROFILE_UNAVAILABLE"
    await w.settled()
    assert await w.things() == []
    await w.agree()


async def test_a_zombie_that_resumes_before_t4_leaves_a_new_registration_alone(w: World) -> None:
    """[R46 R51]"""
    w.participant.refuses = True
    stop = Stop("auth.T4.statement#1")
    zombie = await w.engine(observer=stop, application="zombie")
    caller = asyncio.create_task(refused(w, zombie))
    await stop.reached.wait()
    await w.kill_sessions("nobody")
    other = await w.engine(application="other")
    await w.make_due()
    other.start()
    await w.settled()
    w.participant.refuses = False
    (await w.run(other)).unwrap()
    stop.released.set()
    assert await caller == "PHONE_TAKEN"
    assert await w.things() == ["ACTIVE"]
    await w.agree()


async def test_a_commit_of_t1_whose_answer_is_lost_is_resolved_by_repeating_it(w: World) -> None:
    """[R9 R36]"""
    cut = Cut(w, "auth.T1.commit.sent", "engine", after_commit=True)
    engine = await w.engine(observer=cut)
    (await w.run(engine)).unwrap()
    assert not raise_after_commit.armed
    assert cut.done
    assert await w.states() == ["DONE"]
    assert await w.things() == ["ACTIVE"]
    await w.agree()


@pytest.mark.parametrize("name", ["T1", "T2"])
async def test_a_connection_lost_before_the_commit_arrives_changes_nothing(
    w: World, name: str
) -> None:
    """[R8 R29 R57]"""
    cut = Cut(w, f"auth.{name}.commit.sent", "engine", after_commit=False)
    engine = await w.engine(observer=cut)
    (await w.run(engine)).unwrap()
    assert cut.done
    await w.agree()
    assert await w.states() == ["DONE"]


async def test_all_get_the_answer_of_the_first_t2_when_it_is_made_twice(w: World) -> None:
    """[R29]"""
    cut = Cut(w, "auth.T2.commit.sent", "engine", after_commit=True)
    engine = await w.engine(observer=cut, more=[CountingSaga()])
    outcome = await engine.run(COUNT.new(Nothing(), user_id=None))
    assert not raise_after_commit.armed
    assert isinstance(outcome, Outcome)
    assert outcome.unwrap() == Count(1)


@pytest.mark.parametrize("name", ["T3", "T4"])
async def test_decisions_of_a_compensation_survive_a_lost_connection(w: World, name: str) -> None:
    """[R33 R45]"""
    w.participant.refuses = True
    cut = Cut(w, f"auth.{name}.commit.sent", "engine", after_commit=False)
    engine = await w.engine(observer=cut)
    engine.start()
    waiting = asyncio.create_task(refused(w, engine))
    await asyncio.wait_for(cut.cut.wait(), 10)
    async with asyncio.timeout(10):
        while not waiting.done():
            await w.make_due()
    assert await waiting == "PHONE_TAKEN"
    await w.agree()


async def test_no_cancel_is_sent_before_the_turn_is_committed(w: World) -> None:
    """[R33]"""
    w.participant.refuses = True
    stop = Stop("auth.T3.commit.sent")
    engine = await w.engine(observer=stop)
    caller = asyncio.create_task(refused(w, engine))
    await stop.reached.wait()
    assert "cancel" not in w.participant.calls
    stop.released.set()
    await caller
    assert w.participant.calls[-1] == "cancel"


async def test_a_caller_that_leaves_ends_the_waiting_and_nothing_else(w: World) -> None:
    """[R11 R31]"""
    entered = asyncio.Event()
    go_on = asyncio.Event()

    async def hold() -> None:
        entered.set()
        await go_on.wait()

    w.wire.before_create = hold
    engine = await w.engine()
    caller = asyncio.create_task(w.run(engine))
    await entered.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    go_on.set()
    await w.settled()
    assert await w.things() == ["ACTIVE"]


async def test_a_caller_whose_deadline_passes_is_told_that_nobody_knows_yet(w: World) -> None:
    """[I5]"""
    go_on = asyncio.Event()
    w.wire.before_create = go_on.wait  # type: ignore[assignment]  # returns True
    engine = await w.engine()
    token = deadlines.current_deadline.set(time.monotonic() + 1.0)
    saga_id = new_id()
    with pytest.raises(DeadlineExceeded):
        await w.run(engine, saga_id=saga_id)
    with pytest.raises(RequestInProgress):
        await engine.attach(THING, saga_id)
    deadlines.current_deadline.reset(token)
    go_on.set()
    (await engine.attach(THING, saga_id)).unwrap()


async def test_too_little_time_refuses_before_anything_is_written(w: World) -> None:
    """[R1]"""
    engine = await w.engine()
    token = deadlines.current_deadline.set(time.monotonic() + 0.05)
    with pytest.raises(DeadlineExceeded):
        await w.run(engine)
    deadlines.current_deadline.reset(token)
    assert await w.states() == []


async def test_an_error_in_the_opening_begins_nothing(w: World) -> None:
    """[R3]"""
    engine = await w.engine()
    (await w.run(engine)).unwrap()
    with pytest.raises(psycopg.errors.UniqueViolation):
        await w.run(engine)
    assert await w.states() == ["DONE"]


async def test_a_database_that_is_gone_is_an_error_and_nothing_is_begun(w: World) -> None:
    """[R8]"""

    async def gone(edge: str) -> None:
        raise psycopg.OperationalError("gone")

    engine = await w.engine(observer=gone)
    with pytest.raises(DatabaseUnavailable):
        await w.run(engine)
    assert await w.states() == []


@pytest.mark.parametrize(("kind", "version"), [("newer", 1), ("thing", 2)])
async def test_a_saga_of_an_unknown_kind_or_version_is_left_alone(
    w: World, kind: str, version: int
) -> None:
    """[R54]"""
    async with await psycopg.AsyncConnection.connect(w.coordinator_url, autocommit=True) as c:
        await c.execute(
            "INSERT INTO sagas (id, kind, version, state, payload, next_run_at)"
            " VALUES (gen_random_uuid(), %s, %s, 'RUNNING', '{}', saga_now())",
            [kind, version],
        )
    engine = await w.engine()
    engine.start()
    (await w.run(engine)).unwrap()
    assert await w.states() == ["DONE", "RUNNING"]


async def test_a_poisoned_saga_is_parked_and_others_go_on(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[R53 R58 R6]"""
    monkeypatch.setattr("services.kernel.sagas.engine.PATIENCE_SECONDS", 0.05)
    engine = await w.engine(deadline_seconds=None, sleep=no_time)
    thing = engine._steps._sagas["thing", 1]
    assert isinstance(thing, ThingSaga)
    thing.poisoned = True
    caller = asyncio.create_task(w.run(engine, "poisoned"))
    engine.start()
    async with asyncio.timeout(20):
        while not await parked(w):
            await w.make_due()
    thing.poisoned = False
    (await w.run(engine, "healthy")).unwrap()
    await w.make_due()
    (await caller).unwrap()
    assert await w.states() == ["DONE", "DONE"]
    assert not await parked(w)


async def test_a_stopping_replica_gives_its_sagas_back_at_once(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[R56]"""
    monkeypatch.setattr("services.kernel.sagas.engine.STOP_GRACE_SECONDS", 0.05)
    never = asyncio.Event()
    entered = asyncio.Event()

    async def hold() -> None:
        entered.set()
        await never.wait()

    w.wire.before_create = hold
    stopping = await w.engine(application="stopping")
    caller = asyncio.create_task(w.run(stopping))
    await entered.wait()
    await stopping.stop()
    [row] = await w.sql("SELECT lease_owner, next_run_at <= saga_now() AS is_due FROM sagas")
    assert tuple(row) == (None, True)
    w.wire.before_create = None
    other = await w.engine(application="other")
    other.start()
    await w.settled()
    assert await w.things() == ["ACTIVE"]
    caller.cancel()


async def test_two_replicas_that_look_at_once_never_take_the_same_saga(w: World) -> None:
    """[R47]"""
    w.wire.create_faults = ["lose request"]
    engines = [await w.engine(application=f"e{n}") for n in range(2)]
    async with await psycopg.AsyncConnection.connect(w.coordinator_url, autocommit=True) as c:
        await c.execute(
            "INSERT INTO sagas (id, kind, state, payload, user_id, next_run_at)"
            " SELECT gen_random_uuid(), 'thing', 'RUNNING', '{}', gen_random_uuid(), saga_now()"
            " FROM generate_series(1, 20)"
        )
    limits = {SagaQueue.FRESH: 8, SagaQueue.TRIED: 8, SagaQueue.PARKED: 8}
    claims = await asyncio.gather(
        *(engine._leases.claim(engine._steps.kinds, limits) for engine in engines for _ in range(3))
    )
    claimed = [row.id for claim in claims for row in claim]
    assert len(claimed) == len(set(claimed)) == 20


async def test_a_caller_is_answered_when_another_replica_ends_its_saga(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[R47]: the driver gave the saga back, so the caller has to watch the row."""
    monkeypatch.setattr("services.kernel.sagas.engine.PATIENCE_SECONDS", 0.1)
    w.wire.create_faults = ["lose request"] * 50
    first = await w.engine(deadline_seconds=None)
    caller = asyncio.create_task(w.run(first))
    async with asyncio.timeout(10):
        while not await w.states() or first._tasks:
            pass
    w.wire.create_faults = []
    second = await w.engine(deadline_seconds=None)
    second.start()
    await w.make_due()
    (await caller).unwrap()
    assert await w.things() == ["ACTIVE"]


async def no_time(seconds: float) -> None:
    await asyncio.sleep(0)


async def parked(w: World) -> bool:
    async with await psycopg.AsyncConnection.connect(w.coordinator_url, autocommit=True) as c:
        cursor = await c.execute("SELECT count(*) FROM sagas WHERE parked_at IS NOT NULL")
        row = await cursor.fetchone()
        return row is not None and row[0] > 0


async def _until(w: World, states: set[str]) -> None:
    while not set(await w.states()) <= states:
        pass  # every look asks the database, which lets the others run


class Cut:
    """Cuts a replica's connections when it reaches an edge, once.

    With `after_commit` the COMMIT is carried out first, as if only its answer was lost.
    """

    def __init__(self, w: World, edge: str, application: str, *, after_commit: bool) -> None:
        self.w, self.edge, self.application = w, edge, application
        self.after_commit = after_commit
        self.done = False
        self.cut = asyncio.Event()

    async def __call__(self, edge: str) -> None:
        if edge != self.edge or self.done:
            return
        self.done = True
        self.cut.set()
        if self.after_commit:
            raise_after_commit.armed = True
            return
        await self.w.kill_sessions(self.application)


class raise_after_commit:  # noqa: N801 - a switch, not a class to use
    armed = False


@pytest.fixture(autouse=True)
def lose_answer_of_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an armed COMMIT happen and break its connection before the answer is read."""
    original = Connection.command

    async def command(self: Connection, text: bytes) -> bytes | None:
        tag = await original(self, text)
        if text == b"COMMIT" and raise_after_commit.armed:
            raise_after_commit.armed = False
            await self.close()
            raise psycopg.OperationalError("the answer was lost")
        return tag

    monkeypatch.setattr(Connection, "command", command)
