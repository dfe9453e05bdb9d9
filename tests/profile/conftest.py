"""Profile for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.profile.world import World, profile_world


@pytest.fixture
async def world(profile_url: str, keys: Path) -> AsyncIterator[World]:
    """A running Profile on a fresh database."""
    async with profile_world(profile_url, keys) as world:
        yield world
