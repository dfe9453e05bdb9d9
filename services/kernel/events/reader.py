"""The reader of events: it goes on from a cursor, and misses nothing without telling.

A cursor is the number of an event, and the end of its id. Numbers have no gap. So a reader has
missed something exactly if the number after its own is no longer kept, or if the number belongs
to another event: then a failover or a backup has taken the history back.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import grpc

from services.kernel.db.database import Database
from services.kernel.errors import DomainError, InvalidField, Violation
from services.kernel.events import store
from services.kernel.events.store import EventRow, KeptEvents

# So many numbers are looked through at once for events of some types.
LOOKED_THROUGH: Final = 2000
TAG_LENGTH: Final = 8

_CURSOR: Final = re.compile(r"([0-9]{1,18})(?:-([0-9a-f]{8}))?")


class CursorExpired(DomainError):
    """Events after the cursor are no longer kept, or the cursor is of another history."""

    code = grpc.StatusCode.OUT_OF_RANGE
    reason = "CURSOR_EXPIRED"
    text = (
        "Events after this cursor are no longer kept. "
        "Read the state anew, then go on without a cursor."
    )


@dataclass(frozen=True, slots=True)
class Cursor:
    """The place after an event.

    Attributes:
        sequence: The number of the event; 0 before the first.
        tag: The end of its id; empty when there is no such event.
    """

    sequence: int
    tag: str = ""

    def __str__(self) -> str:
        """Return the cursor as readers keep it."""
        return f"{self.sequence}-{self.tag}" if self.tag else str(self.sequence)


@dataclass(frozen=True, slots=True)
class EventFilter:
    """The events that a reader wants; without any they are all."""

    types: Sequence[str] = ()
    subject: str = ""


@dataclass(frozen=True, slots=True)
class EventsRead:
    """Events, and the place after all that was looked through.

    Attributes:
        more: Whether there are numbers after that place.
    """

    events: Sequence[EventRow]
    cursor: Cursor
    more: bool


def parse_cursor(text: str, *, field: str) -> Cursor | None:
    """Read a cursor; None for an empty text.

    Raises:
        InvalidField: It is not a cursor.
    """
    if not text:
        return None
    match = _CURSOR.fullmatch(text)
    if match is None:
        raise InvalidField(Violation(field, "must be a cursor that this service has given"))
    return Cursor(int(match[1]), match[2] or "")


def tag_of(event_id: UUID | None) -> str:
    """Return what a cursor holds of the id of its event."""
    return "" if event_id is None else event_id.hex[-TAG_LENGTH:]


def cursor_after(row: EventRow) -> Cursor:
    """Return the cursor after an event."""
    return Cursor(row.sequence, tag_of(row.id))


async def read_events(
    database: Database, after: Cursor | None, wanted: EventFilter, *, limit: int
) -> EventsRead:
    """Return the next events after a cursor, or from the first that is kept.

    Raises:
        CursorExpired: Events after the cursor are no longer kept.
    """
    kept = await store.kept_at(database, 0 if after is None else after.sequence)
    start = Cursor(_horizon(kept)) if after is None else _ensured(after, kept)
    is_filtered = bool(wanted.types or wanted.subject)
    is_bounded = bool(wanted.types) and not wanted.subject
    upto = min(kept.head, start.sequence + LOOKED_THROUGH) if is_bounded else kept.head
    if upto == start.sequence:
        return EventsRead((), start, more=False)
    rows = await store.list_events(
        database,
        after=start.sequence,
        upto=upto,
        types=wanted.types,
        subject=wanted.subject,
        limit=limit,
    )
    if is_filtered:
        end = await _looked_through(
            database, start, rows[-1].sequence if len(rows) == limit else upto
        )
    elif not rows or rows[0].sequence != start.sequence + 1:
        raise CursorExpired  # the clean-up was faster
    else:
        end = cursor_after(rows[-1])
    return EventsRead(rows, end, more=end.sequence < kept.head)


async def _looked_through(database: Database, start: Cursor, end: int) -> Cursor:
    """Return the cursor at a number, if all events since the start were still kept."""
    kept = await store.kept_at(database, end)
    if _horizon(kept) > start.sequence:
        raise CursorExpired
    return Cursor(end, tag_of(kept.event_id))


def _ensured(after: Cursor, kept: KeptEvents) -> Cursor:
    is_another = after.tag and kept.event_id is not None and tag_of(kept.event_id) != after.tag
    if not _horizon(kept) <= after.sequence <= kept.head or is_another:
        raise CursorExpired
    return after


def _horizon(kept: KeptEvents) -> int:
    """Return the number before the first that is kept."""
    return kept.head if kept.first is None else kept.first - 1
