"""Ways to number events that look right and are wrong: the oracle finds each of them.

S12 and S13 of the faults' mutants tell too early, and lose an event (see tests/faults/mutants.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

import pytest
from google.protobuf.wrappers_pb2 import StringValue
from sqlalchemy import BigInteger, bindparam, func, select, update

from services.kernel.db.database import Database, Transaction
from services.kernel.db.statement import NoParameters, NoRow, Statement
from services.kernel.db.tables import EVENT_HEAD, EVENTS, UNSEQUENCED
from services.kernel.errors import DomainError
from services.kernel.events import store
from services.kernel.events.reader import Cursor, EventFilter, read_events
from services.kernel.events.sequencer import Sequencer
from services.kernel.events.writer import Fact, tell
from tests.faults.patching import patched

ALL = EventFilter()


@dataclass
class Reader:
    """Goes on from its cursor, and keeps what it has read."""

    database: Database
    texts: list[str] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    cursor: Cursor | None = None

    async def read(self) -> None:
        """Number what waits, and read all that is there."""
        while await Sequencer(self.database).sequence():
            pass
        has_more = True
        while has_more:
            found = await read_events(self.database, self.cursor, ALL, limit=2)
            self.texts += [StringValue.FromString(row.payload).value for row in found.events]
            self.numbers += [row.sequence for row in found.events]
            self.cursor, has_more = found.cursor, found.more


@pytest.fixture(autouse=True)
def _may_tell_twice(told_twice: list[list[str]]) -> Iterator[None]:
    """Let a transaction tell twice here, once before and once after it gets a lock."""
    yield
    told_twice.clear()


async def write(tx: Transaction, text: str) -> None:
    await tell(tx, Fact(f"things/{text[0]}", StringValue(value=text)))


async def play(database: Database) -> list[str]:
    """Write events of two subjects, one of them in a commit that comes late; return what broke."""
    reader = Reader(database)
    has_begun, may_write, has_written, may_commit = (asyncio.Event() for _ in range(4))

    async def late(tx: Transaction) -> None:
        await write(tx, "z1")
        has_begun.set()
        await may_write.wait()
        await write(tx, "a3")  # the subject's lock was another's before
        has_written.set()
        await may_commit.wait()

    async def change(text: str) -> None:
        await database.transact("change", lambda tx: write(tx, text))

    task = asyncio.create_task(database.transact("late", late))
    await has_begun.wait()
    await change("a1")
    await change("a2")
    may_write.set()
    await has_written.wait()
    try:
        await reader.read()
        may_commit.set()
        await task
        await change("a4")
        await reader.read()
    except DomainError as error:
        may_commit.set()
        await task
        return [f"the reader was refused: {error.reason}"]
    return list(broken(reader))


def broken(reader: Reader) -> Iterator[str]:
    """Yield what a reader must never see."""
    written = {"z1", "a1", "a2", "a3", "a4"}
    if missing := written - set(reader.texts):
        yield f"an event was passed over: {sorted(missing)}"
    if len(reader.texts) > len(set(reader.texts)):
        yield "an event came twice"
    if reader.numbers != list(range(1, len(written) + 1)):
        yield f"a gap in the cursor: {reader.numbers}"
    of_one = [text for text in reader.texts if text[0] == "a"]
    if of_one != sorted(of_one):
        yield f"reordered for one subject: {of_one}"


@contextmanager
def number_by_place() -> Iterator[None]:
    """Take the number that was drawn in the transaction, which commits later."""
    newest = select(func.max(EVENTS.c.sequence)).scalar_subquery()
    by_place, advance = (
        Statement(each, NoParameters, NoRow)
        for each in (
            update(EVENTS).where(UNSEQUENCED).values(sequence=EVENTS.c.place),
            update(EVENT_HEAD).values(sequence=newest),
        )
    )

    async def number(tx: Transaction, *, head: int, limit: int) -> int:
        count = await tx.execute(by_place, NoParameters())
        await tx.execute(advance, NoParameters())
        return count

    with patched(store, "number", number):
        yield


@contextmanager
def number_the_newest_first() -> Iterator[None]:
    """Give the numbers of a batch in another order than that of the places."""
    newest_first = func.row_number().over(order_by=EVENTS.c.place.desc())
    numbered = select(EVENTS.c.id, newest_first.label("number")).where(UNSEQUENCED)
    batch = numbered.limit(bindparam("limit")).subquery("numbered")
    statement = Statement(
        update(EVENTS)
        .where(EVENTS.c.id == batch.c.id)
        .values(sequence=bindparam("head", type_=BigInteger) + batch.c.number),
        store._EventBatch,
        NoRow,
    )
    with patched(store, "_NUMBER", statement):
        yield


@contextmanager
def leave_a_number_out() -> Iterator[None]:
    """Advance the head by one more than the events that got a number."""
    original = store.number

    async def number(tx: Transaction, *, head: int, limit: int) -> int:
        return await original(tx, head=head + 1, limit=limit)

    with patched(store, "number", number):
        yield


MUTANTS: dict[str, tuple[Callable[[], AbstractContextManager[None]], str]] = {
    "takes the numbers of places": (number_by_place, "an event was passed over: ['z1']"),
    "numbers the newest first": (number_the_newest_first, "reordered for one subject"),
    "leaves a number out": (leave_a_number_out, "a gap in the cursor"),
}


async def test_the_real_sequencer_breaks_nothing(database: Database) -> None:
    assert await play(database) == []


@pytest.mark.parametrize("name", MUTANTS)
async def test_a_wrong_way_to_number_is_found(database: Database, name: str) -> None:
    applied, expected = MUTANTS[name]
    with applied():
        found = await play(database)
    assert any(expected in text for text in found), found
