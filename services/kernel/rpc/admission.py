"""Admission: how many calls a server takes at once, and how it ends them when it stops."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from services.kernel.errors import Stopping, TooManyRequests
from services.kernel.rpc.call import Call, Handler, Method

CALLS_MAX: Final = 1000
STREAMS_MAX: Final = 100
RETRY_AFTER_SECONDS: Final = 1.0
QUIET_SECONDS: Final = 0.1
QUIET_POLL_SECONDS: Final = 0.02


class Admission:
    """Admits calls up to a limit. It counts the calls of servicers alone.

    gRPC's own limit counts health checks, too, and answers without a reason. An idle watch of
    the health must not take the place of a call, nor a call that of a health check.

    Args:
        calls_max: The most calls in flight; further ones are refused.
    """

    def __init__(self, calls_max: int = CALLS_MAX) -> None:
        self._calls_max = calls_max
        self._tasks: set[asyncio.Task[object]] = set()
        self._streams: set[asyncio.Task[object]] = set()
        self._leaving = asyncio.Event()
        self._ended: set[asyncio.Task[object]] = set()
        self._last_admitted_at = time.monotonic()

    def layer(self, method: Method, handler: Handler) -> Handler:
        """Refuse the call when too many are in flight.

        Streams are counted apart: callers who take their time must not take the places of calls.
        """
        tasks, most = self._tasks, self._calls_max
        if method.streams:
            tasks, most = self._streams, STREAMS_MAX

        async def handle(call: Call) -> bytes:
            if len(tasks) >= most:
                raise TooManyRequests(retry_after_seconds=RETRY_AFTER_SECONDS)
            if method.streams and self._leaving.is_set():
                raise Stopping
            call.leaving = self._leaving
            task = asyncio.current_task()
            assert task is not None
            self._last_admitted_at = time.monotonic()
            tasks.add(task)
            try:
                return await handler(call)
            except asyncio.CancelledError:
                if task not in self._ended:
                    raise
                task.uncancel()
                raise Stopping from None
            finally:
                tasks.discard(task)
                self._ended.discard(task)

        return handle

    async def quiet(self, seconds: float) -> None:
        """Wait until no call has come for a while, for `seconds` at most.

        While the process itself stood still, calls may have come that nobody has read yet.
        """
        began = looked = time.monotonic()
        while (now := time.monotonic()) - began < seconds:
            stood_still = now - looked >= QUIET_SECONDS / 2
            looked = now
            if not stood_still and now - max(began, self._last_admitted_at) >= QUIET_SECONDS:
                return
            await asyncio.sleep(QUIET_POLL_SECONDS)

    def leave(self) -> None:
        """Let streams come to their end, and admit no others."""
        self._leaving.set()

    def end(self) -> None:
        """End the calls in flight: their callers get UNAVAILABLE."""
        for task in (self._tasks | self._streams) - self._ended:
            self._ended.add(task)
            task.cancel()
