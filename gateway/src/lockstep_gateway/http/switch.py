"""The gateway that serves now, and its change to another one without a failed request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from lockstep_gateway.http.app import Gateway
from lockstep_gateway.http.messages import Receive, Scope, Send
from lockstep_gateway.http.pages import Health


class Switch:
    """Pass requests to the gateway of now (ASGI).

    Args:
        gateway: The first gateway.
        ask_anew: Asks anew for what is served, which may change the gateway soon.
    """

    def __init__(self, gateway: Gateway, ask_anew: Callable[[], None] | None = None) -> None:
        self.current = gateway
        self.ask_anew: Final = ask_anew
        self._old: Final[dict[Gateway, asyncio.Task[None]]] = {}

    @property
    def health(self) -> Health:
        """The state of the gateway of now."""
        return self.current.health

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        await self.current(scope, receive, send)

    def turn(self, gateway: Gateway) -> None:
        """Let another gateway take over; the one before it serves its requests to the end."""
        gateway.health.draining = self.health.draining
        old, self.current = self.current, gateway
        self._old[old] = task = asyncio.create_task(_end(old), name="old-gateway")
        task.add_done_callback(lambda _: self._old.pop(old))

    def end_requests(self) -> None:
        """Answer 503 to the requests in flight, because their time is over."""
        for each in (self.current, *self._old):
            each.end_requests()

    async def close(self) -> None:
        """Close all channels."""
        tasks = list(self._old.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(self.current.channels.close(), *tasks, return_exceptions=True)


async def _end(gateway: Gateway) -> None:
    try:
        await gateway.finished()
    finally:
        await gateway.channels.close()
