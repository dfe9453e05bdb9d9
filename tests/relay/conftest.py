"""A NATS server, and a service whose events are those of the kernel's database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from nats.js import JetStreamContext

from services.auth.events import SERVICE
from services.kernel.db.database import Database
from services.kernel.events.servicer import EventServicer
from tests.kernel.conftest import database, kernel_template, kernel_url
from tests.kernel.probe import World, probing
from tests.kernel.test_event_reader import TYPE
from tests.relay.broker import Nats

__all__ = ["database", "kernel_template", "kernel_url"]


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[Nats]:
    """A NATS server that runs."""
    with Nats(tmp_path / "nats").running() as server:
        yield server


@pytest.fixture
async def jetstream(nats: Nats) -> AsyncIterator[JetStreamContext]:
    """A connection to it."""
    async with nats.connected() as jetstream:
        yield jetstream


@pytest.fixture
async def w(database: Database) -> AsyncIterator[World]:
    """A service that runs."""
    types = {TYPE, "google.protobuf.BoolValue"}
    async with probing(more=[(SERVICE, EventServicer(database, types))]) as world:
        yield world
