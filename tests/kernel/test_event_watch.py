"""A watch sends events as they come, holds nobody, and ends with its caller's rights."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from lockstep.auth.v1 import event_service_pb2_grpc as event_grpc
from lockstep.events.v1 import event_pb2 as event_pb
from lockstep_clients.errors import LockstepError, OutOfRange, PermissionDenied, from_rpc_error
from structlog.typing import EventDict

from services.auth.events import SERVICE
from services.kernel.db.database import Database
from services.kernel.events import watching
from services.kernel.events.servicer import EventServicer
from services.kernel.rpc import admission
from tests.kernel.probe import World, probing
from tests.kernel.test_event_reader import TYPE, remove
from tests.kernel.test_events import sequenced, write

SECONDS = 20.0


@pytest.fixture
async def w(database: Database) -> AsyncIterator[World]:
    """A server with the events of the kernel's database."""
    async with probing(more=[(SERVICE, EventServicer(database, {TYPE, "Other"}))]) as world:
        yield world


class Watch:
    """A watch whose pages are read one by one."""

    def __init__(self, call: Any) -> None:
        self._pages: AsyncIterator[event_pb.WatchEventsResponse] = aiter(call)
        self.code, self.cancel = call.code, call.cancel

    def __aiter__(self) -> AsyncIterator[event_pb.WatchEventsResponse]:
        return self._pages

    async def read(self) -> event_pb.WatchEventsResponse:
        return await anext(self._pages)


def watch(w: World, after: str = "", *, seconds: float = SECONDS, **wanted: Any) -> Watch:
    metadata = tuple(wanted.pop("metadata", w.service("operator")).items())
    stub = event_grpc.EventServiceStub(w.channel)
    request = event_pb.WatchEventsRequest(after=after, **wanted)
    return Watch(stub.WatchEvents(request, metadata=metadata, timeout=seconds))


def texts(page: event_pb.WatchEventsResponse) -> list[str]:
    return [StringValue.FromString(event.payload.value).value for event in page.events]


async def failure(call: Watch) -> LockstepError:
    try:
        async for _ in call:
            pass
    except grpc.aio.AioRpcError as error:
        return from_rpc_error(error)
    raise AssertionError("ended well")


async def test_a_watch_brings_what_is_there_and_then_what_comes(
    w: World, database: Database
) -> None:
    await write(database, "a1", "a2", "a3")
    await sequenced(database)
    call = watch(w, page_size=2)
    assert texts(await call.read()) == ["a1", "a2"]
    assert texts(await call.read()) == ["a3"]
    for text in ("a4", "a5"):
        await write(database, text)
        await sequenced(database)
        page = await call.read()
        assert texts(page) == [text]
    assert page.next_cursor == page.events[0].cursor
    call.cancel()


async def test_the_first_answer_comes_at_once_without_any_event(w: World) -> None:
    page = await watch(w).read()
    assert (list(page.events), page.next_cursor) == ([], "0")


async def test_the_cursor_moves_although_no_event_is_of_the_type(
    w: World, database: Database
) -> None:
    call = watch(w, types=["Other"])
    first = await call.read()
    await write(database, "a1")
    await sequenced(database)
    page = await call.read()
    assert not page.events
    assert page.next_cursor != first.next_cursor
    call.cancel()


async def test_a_watch_ends_well_before_its_caller_gives_up(w: World) -> None:
    call = watch(w, seconds=1.5)
    assert [list(page.events) async for page in call] == [[]]
    assert await call.code() is grpc.StatusCode.OK


async def test_a_watch_ends_with_its_session(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "ADMIT_SECONDS", 0)
    call = watch(w, metadata=w.user("admin"))
    await call.read()
    w.sessions.roles.clear()
    error = await failure(call)
    assert (error.code, error.reason) == (grpc.StatusCode.UNAUTHENTICATED, "SESSION_ENDED")
    assert w.sessions.asked[-1], "an answer that was cached counts too long"


