"""Profile for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from tests.conftest import Databases
from tests.profile.world import World, profile_world


@pytest.fixture(scope="session")
def shared_url(databases: Databases) -> Iterator[str]:
    """One database for all tests here: emptying it is much faster than copying a new one."""
    with ExitStack() as stack:
        yield databases.fresh(stack, "profile")


@pytest.fixture
def profile_url(shared_url: str) -> str:
    """An empty database."""
    with psycopg.connect(shared_url) as connection:
        connection.execute("TRUNCATE profiles, brands, transfers, saga_barriers, idempotency")
        connection.execute("DELETE FROM accounts WHERE kind = 'wallet'")
    return shared_url


@pytest.fixture
async def world(profile_url: str, keys: Path) -> AsyncIterator[World]:
    """A running Profile on an empty database."""
    async with profile_world(profile_url, keys) as world:
        yield world
