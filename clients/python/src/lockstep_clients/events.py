"""Read the events of a service one after the other, and go on where the last run was.

    stub = EventServiceStub(channel)
    keeper = FileCursor(Path("orders.cursor"))
    async for event in events(stub.ListEvents, keeper, watch_events=stub.WatchEvents):
        handle(event)

An event may come again after a crash, with the same id. Events of one subject come in order.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lockstep.events.v1 import event_pb2 as event_pb
from lockstep_clients.errors import (
    DeadlineExceeded,
    ResourceExhausted,
    Unavailable,
    Unimplemented,
)

POLL_SECONDS = 0.5
PAUSE_SECONDS = 1.0
PAGE_SIZE = 100

ListEvents = Callable[[event_pb.ListEventsRequest], Awaitable[event_pb.ListEventsResponse]]


class WatchCall(Protocol):
    """A call whose answer is a stream of pages."""

    def __aiter__(self) -> AsyncIterator[event_pb.WatchEventsResponse]:
        """Iterate over the pages."""

    def cancel(self) -> bool:
        """End the call."""


WatchEvents = Callable[[event_pb.WatchEventsRequest], WatchCall]


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
            return self.path.read_text("utf-8").strip()
        except FileNotFoundError:
            return ""

    def _write(self, cursor: str) -> None:
        draft = self.path.with_name(f"{self.path.name}.new")
        with draft.open("w", encoding="utf-8") as file:
            file.write(cursor)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path)


async def events(
    list_events: ListEvents,
    keeper: CursorKeeper,
    *,
    watch_events: WatchEvents | None = None,
    types: Sequence[str] = (),
    subject: str = "",
    poll_seconds: float = POLL_SECONDS,
    pause_seconds: float = PAUSE_SECONDS,
) -> AsyncGenerator[event_pb.Event]:
    """Yield the events of a service for ever, from the kept cursor on.

    The cursor after an event is kept when the next one is asked for: then it is handled. While
    the service is down the iterator waits.

    Args:
        list_events: ListEvents of the service's stub.
        keeper: The place for the cursor.
        watch_events: WatchEvents of the stub, by which new events come at once. Without it, or
            at a service that is older, the iterator asks ListEvents again and again.
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
    pages = _Pages(list_events, watch_events, types=types, subject=subject)
    try:
        while True:
            try:
                page = await pages.after(cursor)
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
            if page.is_last:
                await asyncio.sleep(poll_seconds)
    finally:
        pages.close()


@dataclass(frozen=True, slots=True)
class _Page:
    events: Sequence[event_pb.Event]
    next_cursor: str
    is_last: bool


class _Pages:
    """The pages after a cursor: of a watch as long as there is one, otherwise one by one."""

    def __init__(
        self,
        list_events: ListEvents,
        watch_events: WatchEvents | None,
        *,
        types: Sequence[str],
        subject: str,
    ) -> None:
        self._list = list_events
        self._watch = watch_events
        self._types = types
        self._subject = subject
        self._call: WatchCall | None = None
        self._answers: AsyncIterator[event_pb.WatchEventsResponse] | None = None

    async def after(self, cursor: str) -> _Page:
        """Return the next page; the last one of a watch is empty."""
        if self._watch is not None:
            try:
                return await self._watched(self._watch, cursor)
            except Unimplemented:
                self._watch = None
        page = await self._list(
            event_pb.ListEventsRequest(
                after=cursor, types=self._types, subject=self._subject, page_size=PAGE_SIZE
            )
        )
        return _Page(page.events, page.next_cursor, is_last=not page.more)

    def close(self) -> None:
        """End the watch."""
        if self._call is not None:
            self._call.cancel()
        self._call = self._answers = None

    async def _watched(self, watch: WatchEvents, cursor: str) -> _Page:
        is_new = self._answers is None
        if self._answers is None:
            self._call = watch(
                event_pb.WatchEventsRequest(
                    after=cursor, types=self._types, subject=self._subject, page_size=PAGE_SIZE
                )
            )
            self._answers = aiter(self._call)
        try:
            page = await anext(self._answers)
        except StopAsyncIteration:
            self._call = self._answers = None
            # A watch that brought something has come to its usual end, and the next can begin.
            return _Page((), cursor, is_last=is_new)
        except BaseException:
            self.close()
            raise
        return _Page(page.events, page.next_cursor, is_last=False)
