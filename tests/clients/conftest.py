"""A server, and what a test opens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from tests.clients.fake_server import FakeServer


@pytest.fixture
async def opened() -> AsyncIterator[AsyncExitStack]:
    """What a test has opened, closed after it."""
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
async def server(opened: AsyncExitStack) -> FakeServer:
    """One server."""
    return await opened.enter_async_context(FakeServer())
