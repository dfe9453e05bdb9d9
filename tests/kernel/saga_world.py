"""A coordinator and a participant for testing the saga engine: two real databases,
and a wire between them that loses, repeats and delays what it is told to.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import psycopg
import pydantic
from psycopg.rows import namedtuple_row
from pydantic import TypeAdapter
from sqlalchemy import (
    Column,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    bindparam,
    create_engine,
    delete,
    insert,
    make_url,
    select,
    update,
)

from services.kernel.db import tables
from services.kernel.db.database import Database, Observer, Transaction
from services.kernel.db.limits import SessionRules
from services.kernel.db.statement import NoParameters, NoRow, Statement
from services.kernel.errors import AlreadyExists, DomainError, Unavailable
from services.kernel.ids import new_id
from services.kernel.sagas import barrier
from services.kernel.sagas.engine import SagaEngine
from services.kernel.sagas.model import STORED, NewSaga, Outcome, RunningSaga, SagaKind
from services.kernel.sagas.protocol import AnySaga, Deadline, Rejected, ReversibleSaga
from services.kernel.sagas.recovery import POLL_SECONDS
from services.kernel.sagas.store import BySaga

METADATA = tables.new_metadata()
for table in (tables.SAGAS, tables.SAGA_BARRIERS, tables.IDEMPOTENCY):
    table.to_metadata(METADATA)
THINGS = Table(
    "things",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False),
    UniqueConstraint("name"),
)
PARTS = Table("parts", METADATA, Column("saga_id", Uuid, primary_key=True))


@pydantic.dataclasses.dataclass(frozen=True, slots=True, config=STORED)
class ThingPayload:
    """What the saga of a thing knows."""

    name: str


@pydantic.dataclasses.dataclass(frozen=True, slots=True, config=STORED)
class PartMade:
    """The participant's answer."""

    part: UUID


@pydantic.dataclasses.dataclass(frozen=True, slots=True, config=STORED)
class Made:
    """What its caller is told."""

    thing: UUID
    part: UUID


THING = SagaKind("thing", ThingPayload, Made, version=1)
PART_MADE = TypeAdapter(PartMade)


@dataclass(frozen=True, slots=True)
class NewThing:
    thing: UUID
    thing_name: str


@dataclass(frozen=True, slots=True)
class ByThing:
    thing: UUID


@dataclass(frozen=True, slots=True)
class Thing:
    id: UUID
    status: str
    name: str


@dataclass(frozen=True, slots=True)
class Part:
    saga_id: UUID


@dataclass(frozen=True, slots=True)
class SagaLook:
    id: UUID
    state: str


INSERT_THING = Statement(
    insert(THINGS).values(id=bindparam("thing"), name=bindparam("thing_name"), status="PENDING"),
    NewThing,
    NoRow,
)
_PENDING_THING = (THINGS.c.id == bindparam("thing")) & (THINGS.c.status == "PENDING")
ACTIVATE = Statement(update(THINGS).where(_PENDING_THING).values(status="ACTIVE"), ByThing, NoRow)
DELETE_THING = Statement(delete(THINGS).where(_PENDING_THING), ByThing, NoRow)
INSERT_PART = Statement(insert(PARTS).values(saga_id=bindparam("saga_id")), BySaga, NoRow)
DELETE_PART = Statement(delete(PARTS).where(PARTS.c.saga_id == bindparam("saga_id")), BySaga, NoRow)
ALL_THINGS = Statement(select(THINGS.c.id, THINGS.c.status, THINGS.c.name), NoParameters, Thing)
ALL_PARTS = Statement(select(PARTS.c.saga_id), NoParameters, Part)
ALL_SAGAS = Statement(select(tables.SAGAS.c.id, tables.SAGAS.c.state), NoParameters, SagaLook)


class Lost(Exception):
    """The wire gave no answer."""


class TooLate(Unavailable):
    """What callers of this saga are told when time is up."""

    reason = "PROFILE_UNAVAILABLE"
    text = "Not now."


class Refused(AlreadyExists):
    """What the participant says when it refuses."""

    reason = "PHONE_TAKEN"
    text = "Taken."


@dataclass
class Participant:
    """Makes a part for each saga, once."""

    database: Database
    refuses: bool = False
    refusal: type[DomainError] = Refused
    calls: list[str] = field(default_factory=list)

    async def create(self, saga: RunningSaga[ThingPayload]) -> PartMade:
        """Do the branch."""
        self.calls.append("create")

        async def pa(tx: Transaction) -> PartMade:
            async def work() -> PartMade:
                if self.refuses:
                    raise self.refusal
                await tx.execute(INSERT_PART, BySaga(saga.id))
                return PartMade(saga.id)

            return await barrier.once(
                tx,
                saga_id=saga.id,
                branch="part",
                not_after=saga.saga.not_after,
                work=work,
                codec=PART_MADE,
            )

        return await self.database.transact("PA", pa)

    async def cancel(self, saga_id: UUID) -> None:
        """Undo the branch."""
        self.calls.append("cancel")

        async def pc(tx: Transaction) -> None:
            await barrier.cancel(tx, saga_id=saga_id, branch="part")
            await tx.execute(DELETE_PART, BySaga(saga_id))

        await self.database.transact("PC", pc)


