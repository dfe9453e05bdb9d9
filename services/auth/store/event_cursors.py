"""The SQL of the places to which Auth has read the events of each service."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.dialects.postgresql import insert

from services.auth.model import EVENT_CURSORS
from services.kernel.db.database import Reader, Transaction
from services.kernel.db.statement import NoRow, Statement


@dataclass(frozen=True, slots=True)
class ReaderPlace:
    """A reader and the service whose events it reads."""

    reader: str
    source: str


@dataclass(frozen=True, slots=True)
class _Cursor:
    cursor: str


@dataclass(frozen=True, slots=True)
class _Begun:
    begin_time: datetime


@dataclass(frozen=True, slots=True)
class _Move:
    reader: str
    source: str
    old: str
    new: str


_AT = (
    EVENT_CURSORS.c.reader == bindparam("reader"),
    EVENT_CURSORS.c.source == bindparam("source"),
)
_GET = Statement(select(EVENT_CURSORS.c.cursor).where(*_AT), ReaderPlace, _Cursor)
_BEGUN = Statement(select(EVENT_CURSORS.c.begin_time).where(*_AT), ReaderPlace, _Begun)
_BEGIN = Statement(
    insert(EVENT_CURSORS)
    .values(reader=bindparam("reader"), source=bindparam("source"), cursor="")
    .on_conflict_do_nothing(),
    ReaderPlace,
    NoRow,
)
# Of two processes that have read the same events, one moves the cursor.
_MOVE = Statement(
    update(EVENT_CURSORS)
    .where(*_AT, EVENT_CURSORS.c.cursor == bindparam("old"))
    .values(cursor=bindparam("new")),
    _Move,
    NoRow,
)
_FORGET = Statement(delete(EVENT_CURSORS).where(*_AT), ReaderPlace, NoRow)


async def get(reader: Reader, place: ReaderPlace) -> str | None:
    """Return a reader's cursor; None when it has read nothing yet."""
    row = await reader.first(_GET, place)
    return None if row is None else row.cursor


async def begin_time(tx: Transaction, place: ReaderPlace) -> datetime:
    """Return when a reader whose cursor is locked has begun, by Auth's clock."""
    (row,) = await tx.all(_BEGUN, place)
    return row.begin_time


async def begin(tx: Transaction, place: ReaderPlace) -> None:
    """Let a reader begin with the first event that is kept."""
    await tx.execute(_BEGIN, place)


async def move(tx: Transaction, place: ReaderPlace, *, old: str, new: str) -> bool:
    """Move a cursor, and lock it; False when another process has moved it."""
    return await tx.execute(_MOVE, _Move(place.reader, place.source, old, new)) == 1


async def forget(tx: Transaction, place: ReaderPlace) -> None:
    """Forget a reader's cursor, so that it begins anew one day."""
    await tx.execute(_FORGET, place)
