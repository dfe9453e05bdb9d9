"""The relay brings each event into JetStream once, in order, and goes on where the stream ends."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from datetime import datetime
from functools import partial
from typing import Any

import pytest
from google.protobuf.wrappers_pb2 import BoolValue, StringValue
from lockstep.auth.v1 import event_service_pb2_grpc as event_grpc
from lockstep_clients.streams import StreamInterceptor
from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg

from services.common.settings import CommonSettings, SettingsError
from services.kernel.db.database import Database, Transaction
from services.kernel.events.writer import Fact, tell
from services.kernel.ids import new_id
from services.kernel.telemetry.metrics import NO_METER
from services.relay import relay as relaying
from services.relay.access import NatsAccess
from services.relay.broker import NOT_CONNECTED, Broker
from services.relay.process import check_days
from services.relay.relay import Relay
from services.relay.stream import EventStream
from tests import waiting
from tests.kernel.probe import World
from tests.kernel.test_event_reader import TYPE, remove
from tests.kernel.test_events import sequenced, told, write
from tests.relay.broker import Nats, messages, until

STREAM = "LOCKSTEP_AUTH"
COUNTER = NO_METER.create_counter("published")

soon = partial(waiting.until, seconds=30)


class Relays:
    """Starts relays of the probe's events."""

    def __init__(self, w: World, nats: Nats) -> None:
        self._w = w
        self._nats = nats

    def watch(self, request: Any) -> Any:
        stub = event_grpc.EventServiceStub(self._w.channel)
        metadata = tuple(self._w.service("operator").items())
        return _Typed(stub.WatchEvents(request, metadata=metadata, timeout=30))

    @contextlib.asynccontextmanager
    async def one(self, **options: Any) -> AsyncIterator[Relay]:
        broker = Broker(NatsAccess([self._nats.url]), name="test")
        stream = partial(_stream, broker)
        relay = Relay("auth", {TYPE}, self.watch, stream, COUNTER, **options)
        broker.start()
        relay.start()
        try:
            yield relay
        finally:
            await relay.stop()
            await broker.stop()


def _stream(broker: Broker) -> EventStream:
    return EventStream(broker.jetstream(), "auth", kept_days=30, replicas=1)


class _Typed:
    """A call on a channel without interceptors, whose errors are typed as `connect` does."""

    def __init__(self, call: Any) -> None:
        self.cancel = call.cancel
        self._call = call

    async def __aiter__(self) -> AsyncIterator[Any]:
        async def made(*_: object) -> Any:
            return self._call

        details: Any = _Details()
        interceptor = StreamInterceptor(None, None)
        async for page in await interceptor.intercept_unary_stream(made, details, None):
            yield page


class _Details:
    method, timeout, metadata, credentials, wait_for_ready = "/a.B/C", None, None, None, None


@pytest.fixture
def relays(w: World, nats: Nats) -> Relays:
    """Relays between the two."""
    return Relays(w, nats)


def texts(found: list[RawStreamMsg]) -> list[str]:
    return [StringValue.FromString(each.data or b"").value for each in found]


async def test_an_event_has_the_headers_of_cloudevents(
    relays: Relays, database: Database, jetstream: JetStreamContext
) -> None:
    saga_id = new_id()
    await write(database, "a1", saga_id=saga_id)
    await sequenced(database)
    [row] = await told(database)
    async with relays.one():
        [message] = await until(jetstream, STREAM, 1)
    assert (message.subject, texts([message])) == (TYPE, ["a1"])
    headers = dict(message.headers or {})
    assert datetime.fromisoformat(headers.pop("ce-time")) == row.create_time
    assert headers == {
        "ce-specversion": "1.0",
        "ce-id": str(row.id),
        "ce-source": "/lockstep/auth",
        "ce-type": TYPE,
        "ce-subject": "things/a",
        "ce-sagaid": str(saga_id),
        "content-type": "application/protobuf",
        "lockstep-cursor": f"1-{row.id.hex[-8:]}",
        "Nats-Msg-Id": str(row.id),
        "Nats-Expected-Last-Sequence": "0",
    }


async def test_another_relay_goes_on_where_the_stream_ends(
    relays: Relays, database: Database, jetstream: JetStreamContext
) -> None:
    await write(database, *(f"a{number}" for number in range(150)))  # more than a page
    await sequenced(database)
    async with relays.one():
        await until(jetstream, STREAM, 150)
    await write(database, "b1")
    await sequenced(database)
    async with relays.one() as relay:
        found = await until(jetstream, STREAM, 151)
        await soon(lambda: relay.trouble is None and relay.behind_seconds == 0)
    assert texts(found) == [*(f"a{number}" for number in range(150)), "b1"]


