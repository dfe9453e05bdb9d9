"""The Python examples of docs/events.md work as they stand."""

from __future__ import annotations

import asyncio
import textwrap
from pathlib import Path
from typing import Any

import pytest
from lockstep.commerce.v1 import event_service_pb2_grpc
from lockstep.events.v1.commerce_events_pb2 import OrderPaid
from lockstep_clients import ServiceIdentity, connect
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import Header

from services.commerce.events import SERVICE, TYPES
from services.kernel.db.database import Database, Transaction
from services.kernel.events.servicer import EventServicer
from services.kernel.events.writer import Fact, tell
from tests.fences import fences
from tests.kernel.probe import probing
from tests.kernel.test_events import sequenced
from tests.relay.broker import Nats

PAGE = Path(__file__).parents[2] / "docs" / "events.md"
BLOCKS = fences(PAGE.read_text(), "python")
ORDER = "0d4fcf4c-9c0b-4b4c-8a53-3f5b3a0e4c11"


async def run(block: str, names: dict[str, Any], *, until: asyncio.Event) -> None:
    """Run an example, which goes on for ever, until it has printed."""
    lines = block.splitlines()
    imports = [line for line in lines if line.startswith(("from ", "import "))]
    rest = [line for line in lines if line not in imports]
    body = textwrap.indent("\n".join(rest), "    ")
    exec("\n".join([*imports, f"async def example():\n{body}"]), names)
    task = asyncio.create_task(names["example"]())
    async with asyncio.timeout(30):
        printed = asyncio.create_task(until.wait())
        await asyncio.wait([task, printed], return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()
    task.cancel()
    printed.cancel()


def test_there_is_an_example_for_each_way_to_read() -> None:
    assert ["lockstep_clients" in BLOCKS[0], "jetstream" in BLOCKS[1]] == [True, True]


async def test_the_client_prints_the_orders(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    async def work(tx: Transaction) -> None:
        await tell(tx, Fact(f"orders/{ORDER}", OrderPaid(order_id=ORDER, total=1)))

    await database.transact("change", work)
    await sequenced(database)
    printed, shown = asyncio.Event(), list[str]()

    def show(*words: str) -> None:
        shown.append(words[-1])
        printed.set()

    async with probing(more=[(SERVICE, EventServicer(database, TYPES))]) as w:
        identity = ServiceIdentity("operator", w.service_keys["operator"])
        target = f"127.0.0.1:{w.port}"
        async with connect(target, identity=identity, audience="probe") as channel:
            names: dict[str, Any] = {
                "EventServiceStub": event_service_pb2_grpc.EventServiceStub,
                "channel": channel,
                "OrderPaid": OrderPaid,
                "Path": Path,
                "print": show,
            }
            await run(BLOCKS[0], names, until=printed)
    assert shown == [ORDER]


async def test_the_consumer_over_nats_prints_the_orders(
    nats: Nats, jetstream: JetStreamContext
) -> None:
    kind = OrderPaid.DESCRIPTOR.full_name
    await jetstream.add_stream(name="LOCKSTEP_COMMERCE", subjects=[kind])
    await jetstream.publish(
        kind,
        OrderPaid(order_id=ORDER, total=1).SerializeToString(),
        headers={"ce-id": "e1", Header.MSG_ID: "e1"},
    )
    printed, shown = asyncio.Event(), list[tuple[str, ...]]()

    def show(*words: str) -> None:
        shown.append(words)
        printed.set()

    client = Client()
    await client.connect(nats.url)
    try:
        names = {"client": client, "OrderPaid": OrderPaid, "print": show}
        await run(BLOCKS[1], names, until=printed)
    finally:
        await client.close()
    assert shown == [("e1", ORDER)]
