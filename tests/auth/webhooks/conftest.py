"""An Auth whose webhooks lead to receivers of the tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
from lockstep.auth.v1 import webhook_service_pb2_grpc as webhook_grpc
from lockstep_clients import connect

from services.auth.settings import AuthSettings
from tests.auth.webhooks.hooks import Hooks
from tests.auth.webhooks.receiver import Receiver, receiving
from tests.auth.world import Sink, World, serving_auth


@pytest.fixture
async def world(
    make_settings: Callable[..., AuthSettings], mail: tuple[Sink, int]
) -> AsyncIterator[World]:
    """An Auth whose webhooks may lead to loopback."""
    settings = make_settings(address_limits_factor=30, webhook_private_addresses=True)
    async with serving_auth(settings, mail[0]) as world:
        yield world


@pytest.fixture
async def hooks(world: World) -> AsyncIterator[Hooks]:
    """WebhookService of that Auth."""
    admin = await world.admin("root@example.com")
    # Events of before are not of interest to any test.
    await world.sql("UPDATE events SET create_time = create_time - interval '1 hour'")
    async with connect(f"127.0.0.1:{world.running.port}") as channel:
        yield Hooks(world, admin, webhook_grpc.WebhookServiceStub(channel))


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver of webhooks."""
    async with receiving() as receiver:
        yield receiver