Fault = str  # "lose request" | "lose reply" | "late" | "twice"


class Wire:
    """Carries calls to the participant, with a fault for each of the next ones."""

    def __init__(self, participant: Participant) -> None:
        """Carry calls to this participant."""
        self.participant = participant
        self.create_faults: list[Fault] = []
        self.cancel_faults: list[Fault] = []
        self.late: list[Callable[[], Awaitable[PartMade]]] = []
        self.before_create: Callable[[], Awaitable[None]] | None = None
        self.after_create: Callable[[], Awaitable[None]] | None = None

    async def create(self, saga: RunningSaga[ThingPayload]) -> PartMade:
        """Carry a create."""
        if self.before_create is not None:
            await self.before_create()
        fault = self.create_faults.pop(0) if self.create_faults else ""
        if fault == "lose request":
            raise Lost
        if fault == "late":
            self.late.append(lambda: self.participant.create(saga))
            raise Lost
        if fault == "twice":
            both = [self.participant.create(saga) for _ in range(2)]
            replies = await asyncio.gather(*both)
            assert replies[0] == replies[1]
            return replies[0]
        reply = await self.participant.create(saga)
        if self.after_create is not None:
            await self.after_create()
        if fault == "lose reply":
            raise Lost
        return reply

    async def cancel(self, saga: RunningSaga[ThingPayload]) -> None:
        """Carry a cancel."""
        fault = self.cancel_faults.pop(0) if self.cancel_faults else ""
        if fault == "lose request":
            raise Lost
        await self.participant.cancel(saga.id)
        if fault == "twice":
            await self.participant.cancel(saga.id)
        if fault == "lose reply":
            raise Lost


class ThingSaga(ReversibleSaga[ThingPayload, PartMade, Made]):
    """A thing here and a part there, both or neither."""

    kind = THING

    def __init__(self, wire: Wire, *, deadline_seconds: float | None = 5.0) -> None:
        """Ask the participant over this wire."""
        self.wire = wire
        self.deadline = None if deadline_seconds is None else Deadline(deadline_seconds, TooLate)
        self.poisoned = False

    async def forward(self, saga: RunningSaga[ThingPayload]) -> PartMade:
        """Make the part."""
        if self.poisoned:
            raise KeyError("payload")
        try:
            return await self.wire.create(saga)
        except DomainError as error:
            if isinstance(error, Unavailable):
                raise
            raise Rejected(error) from error

    async def complete(
        self, tx: Transaction, saga: RunningSaga[ThingPayload], answer: PartMade
    ) -> Made:
        """Make the thing final."""
        await tx.execute(ACTIVATE, ByThing(saga.user_id))
        return Made(thing=saga.user_id, part=answer.part)

    async def compensate(self, saga: RunningSaga[ThingPayload]) -> None:
        """Unmake the part."""
        await self.wire.cancel(saga)

    async def undo(self, tx: Transaction, saga: RunningSaga[ThingPayload]) -> None:
        """Unmake the thing."""
        await tx.execute(DELETE_THING, ByThing(saga.user_id))


def new_thing(name: str) -> NewSaga[ThingPayload, Made]:
    """Make the saga of a thing."""
    thing = new_id()

    async def insert_thing(tx: Transaction, _saga_id: UUID) -> None:
        await tx.execute(INSERT_THING, NewThing(thing, name))

    return THING.new(ThingPayload(name), user_id=thing, initial_change=insert_thing)


