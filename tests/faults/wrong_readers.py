"""Wrong readers of events: those that mail, and the relay to NATS; see `mutants`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from uuid import UUID

from lockstep.events.v1 import event_pb2 as event_pb
from lockstep_clients import LockstepError
from nats.js.api import Header

from services.auth.readers.event_reader import EventReader
from services.auth.readers.order_mails import PLACE
from services.auth.store import event_cursors, order_mails
from services.kernel.db.database import Transaction
from services.relay.stream import End, EventStream
from tests.faults.patching import patched


def ask_without_end() -> AbstractContextManager[None]:
    original = EventReader.read

    async def read(self: EventReader) -> bool:
        await original(self)
        return True

    return patched(EventReader, "read", read)


def move_the_cursor_first() -> AbstractContextManager[None]:
    async def take(self: EventReader, cursor: str, page: event_pb.ListEventsResponse) -> None:
        async def move(tx: Transaction) -> bool:
            return await event_cursors.move(tx, self.place, old=cursor, new=page.next_cursor)

        async def work(tx: Transaction) -> None:
            await self._handler(tx, page.events)

        if await self._database.transact(self._name, move):
            await self._database.transact(self._name, work)

    return patched(EventReader, "_take", take)


@contextmanager
def move_the_cursor_afterwards() -> Iterator[None]:
    async def take(self: EventReader, cursor: str, page: event_pb.ListEventsResponse) -> None:
        async def work(tx: Transaction) -> None:
            await self._handler(tx, page.events)

        async def move(tx: Transaction) -> None:
            await event_cursors.move(tx, self.place, old=cursor, new=page.next_cursor)

        await self._database.transact(self._name, work)
        await self._database.transact(self._name, move)

    with patched(EventReader, "_take", take), keep_no_marks():
        yield


def keep_no_marks() -> AbstractContextManager[None]:
    async def mark(tx: Transaction, event_ids: Sequence[UUID]) -> set[UUID]:
        return set(event_ids)

    return patched(order_mails, "mark", mark)


def forget_the_cursor() -> AbstractContextManager[None]:
    original = EventReader.read

    async def read(self: EventReader) -> bool:
        try:
            return await original(self)
        except LockstepError:
            await self._change(event_cursors.forget)
            raise

    return patched(EventReader, "read", read)


def mail_the_newest_first() -> AbstractContextManager[None]:
    original = EventReader._take

    async def take(self: EventReader, cursor: str, page: event_pb.ListEventsResponse) -> None:
        if self.place == PLACE:
            page.events.reverse()
        await original(self, cursor, page)

    return patched(EventReader, "_take", take)


# --- the relay


def mark_a_page_with_its_first_event() -> AbstractContextManager[None]:
    original = EventStream.append

    async def append(self: EventStream, events: Sequence[event_pb.Event], end: End) -> End:
        for event in events:
            event.cursor = events[-1].cursor
        return await original(self, events, end)

    return patched(EventStream, "append", append)


def publish_the_newest_first() -> AbstractContextManager[None]:
    original = EventStream.append

    async def append(self: EventStream, events: Sequence[event_pb.Event], end: End) -> End:
        cursors = [event.cursor for event in events]
        newest_first = list(reversed(events))
        for event, cursor in zip(newest_first, cursors, strict=True):
            event.cursor = cursor
        return await original(self, newest_first, end)

    return patched(EventStream, "append", append)


def publish_without_an_id() -> AbstractContextManager[None]:
    return _without(Header.EXPECTED_LAST_SEQUENCE, Header.MSG_ID)


def publish_at_any_place() -> AbstractContextManager[None]:
    return _without(Header.EXPECTED_LAST_SEQUENCE)


def _without(*names: str) -> AbstractContextManager[None]:
    original = EventStream._headers

    def headers(self: EventStream, event: event_pb.Event, last: int) -> dict[str, str]:
        made = original(self, event, last)
        return {name: value for name, value in made.items() if name not in names}

    return patched(EventStream, "_headers", headers)


def keep_the_place_in_the_process() -> AbstractContextManager[None]:
    async def end_of(self: EventStream, sequence: int) -> End:
        return End(sequence, "")

    return patched(EventStream, "_end", end_of)
