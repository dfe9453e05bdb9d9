"""The iterator over events goes on where it was, and waits while the service is down."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from lockstep.events.v1 import event_pb2 as event_pb
from lockstep_clients import (
    DeadlineExceeded,
    OutOfRange,
    ResourceExhausted,
    Unavailable,
    Unimplemented,
)
from lockstep_clients.events import FileCursor, events


@dataclass
class Service:
    """Has as many events as its number says, and fails with the errors that are queued."""

    number: int
    errors: list[Exception] = field(default_factory=list)
    asked: list[event_pb.ListEventsRequest] = field(default_factory=list)

    async def list_events(self, request: event_pb.ListEventsRequest) -> event_pb.ListEventsResponse:
        self.asked.append(request)
        if self.errors:
            raise self.errors.pop(0)
        first = int(request.after or 0) + 1
        last = min(first + 1, self.number)  # two a page
        found = [event_pb.Event(id=f"e{n}", cursor=str(n)) for n in range(first, last + 1)]
        return event_pb.ListEventsResponse(
            events=found, next_cursor=str(max(last, first - 1)), more=last < self.number
        )


@dataclass
class Memory:
    cursor: str = ""

    async def load(self) -> str:
        return self.cursor

    async def save(self, cursor: str) -> None:
        self.cursor = cursor


async def first(
    service: Service, keeper: Memory | FileCursor, count: int, *, types: tuple[str, ...] = ()
) -> list[str]:
    """Return the ids of the next events; the last of them is not handled."""
    found: list[str] = []
    async for event in events(
        service.list_events, keeper, types=types, poll_seconds=0, pause_seconds=0
    ):
        found.append(event.id)
        if len(found) == count:
            break
    return found


async def test_events_come_in_their_order_over_pages() -> None:
    assert await first(Service(5), Memory(), 5) == ["e1", "e2", "e3", "e4", "e5"]


async def test_the_next_run_begins_with_the_event_that_was_not_handled(tmp_path: Path) -> None:
    keeper = FileCursor(tmp_path / "cursor")
    assert await first(Service(5), keeper, 3) == ["e1", "e2", "e3"]
    assert await keeper.load() == "2"
    assert await first(Service(5), keeper, 2) == ["e3", "e4"]
    assert not (tmp_path / "cursor.new").exists()


async def test_a_service_that_is_down_is_asked_again_from_the_same_place() -> None:
    service = Service(3)
    keeper = Memory("1")
    service.errors = [Unavailable(), Unavailable()]
    assert await first(service, keeper, 2) == ["e2", "e3"]
    assert [request.after for request in service.asked] == ["1", "1", "1"]


async def test_a_cursor_that_is_too_old_is_told() -> None:
    service = Service(3, errors=[OutOfRange(reason="CURSOR_EXPIRED")])
    with pytest.raises(OutOfRange):
        await first(service, Memory("1"), 1)


async def test_a_place_without_an_event_is_kept_too() -> None:
    keeper = Memory()
    service = Service(0)

    async def skipping(request: event_pb.ListEventsRequest) -> event_pb.ListEventsResponse:
        if not request.after:  # looked through, and nothing is of this type
            return event_pb.ListEventsResponse(next_cursor="2000", more=True)
        service.number = 2001
        return await service.list_events(request)

    async for event in events(skipping, keeper, types=["lockstep.events.v1.OrderPaid"]):
        assert event.id == "e2001"
        break
    assert keeper.cursor == "2000"


@dataclass
class Watched(Service):
    """Has a watch beside the list: each brings what there is, and then ends as told."""

    watched: list[str] = field(default_factory=list)
    endings: list[Exception] = field(default_factory=list)
    cancelled: int = 0
    is_old: bool = False

    def watch_events(self, request: event_pb.WatchEventsRequest) -> Watch:
        self.watched.append(request.after)
        return Watch(self, int(request.after or 0))


@dataclass
class Watch:
    service: Watched
    last: int

    async def __aiter__(self) -> AsyncIterator[event_pb.WatchEventsResponse]:
        if self.service.is_old:
            raise Unimplemented
        for number in range(self.last + 1, self.service.number + 1):
            event = event_pb.Event(id=f"e{number}", cursor=str(number))
            yield event_pb.WatchEventsResponse(events=[event], next_cursor=str(number))
        if self.service.endings:
            raise self.service.endings.pop(0)
        self.service.number += 2  # before the next watch

    def cancel(self) -> bool:
        self.service.cancelled += 1
        return True


async def watched(service: Watched, keeper: Memory, count: int) -> list[str]:
    found: list[str] = []
    read = events(
        service.list_events,
        keeper,
        watch_events=service.watch_events,
        poll_seconds=0,
        pause_seconds=0,
    )
    async with aclosing(read):
        async for event in read:
            found.append(event.id)
            if len(found) == count:
                break
    return found


async def test_a_watch_that_ends_is_followed_by_another_from_the_last_cursor() -> None:
    service, keeper = Watched(3), Memory()
    assert await watched(service, keeper, 7) == [f"e{number}" for number in range(1, 8)]
    assert service.watched == ["", "3", "5"]
    assert (keeper.cursor, service.asked, service.cancelled) == ("6", [], 1)


async def test_a_watch_that_breaks_is_resumed() -> None:
    service = Watched(2, endings=[Unavailable(), DeadlineExceeded(), ResourceExhausted()])
    assert await watched(service, Memory(), 3) == ["e1", "e2", "e3"]
    assert service.watched == ["", "2", "2", "2", "2"]


async def test_an_older_service_without_watches_is_asked_for_lists() -> None:
    service = Watched(3, is_old=True)
    assert await watched(service, Memory(), 3) == ["e1", "e2", "e3"]
    assert service.watched == [""]


async def test_a_watch_whose_cursor_is_too_old_is_told() -> None:
    with pytest.raises(OutOfRange):
        await watched(Watched(1, endings=[OutOfRange()]), Memory(), 2)