@dataclass
class World:
    """Everything that a test of the engine needs."""

    coordinator_url: str
    coordinator: Database
    participant: Participant
    wire: Wire
    stack: contextlib.AsyncExitStack

    async def engine(
        self,
        *,
        observer: Observer | None = None,
        deadline_seconds: float | None = 5.0,
        clock_offset: str = "0",
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        application: str = "engine",
        poll_seconds: float = POLL_SECONDS,
        more: Sequence[AnySaga] = (),
        own_leases: bool = False,
    ) -> SagaEngine:
        """Make another replica of the coordinator; it recovers nothing until started.

        Args:
            observer: See `Database`.
            deadline_seconds: When its sagas turn back.
            clock_offset: How far ahead its database clock is.
            sleep: How it waits.
            application: How PostgreSQL names its sessions.
            poll_seconds: How often it looks for sagas that are due.
            more: Further kinds of sagas.
            own_leases: Whether its leases have a connection of their own.
        """
        options = f"-c lockstep.clock_offset={clock_offset.replace(' ', chr(92) + ' ')}"
        database, recovery, leases = (
            Database(
                self.coordinator_url,
                name="auth",
                connections=connections,
                observer=observer,
                options=options,
                rules=SessionRules(application_name=application),
            )
            for connections in (4, 2, 1)
        )
        for each in (database, recovery, *([leases] if own_leases else [])):
            await each.open()
            self.stack.push_async_callback(each.close)
        engine = SagaEngine(
            database,
            recovery=recovery,
            leases=leases if own_leases else None,
            sagas=[ThingSaga(self.wire, deadline_seconds=deadline_seconds), *more],
            owner=application,
            sleep=sleep,
            poll_seconds=poll_seconds,
        )
        self.stack.push_async_callback(engine.stop)
        return engine

    async def run(
        self, engine: SagaEngine, name: str = "a", *, saga_id: UUID | None = None
    ) -> Outcome[Made]:
        """Run a saga that makes the thing `name`."""
        new = new_thing(name)
        outcome = await engine.run(new if saga_id is None else replace(new, id=saga_id))
        assert isinstance(outcome, Outcome)
        return outcome

    async def things(self) -> list[str]:
        """Return the status of every thing."""
        return sorted(row.status for row in await self.coordinator.all(ALL_THINGS, NoParameters()))

    async def made(self) -> list[str]:
        """Return the ids of all things."""
        rows = await self.coordinator.all(ALL_THINGS, NoParameters())
        return sorted(str(row.id) for row in rows)

    async def parts(self) -> int:
        """Return how many parts there are."""
        return len(await self.participant.database.all(ALL_PARTS, NoParameters()))

    async def states(self) -> list[str]:
        """Return the state of every saga."""
        return sorted(row.state for row in await self.coordinator.all(ALL_SAGAS, NoParameters()))

    async def settled(self, *, seconds: float = 60.0) -> None:
        """Wait until no saga is unfinished."""
        async with asyncio.timeout(seconds):
            while not set(await self.states()) <= {"DONE", "ABORTED"}:
                pass  # every look asks the database, which lets the others run

    async def agree(self) -> None:
        """Check the invariants of a world at rest."""
        things = await self.things()
        assert "PENDING" not in things
        assert len(things) == await self.parts()

    async def sql(self, statement: str, *parameters: object) -> list[Any]:
        """Run a statement on the coordinator's database."""
        async with await psycopg.AsyncConnection.connect(
            self.coordinator_url, autocommit=True, row_factory=namedtuple_row
        ) as connection:
            cursor = await connection.execute(statement.encode(), parameters or None)
            return await cursor.fetchall() if cursor.description else []

    async def make_due(self) -> None:
        """Let every lease run out."""
        async with await psycopg.AsyncConnection.connect(
            self.coordinator_url, autocommit=True
        ) as connection:
            await connection.execute("UPDATE sagas SET next_run_at = saga_now()")

    async def kill_sessions(self, application: str) -> None:
        """Do to a replica's sessions what the operating system does when it is killed."""
        async with await psycopg.AsyncConnection.connect(
            self.coordinator_url, autocommit=True
        ) as connection:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = %s",
                [application],
            )


@contextlib.asynccontextmanager
async def world(coordinator_url: str, participant_url: str) -> AsyncIterator[World]:
    """Make a world on two databases that have METADATA's tables."""
    async with contextlib.AsyncExitStack() as stack:
        databases = []
        for url in (coordinator_url, participant_url):
            database = Database(url, name="test", connections=4)
            await database.open()
            stack.push_async_callback(database.close)
            databases.append(database)
        participant = Participant(databases[1])
        inner = await stack.enter_async_context(contextlib.AsyncExitStack())
        yield World(coordinator_url, databases[0], participant, Wire(participant), inner)


def create_tables(url: str) -> None:
    """Fill an empty database with METADATA's tables."""
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    METADATA.create_all(engine)
    engine.dispose()


class Stop:
    """An observer that stops whoever reaches an edge, for ever or until released.

    A process that is killed runs no `finally`: it just never goes on.
    """

    def __init__(self, edge: str, *, times: int = 1) -> None:
        """Stop at an edge, the first `times` times."""
        self.edge = edge
        self.times = times
        self.reached = asyncio.Event()
        self.released = asyncio.Event()
        self.seen: list[str] = []

    async def __call__(self, edge: str) -> None:
        """Observe."""
        self.seen.append(edge)
        if edge == self.edge and self.times:
            self.times -= 1
            self.reached.set()
            await self.released.wait()


__all__ = ["Outcome", "Stop", "World", "create_tables", "world"]
