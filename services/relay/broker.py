"""The connection to NATS, which is made anew as often as it is lost."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

import structlog
from nats.aio.client import Client
from nats.errors import ConnectionClosedError
from nats.errors import Error as NatsError
from nats.js import JetStreamContext

from services.kernel.tasks import BackgroundTask, end
from services.relay.access import NatsAccess

CONNECT_SECONDS: Final = 5
CLOSE_SECONDS: Final = 2.0
RECONNECT_SECONDS: Final = 1
PING_SECONDS: Final = 5
NOT_CONNECTED: Final = "not connected to NATS"

log = structlog.get_logger("lockstep.relay")


class Broker(BackgroundTask):
    """Keeps a connection to NATS.

    Args:
        access: How to connect.
        name: The name of this process there.
    """

    def __init__(self, access: NatsAccess, *, name: str) -> None:
        super().__init__(self._run, name="broker")
        self._access = access
        self._client_name = name
        self._client: Client | None = None
        self._jetstream: JetStreamContext | None = None
        self._is_told = False
        self._has_connected = asyncio.Event()

    async def connected(self, seconds: float) -> None:
        """Wait for the first connection, but not for long: NATS may be down."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._has_connected.wait()

    @property
    def trouble(self) -> str | None:
        """Say why nothing can be published; None: there is a connection."""
        is_connected = self._client is not None and self._client.is_connected
        return None if is_connected else NOT_CONNECTED

    def jetstream(self) -> JetStreamContext:
        """Return the interface to JetStream.

        Raises:
            ConnectionClosedError: There is no connection.
        """
        if self._jetstream is None or self.trouble is not None:
            raise ConnectionClosedError
        return self._jetstream

    async def stop(self) -> None:
        """Close the connection."""
        await end(self._task)

    async def _run(self) -> None:
        while True:
            try:
                await self._serve()
            except Exception:
                log.exception("cannot connect to NATS")
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _serve(self) -> None:
        """Connect, until the connection cannot be made anew."""
        client = self._access.client()
        try:
            await self._connected(client)
        except (NatsError, OSError, TimeoutError) as error:
            await self._on_error(error)
        finally:
            self._client = self._jetstream = None
            await _close(client)

    async def _connected(self, client: Client) -> None:
        """Keep a connection until it cannot be made anew, such as without the right to."""
        closed = asyncio.Event()

        async def on_closed() -> None:
            closed.set()

        await client.connect(
            **self._access.options(),
            name=self._client_name,
            connect_timeout=CONNECT_SECONDS,
            reconnect_time_wait=RECONNECT_SECONDS,
            max_reconnect_attempts=-1,
            ping_interval=PING_SECONDS,
            error_cb=self._on_error,
            disconnected_cb=self._on_disconnected,
            reconnected_cb=self._on_connected,
            closed_cb=on_closed,
        )
        self._client, self._jetstream = client, client.jetstream()
        await self._on_connected()
        await closed.wait()

    async def _on_error(self, error: Exception) -> None:
        """Log the first error of a time without connection: the others are alike."""
        if not self._is_told:
            log.warning(NOT_CONNECTED, error=str(error) or type(error).__name__)
        self._is_told = True

    async def _on_disconnected(self) -> None:
        log.warning("disconnected from NATS")

    async def _on_connected(self) -> None:
        self._is_told = False
        self._has_connected.set()
        log.info("connected to NATS")


async def _close(client: Client) -> None:
    """Close a client, which may not have begun to connect: nats-py has an assertion there."""
    with contextlib.suppress(NatsError, TimeoutError, AssertionError):
        async with asyncio.timeout(CLOSE_SECONDS):
            await client.close()
