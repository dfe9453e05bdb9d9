"""Read the events of a service one after the other, and go on where the last run was.

    stub = EventServiceStub(channel)
    async for event in events(stub.ListEvents, FileCursor(Path("orders.cursor"))):
        handle(event)

An event may come again after a crash, with the same id. Events of one subject come in order.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lockstep.events.v1 import event_pb2 as event_pb
from lockstep_clients.errors import DeadlineExceeded, ResourceExhausted, Unavailable

POLL_SECONDS = 0.5
PAUSE_SECONDS = 1.0
PAGE_SIZE = 100

ListEvents = Callable[[event_pb.ListEventsRequest], Awaitable[event_pb.ListEventsResponse]]


class CursorKeeper(Protocol):
    """A place for the cursor, such as a row that your handler commits with its own changes."""

    async def load(self) -> str:
        """Return the cursor; empty before the first event."""

    async def save(self, cursor: str) -> None:
        """Keep the cursor: the events before it are handled."""


@dataclass(frozen=True, slots=True)
class FileCursor:
    """Keeps the cursor in a file."""

    path: Path

    async def load(self) -> str:
        """Return the cursor; empty without a file."""
        return await asyncio.to_thread(self._read)

    async def save(self, cursor: str) -> None:
        """Replace the file. A crash leaves the old one or the new one."""
        await asyncio.to_thread(self._write, cursor)

    def _read(self) -> str:
        try:
            return self.path.read_text().strip()
        except FileNotFoundError:
            return ""

    def _write(self, cursor: str) -> None:
        draft = self.path.with_name(f"{self.path.name}.new")
        with draft.open("w") as file:
            file.write(cursor)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path)


async def events(
    list_events: ListEvents,
    keeper: CursorKeeper,
    *,
    types: Sequence[str] = (),
    subject: str = "",
    poll_seconds: float = POLL_SECONDS,
    pause_seconds: float = PAUSE_SECONDS,
) -> AsyncIterator[event_pb.Event]:
    """Yield the events of a service for ever, from the kept cursor on.

    The cursor after an event is kept when the next one is asked for: then it is handled. While
    the service is down the iterator waits.

    Args:
        list_events: ListEvents of the service's stub.
        keeper: The place for the cursor.
        types: The full names of the types to read; none for all.
        subject: The subject to read; empty for all.
        poll_seconds: The pause when there are no more events.
        pause_seconds: The pause when the service did not answer.

    Raises:
        OutOfRange: Events after the cursor are no longer kept. Read the state anew from the
            services, and keep an empty cursor.
        LockstepError: The service has refused.
    """
    cursor = await keeper.load()
    while True:
        request = event_pb.ListEventsRequest(
            after=cursor, types=types, subject=subject, page_size=PAGE_SIZE
        )
        try:
            page = await list_events(request)
        except (Unavailable, DeadlineExceeded, ResourceExhausted):
            await asyncio.sleep(pause_seconds)
            continue
        for event in page.events:
            yield event
            cursor = event.cursor
            await keeper.save(cursor)
        if page.next_cursor != cursor:
            cursor = page.next_cursor
            await keeper.save(cursor)
        if not page.more:
            await asyncio.sleep(poll_seconds)
