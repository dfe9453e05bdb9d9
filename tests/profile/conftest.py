"""A running Profile for the tests."""

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
    """Return the URL of one database for all tests: to empty it is faster than to copy it."""
    with ExitStack() as stack:
        yield databases.fresh(stack, "profile")


@pytest.fixture
def profile_url(shared_url: str) -> str:
    """Empty the database and return its URL."""
    with psycopg.connect(shared_url) as connection:
        tables = "profiles, brands, transfers, saga_barriers, idempotency, events"
        connection.execute(f"TRUNCATE {tables}".encode())
        connection.execute("DELETE FROM accounts WHERE balance IS NOT NULL")
    return shared_url


@pytest.fixture
async def world(profile_url: str, keys: Path) -> AsyncIterator[World]:
    """Run Profile on an empty database."""
    async with profile_world(profile_url, keys) as world:
        yield world
