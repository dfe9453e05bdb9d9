"""The signals that ask a process to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal


async def until_stopped() -> None:
    """Wait for SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    await stopped.wait()


async def pause(seconds: float) -> None:
    """Wait, but no longer than until the next SIGTERM or SIGINT."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await until_stopped()
