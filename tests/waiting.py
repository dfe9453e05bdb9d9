"""Waiting for what nobody announces: the state of another process, a log, a database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

Found = TypeVar("Found")

SECONDS_MAX: Final = 20.0
PAUSE_SECONDS: Final = 0.05


async def until(look: Callable[[], Found], *, seconds: float = SECONDS_MAX) -> Found:
    """Look until what is found is true, and return it.

    Raises:
        TimeoutError: It took too long.
    """

    async def found() -> Found:
        return look()

    return await until_found(found, seconds=seconds)


async def until_found(
    look: Callable[[], Awaitable[Found]],
    is_so: Callable[[Found], object] = bool,
    *,
    seconds: float = SECONDS_MAX,
) -> Found:
    """Look until what is found is as wanted, and return it.

    Raises:
        TimeoutError: It took too long.
    """
    async with asyncio.timeout(seconds):
        while not is_so(found := await look()):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(PAUSE_SECONDS)
    return found


def wait_until(
    look: Callable[[], Found],
    *,
    seconds: float = SECONDS_MAX,
    told: Callable[[], object] = lambda: "it took too long",
) -> Found:
    """Look until what is found is true, and return it; for tests without an event loop.

    Args:
        look: Looks once.
        seconds: The time for all looks.
        told: What the failure tells.
    """
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, told()
        time.sleep(PAUSE_SECONDS)
    return found
