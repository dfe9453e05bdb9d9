"""The fixtures of Commerce's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from tests.commerce.world import Shop, shop_world
from tests.conftest import Databases


@pytest.fixture
async def shop(
    commerce_url: str, profile_url: str, keys: Path, tmp_path: Path
) -> AsyncIterator[Shop]:
    """Run a Commerce on a fresh database."""
    async with shop_world(commerce_url, profile_url, keys, tmp_path) as shop:
        yield shop
        shop.check()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_shop(
    databases: Databases, keys: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Shop]:
    """Run one Commerce for all tests of a module; each uses only its own users and products.

    Such a module marks its tests with `asyncio(loop_scope="module")`.
    """
    with ExitStack() as stack:
        urls = databases.fresh(stack, "commerce"), databases.fresh(stack, "profile")
        async with shop_world(*urls, keys, tmp_path_factory.mktemp("shop")) as shop:
            yield shop
            shop.check()
