"""The SQL of events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    LargeBinary,
    Text,
    Uuid,
    bindparam,
    cast,
    func,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert

from services.kernel.db.cleaner import Cleanup, removal, row_place
from services.kernel.db.database import Reader, Transaction
from services.kernel.db.statement import NoParameters, NoRow, Statement
from services.kernel.db.tables import (
    EVENT_HEAD,
    EVENTS,
    SEQUENCED,
    UNSEQUENCED,
    clock_once,
    seconds_since,
)

KEPT_DAYS = 7


@dataclass(frozen=True, slots=True)
class NewEvents:
    """Events that are to be written, in order: the first id belongs to the first type, and so on.

    Attributes:
        ids: The ids; a second event with the same id is not written.
        types: The full names of the messages of the payloads.
        subjects: The things that they happened to, such as `users/` and an id.
        payloads: The messages, encoded.
    """

    ids: list[UUID]
    types: list[str]
    subjects: list[str]
    payloads: list[bytes]
    saga_id: UUID | None
    trace_id: str | None


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event that has its number."""

    sequence: int
    id: UUID
    type: str
    subject: str
    saga_id: UUID | None
    trace_id: str | None
    payload: bytes
    create_time: datetime


@dataclass(frozen=True, slots=True)
class KeptEvents:
    """What a service keeps, and the event at one number.

    Attributes:
        head: The last number that was given; 0 before the first.
        first: The first number that is still kept; None without any event.
        event_id: The event at the number; None if there is no such event, or no longer.
    """

    head: int
    first: int | None
    event_id: UUID | None


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many events wait for their number, and how long the oldest has waited."""

    events: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class Head:
    """The last number that was given."""

    sequence: int


@dataclass(frozen=True, slots=True)
class _ByNumber:
    sequence: int


@dataclass(frozen=True, slots=True)
class _EventBatch:
    head: int
    limit: int


@dataclass(frozen=True, slots=True)
class _HeadChange:
    count: int


@dataclass(frozen=True, slots=True)
class _EventsPage:
    after: int
    upto: int
    types: list[str] | None
    limit: int


@dataclass(frozen=True, slots=True)
class _EventsOfSubject:
    subject: str
    after: int
    upto: int
    types: list[str] | None
    limit: int


@dataclass(frozen=True, slots=True)
class _Waiting:
    waits: int


_new = (
    func.unnest(
        bindparam("ids", type_=ARRAY(Uuid)),
        bindparam("types", type_=ARRAY(Text)),
        bindparam("subjects", type_=ARRAY(Text)),
        bindparam("payloads", type_=ARRAY(LargeBinary)),
    )
    .table_valued("id", "type", "subject", "payload", with_ordinality="number", name="new")
    .render_derived()
)
_written = [_new.c.id, _new.c.type, _new.c.subject, _new.c.payload]
# An event draws its `place` after the sort, so two events of one subject keep their order.
_INSERT = Statement(
    insert(EVENTS)
    .from_select(
        [*(each.key for each in _written), "saga_id", "trace_id"],
        select(
            *_written,
            cast(bindparam("saga_id", type_=Uuid), Uuid),
            cast(bindparam("trace_id", type_=Text), Text),
        ).order_by(_new.c.number),
    )
    .on_conflict_do_nothing(),
    NewEvents,
    NoRow,
)
_IS_WAITING = Statement(
    select(literal_column("1", BigInteger).label("waits"))
    .select_from(EVENTS)
    .where(UNSEQUENCED)
    .limit(literal_column("1")),
    NoParameters,
    _Waiting,
)
# One sequencer at a time: another that is at work has the lock.
_LOCK_HEAD = Statement(
    select(EVENT_HEAD.c.sequence).with_for_update(skip_locked=True), NoParameters, Head
)
_HEAD = Statement(select(EVENT_HEAD.c.sequence), NoParameters, Head)
_BATCH = (
    select(EVENTS.c.id, EVENTS.c.place)
    .where(UNSEQUENCED)
    .order_by(EVENTS.c.place)
    .limit(bindparam("limit"))
    .subquery("batch")
)
_NUMBERED = select(
    _BATCH.c.id, func.row_number().over(order_by=_BATCH.c.place).label("number")
).subquery("numbered")
_NUMBER = Statement(
    update(EVENTS)
    .where(EVENTS.c.id == _NUMBERED.c.id)
    .values(sequence=bindparam("head", type_=BigInteger) + _NUMBERED.c.number),
    _EventBatch,
    NoRow,
)
_ADVANCE = Statement(
    update(EVENT_HEAD).values(sequence=EVENT_HEAD.c.sequence + bindparam("count")),
    _HeadChange,
    NoRow,
)
_STANDING = Statement(
    select(
        EVENT_HEAD.c.sequence.label("head"),
        select(func.min(EVENTS.c.sequence)).where(SEQUENCED).scalar_subquery().label("first"),
        select(EVENTS.c.id)
        .where(EVENTS.c.sequence == bindparam("sequence"))
        .scalar_subquery()
        .label("event_id"),
    ),
    _ByNumber,
    KeptEvents,
)
_TYPES = bindparam("types", type_=ARRAY(Text))
_ROWS = (
    select(
        EVENTS.c.sequence,
        EVENTS.c.id,
        EVENTS.c.type,
        EVENTS.c.subject,
        EVENTS.c.saga_id,
        EVENTS.c.trace_id,
        EVENTS.c.payload,
        EVENTS.c.create_time,
    )
    .where(
        EVENTS.c.sequence > bindparam("after"),
        EVENTS.c.sequence <= bindparam("upto"),
        or_(_TYPES.is_(None), EVENTS.c.type == func.any(_TYPES)),
    )
    .order_by(EVENTS.c.sequence)
    .limit(bindparam("limit"))
)
_PAGE = Statement(_ROWS, _EventsPage, EventRow)
_PAGE_OF_SUBJECT = Statement(
    _ROWS.where(EVENTS.c.subject == bindparam("subject")), _EventsOfSubject, EventRow
)
# Enough to see that something is stuck; the count of a longer backlog ends there.
_WAITING = select(EVENTS.c.create_time).where(UNSEQUENCED).limit(literal_column("10000")).subquery()
BACKLOG = Statement(
    select(
        func.count().label("events"),
        seconds_since(func.min(_WAITING.c.create_time)).label("oldest_seconds"),
    ).select_from(_WAITING),
    NoParameters,
    Backlog,
)


def old_events(days: int) -> Cleanup:
    """Return the clean-up of the events that are older than this.

    It removes from the first number on, and ends at the first event that is young enough. So
    what is kept has no gap.
    """
    is_old = EVENTS.c.create_time < clock_once(ago=f"{days} days")
    oldest = (
        select(
            row_place(EVENTS).label("place"),
            func.bool_and(is_old).over(order_by=EVENTS.c.sequence).label("is_old"),
        )
        .where(SEQUENCED)
        .order_by(EVENTS.c.sequence)
        .limit(bindparam("limit"))
        .subquery("oldest")
    )
    return Cleanup("events", removal(EVENTS, select(oldest.c.place).where(oldest.c.is_old)))


OLD_EVENTS = old_events(KEPT_DAYS)


async def insert_events(tx: Transaction, new: NewEvents) -> None:
    """Add those events of which there is none with the same id."""
    await tx.execute(_INSERT, new)


async def is_waiting(reader: Reader) -> bool:
    """Return whether any committed event waits for its number."""
    return await reader.first(_IS_WAITING, NoParameters()) is not None


async def lock_head(tx: Transaction) -> int | None:
    """Return the last number that was given; None while another sequencer is at work."""
    head = await tx.first(_LOCK_HEAD, NoParameters())
    return None if head is None else head.sequence


async def number(tx: Transaction, *, head: int, limit: int) -> int:
    """Give the next numbers to events that wait, and return how many got one.

    It must be a later statement than the lock: its snapshot shows all that was numbered before.
    """
    count = await tx.execute(_NUMBER, _EventBatch(head, limit))
    if count:
        await tx.execute(_ADVANCE, _HeadChange(count))
    return count


async def get_head(reader: Reader) -> int:
    """Return the last number that was given; 0 before the first."""
    head = await reader.first(_HEAD, NoParameters())
    assert head is not None
    return head.sequence


async def kept_at(reader: Reader, sequence: int) -> KeptEvents:
    """Return what is kept, and the event at a number."""
    found = await reader.first(_STANDING, _ByNumber(sequence))
    assert found is not None
    return found


async def list_events(
    reader: Reader,
    *,
    after: int,
    upto: int,
    types: Sequence[str] = (),
    subject: str = "",
    limit: int,
) -> list[EventRow]:
    """Return events by their numbers, of these types and this subject alone if they are given."""
    wanted = list(types) or None
    if subject:
        return await reader.all(
            _PAGE_OF_SUBJECT, _EventsOfSubject(subject, after, upto, wanted, limit)
        )
    return await reader.all(_PAGE, _EventsPage(after, upto, wanted, limit))
