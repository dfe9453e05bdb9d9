"""A reader goes on from its cursor, and is told if it has missed something."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from lockstep.events.v1 import event_pb2 as event_pb

from services.kernel.db.database import Database
from services.kernel.errors import InvalidField
from services.kernel.events import reader, store
from services.kernel.events.reader import Cursor, CursorExpired, EventFilter, read_events
from services.kernel.events.servicer import EventServicer
from tests.kernel.test_events import sequenced, write

TYPE = "google.protobuf.StringValue"
ALL = EventFilter()


async def read(
    database: Database,
    after: str = "",
    *,
    size: int = 0,
    types: tuple[str, ...] = (),
    subject: str = "",
) -> event_pb.ListEventsResponse:
    request = event_pb.ListEventsRequest(after=after, page_size=size, types=types, subject=subject)
    servicer = EventServicer(database, {TYPE, "Other"})
    return await servicer.list_events(request)


def texts(page: event_pb.ListEventsResponse) -> list[str]:
    found = []
    for event in page.events:
        value = StringValue()
        assert event.payload.Unpack(value)
        found.append(value.value)
    return found


def remove(url: str, condition: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DELETE FROM events WHERE {condition}".encode())


async def test_pages_follow_each_other_and_the_last_one_says_so(database: Database) -> None:
    await write(database, "a1", "b1", "a2")
    await sequenced(database)
    page = await read(database, size=2)
    assert (texts(page), page.more, page.next_cursor) == (["a1", "b1"], True, page.events[1].cursor)
    page = await read(database, page.next_cursor, size=2)
    assert (texts(page), page.more) == (["a2"], False)
    again = await read(database, page.next_cursor)
    assert (texts(again), again.more, again.next_cursor) == ([], False, page.next_cursor)
    await write(database, "a3")
    await sequenced(database)
    assert texts(await read(database, page.next_cursor)) == ["a3"]


async def test_a_service_without_events_gives_a_cursor_to_go_on_from(database: Database) -> None:
    page = await read(database)
    assert (page.next_cursor, page.more) == ("0", False)
    await write(database, "a1")
    await sequenced(database)
    assert texts(await read(database, page.next_cursor)) == ["a1"]


async def test_a_filter_moves_the_cursor_past_what_it_leaves_out(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "LOOKED_THROUGH", 2)
    await write(database, "a1", "b1", "a2", "b2")
    await sequenced(database)
    page = await read(database, types=("Other",))
    assert (texts(page), page.more, page.next_cursor[:2]) == ([], True, "2-")
    page = await read(database, page.next_cursor, types=("Other",))
    assert (texts(page), page.more, page.next_cursor[:2]) == ([], False, "4-")
    page = await read(database, types=(TYPE,), size=1)
    assert (texts(page), page.more, page.next_cursor[:2]) == (["a1"], True, "1-")
    assert texts(await read(database, subject="things/b")) == ["b1", "b2"]
    assert texts(await read(database, subject="things/b", types=("Other",))) == []


async def test_a_cursor_before_the_first_kept_event_is_told(
    database: Database, kernel_url: str
) -> None:
    await write(database, "a1", "a2", "a3", "a4")
    await sequenced(database)
    cursors = [event.cursor for event in (await read(database)).events]
    remove(kernel_url, "sequence <= 2")
    every: tuple[dict[str, Any], ...] = ({}, {"types": (TYPE,)}, {"subject": "things/a"})
    for filters in every:
        with pytest.raises(CursorExpired):
            await read(database, cursors[0], **filters)
        assert texts(await read(database, cursors[1], **filters)) == ["a3", "a4"]
        assert texts(await read(database, **filters)) == ["a3", "a4"]
    remove(kernel_url, "true")
    assert texts(await read(database, cursors[3])) == []  # nothing was missed
    with pytest.raises(CursorExpired):
        await read(database, cursors[2])
    assert (await read(database)).next_cursor == "4"


async def test_a_cursor_of_another_history_is_told(database: Database) -> None:
    await write(database, "a1", "a2")
    await sequenced(database)
    for wrong in (Cursor(2, "0" * 8), Cursor(3)):  # another event, and one to come
        with pytest.raises(CursorExpired):
            await read_events(database, wrong, ALL, limit=1)


async def test_events_that_go_while_they_are_read_are_told(
    database: Database, kernel_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    list_events = store.list_events

    async def late(*given: Any, **more: Any) -> Any:
        remove(kernel_url, "sequence <= 1")
        return await list_events(*given, **more)

    monkeypatch.setattr(store, "list_events", late)
    for wanted in (ALL, EventFilter(subject="things/a"), EventFilter(types=(TYPE,))):
        remove(kernel_url, "true")
        with psycopg.connect(kernel_url, autocommit=True) as connection:
            connection.execute("UPDATE event_head SET sequence = 0")
        await write(database, "a1", "a2")
        await sequenced(database)
        with pytest.raises(CursorExpired):
            await read_events(database, Cursor(0), wanted, limit=9)


@pytest.mark.parametrize("text", ["x", "-1", "1-", "1-xyz", "1" * 19, "1-0000000G", " 1", "१"])
async def test_what_is_no_cursor_is_refused(database: Database, text: str) -> None:
    with pytest.raises(InvalidField):
        await read(database, text)


async def test_a_type_of_another_service_is_refused(database: Database) -> None:
    with pytest.raises(InvalidField) as caught:
        await read(database, types=(TYPE, "lockstep.events.v1.Misspelt"))
    assert [violation.field for violation in caught.value.violations] == ["types[1]"]
