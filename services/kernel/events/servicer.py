"""EventService: what has happened in a service, for others."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Sequence
from typing import Final

from google.protobuf.any_pb2 import Any as AnyMessage
from lockstep.events.v1 import event_pb2 as event_pb

from services.kernel.db.database import Database
from services.kernel.events.reader import EventFilter, cursor_after, parse_cursor, read_events
from services.kernel.events.store import EventRow
from services.kernel.events.watching import Watching
from services.kernel.paging import page_size
from services.kernel.rpc.call import Call
from services.kernel.rpc.timestamps import timestamp
from services.kernel.validation import Violations

TYPES_MAX: Final = 50
SUBJECT_MAX: Final = 100
FOREIGN_TYPE: Final = "must be a type of this service's events"
URL_PREFIX: Final = "type.googleapis.com/"


class EventServicer:
    """Serves the events of one service.

    Args:
        database: Its database.
        types: The full names of the types of its events.
    """

    def __init__(self, database: Database, types: Collection[str]) -> None:
        self._database = database
        self._types = types
        self._watching = Watching(database)

    async def ListEvents(
        self,
        request: event_pb.ListEventsRequest,
        call: Call,
    ) -> event_pb.ListEventsResponse:
        """List the events after a cursor."""
        found = await self.list_events(request)
        call.is_idle = not found.events
        return found

    async def list_events(self, request: event_pb.ListEventsRequest) -> event_pb.ListEventsResponse:
        """List them, also for the service itself."""
        wanted = self._filter(request)
        after = parse_cursor(request.after, field="after")
        size = page_size(request.page_size)
        found = await read_events(self._database, after, wanted, limit=size)
        return event_pb.ListEventsResponse(
            events=[message_of(row) for row in found.events],
            next_cursor=str(found.cursor),
            more=found.more,
        )

    async def WatchEvents(
        self,
        request: event_pb.WatchEventsRequest,
        call: Call,
    ) -> AsyncGenerator[event_pb.WatchEventsResponse]:
        """Send the events after a cursor, and then new ones."""
        wanted = self._filter(request)
        after = parse_cursor(request.after, field="after")
        size = page_size(request.page_size)
        async for found in self._watching.watch(after, wanted, call, limit=size):
            yield event_pb.WatchEventsResponse(
                events=[message_of(row) for row in found.events],
                next_cursor=str(found.cursor),
            )

    def _filter(
        self, request: event_pb.ListEventsRequest | event_pb.WatchEventsRequest
    ) -> EventFilter:
        v = Violations()
        subject = v.text(request.subject, "subject", max_length=SUBJECT_MAX)
        check_types(v, request.types, "types", self._types, wrong=FOREIGN_TYPE)
        v.raise_any()
        return EventFilter(tuple(dict.fromkeys(request.types)), subject or "")


def check_types(
    v: Violations, given: Sequence[str], field: str, known: Collection[str], *, wrong: str
) -> None:
    """Check the types of events that somebody wants.

    Args:
        v: Gets what is wrong.
        given: The types.
        field: Their path in the request.
        known: The types that there are.
        wrong: The description of one that there is not.
    """
    if len(given) > TYPES_MAX:
        v.add(field, f"must have at most {TYPES_MAX} entries")
    for place, name in enumerate(given[:TYPES_MAX]):
        if name not in known:
            v.add(f"{field}[{place}]", wrong)


def message_of(row: EventRow) -> event_pb.Event:
    """Write an event as it goes over the wire."""
    return event_pb.Event(
        id=str(row.id),
        type=row.type,
        subject=row.subject,
        create_time=timestamp(row.create_time),
        saga_id="" if row.saga_id is None else str(row.saga_id),
        trace_id=row.trace_id or "",
        payload=AnyMessage(type_url=f"{URL_PREFIX}{row.type}", value=row.payload),
        cursor=str(cursor_after(row)),
    )