async def test_a_watch_ends_with_its_callers_role(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "ADMIT_SECONDS", 0)
    call = watch(w, metadata=w.user("admin"))
    await call.read()
    w.sessions.roles.update(dict.fromkeys(w.sessions.roles, "customer"))
    assert (await failure(call)).code is grpc.StatusCode.PERMISSION_DENIED


async def test_services_that_are_not_named_and_users_are_refused(w: World) -> None:
    for metadata in (w.service("profile"), w.user()):
        error = await failure(watch(w, metadata=metadata))
        assert isinstance(error, PermissionDenied) or error.reason == "INVALID_TOKEN"


async def test_what_is_malformed_is_refused_as_a_list_is(w: World) -> None:
    assert (await failure(watch(w, after="x"))).violations[0].field == "after"


async def test_a_watch_whose_cursor_expires_is_told(
    w: World, database: Database, kernel_url: str
) -> None:
    call = watch(w)
    await call.read()
    await write(database, "a1", "a2")
    await sequenced(database)
    remove(kernel_url, "sequence = 1")
    assert isinstance(await failure(call), OutOfRange)


async def test_a_stop_ends_watches_in_good_order_and_admits_no_others(w: World) -> None:
    call = watch(w)
    await call.read()
    stop = asyncio.create_task(w.server.stop(60))
    assert [page async for page in call] == []
    assert await call.code() is grpc.StatusCode.OK
    await stop  # the rest of the grace is not waited for
    assert (await failure(watch(w))).code is grpc.StatusCode.UNAVAILABLE


async def test_watchers_who_read_nothing_hold_nobody(w: World, database: Database) -> None:
    for _ in range(10):  # more than what the transport keeps for a reader
        await write(database, *("a" + 100_000 * "x" for _ in range(10)))
    await sequenced(database)
    slow = [watch(w, page_size=20, seconds=3.0) for _ in range(8)]  # the pool has four connections
    async with asyncio.timeout(60):
        quick, seen = watch(w, page_size=20), 0
        while seen < 100:
            seen += len((await quick.read()).events)
        assert await w.call(text="still here", seconds=SECONDS) == "still here"
        await write(database, "b1")
        await sequenced(database)
        assert texts(await quick.read()) == ["b1"]
    codes = await asyncio.gather(*(call.code() for call in slow))
    assert set(codes) == {grpc.StatusCode.DEADLINE_EXCEEDED}
    assert await w.call(text="and later", seconds=SECONDS) == "and later"
    quick.cancel()


async def test_watches_are_counted_apart_from_calls(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    most, watches = admission.STREAMS_MAX, list[Watch]()
    while len(watches) < most:  # more at once than may wait for four connections are refused
        some = [watch(w) for _ in range(most // 2)]
        await asyncio.gather(*(each.read() for each in some))
        watches += some
    error = await failure(watch(w))
    assert (error.code, error.retry_after_seconds) == (grpc.StatusCode.RESOURCE_EXHAUSTED, 1)
    assert await w.call(text="a call") == "a call"
    watches.pop().cancel()
    async with asyncio.timeout(10):
        while True:
            call = watch(w)
            try:
                await call.read()
                break
            except grpc.aio.AioRpcError:
                continue
    for each in (*watches, call):
        each.cancel()


async def test_a_look_for_events_that_finds_none_is_logged_for_debugging_only(
    w: World, database: Database, logged: list[EventDict]
) -> None:
    stub = event_grpc.EventServiceStub(w.channel)
    metadata = tuple(w.service("operator").items())
    await write(database, "a1")
    await sequenced(database)
    after = ""
    for _ in range(2):
        request = event_pb.ListEventsRequest(after=after)
        after = (await stub.ListEvents(request, metadata=metadata)).next_cursor
    calls = [each["log_level"] for each in logged if each["event"] == "call"]
    assert calls == ["info", "debug"]