async def test_two_relays_bring_each_event_once_and_in_order(
    relays: Relays,
    database: Database,
    jetstream: JetStreamContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relaying, "STANDBY_SECONDS", 0)  # so that they meet as often as they can
    expected = []
    async with relays.one(), relays.one():
        for turn in range(30):
            names = [f"a{turn}-{number}" for number in range(5)]
            await write(database, *names)
            expected += names
            await sequenced(database)
        found = await until(jetstream, STREAM, len(expected))
    assert texts(found) == expected
    assert texts(await messages(jetstream, STREAM)) == expected


async def test_a_relay_that_stands_by_takes_over(
    relays: Relays, database: Database, jetstream: JetStreamContext
) -> None:
    async with relays.one() as second:
        async with relays.one():
            await write(database, "a1")
            await sequenced(database)
            await until(jetstream, STREAM, 1)
        await write(database, "a2")
        await sequenced(database)
        assert texts(await until(jetstream, STREAM, 2)) == ["a1", "a2"]
        await soon(lambda: second.trouble is None)


async def test_a_broker_that_is_down_holds_nobody_and_gets_all_later(
    relays: Relays, database: Database, nats: Nats, jetstream: JetStreamContext
) -> None:
    async with relays.one() as relay:
        await soon(lambda: relay.trouble is None)
        nats.kill()
        began = time.time()
        await write(database, "a1", "a2")
        await sequenced(database)
        await soon(lambda: relay.behind_seconds > 0)
        assert relay.behind_seconds <= time.time() - began + 1
        nats.start()
        assert texts(await until(jetstream, STREAM, 2)) == ["a1", "a2"]
        await soon(lambda: relay.behind_seconds == 0)


async def test_a_relay_without_a_broker_says_so_and_does_not_end(
    relays: Relays, nats: Nats, database: Database, jetstream: JetStreamContext
) -> None:
    nats.kill()
    async with relays.one() as relay:
        await soon(lambda: relay.trouble == "cannot publish the events of auth")
        await write(database, "a1")
        await sequenced(database)
        nats.start()
        assert texts(await until(jetstream, STREAM, 1)) == ["a1"]


async def test_a_stream_that_was_emptied_gets_what_is_kept(
    relays: Relays, database: Database, jetstream: JetStreamContext
) -> None:
    await write(database, "a1", "a2")
    await sequenced(database)
    async with relays.one():
        await until(jetstream, STREAM, 2)
    await jetstream.delete_stream(STREAM)
    async with relays.one():
        assert texts(await until(jetstream, STREAM, 2)) == ["a1", "a2"]


async def test_events_that_are_lost_are_told_until_an_operator_goes_on(
    relays: Relays, database: Database, kernel_url: str, jetstream: JetStreamContext
) -> None:
    await write(database, "a1")
    await sequenced(database)
    async with relays.one():
        await until(jetstream, STREAM, 1)
    await write(database, "a2", "a3")
    await sequenced(database)
    remove(kernel_url, "sequence <= 2")
    async with relays.one() as relay:
        await soon(lambda: "--from-first auth" in (relay.trouble or ""))
        assert relay.behind_seconds > 0
        assert texts(await messages(jetstream, STREAM)) == ["a1"]
    async with relays.one(from_first=True) as relay:
        assert texts(await until(jetstream, STREAM, 2)) == ["a1", "a3"]
        await soon(lambda: relay.trouble is None)


async def test_a_type_of_a_newer_service_gets_a_subject(
    relays: Relays, database: Database, jetstream: JetStreamContext
) -> None:
    async def work(tx: Transaction) -> None:
        await tell(tx, Fact("things/a", BoolValue(value=True)))

    async with relays.one() as relay:
        await soon(lambda: relay.trouble is None)
        await database.transact("change", work)
        await sequenced(database)
        [message] = await until(jetstream, STREAM, 1)
    assert message.subject == "google.protobuf.BoolValue"


async def test_a_lost_connection_is_told(nats: Nats) -> None:
    broker = Broker(NatsAccess([nats.url]), name="test")
    assert broker.trouble == NOT_CONNECTED
    broker.start()
    await soon(lambda: broker.trouble is None)
    nats.kill()
    await soon(lambda: broker.trouble == NOT_CONNECTED)
    nats.start()
    await soon(lambda: broker.trouble is None)
    await broker.stop()


def test_messages_that_would_be_kept_for_too_short_a_time_are_refused() -> None:
    with pytest.raises(SettingsError, match="LOCKSTEP_NATS_KEPT_DAYS"):
        check_days(CommonSettings(events_kept_days=30))


@pytest.mark.parametrize("url", ["http://a:4222", "nats://", "nats://a:4222,", "nats://a:0", "a:1"])
def test_a_url_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="must be URLs"):
        CommonSettings(nats_url=url)
