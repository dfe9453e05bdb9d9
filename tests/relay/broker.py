"""A real NATS server, which tests may kill and start anew."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg

from tests.ports import free_port
from tests.waiting import until_found

SERVER = Path(sys.executable).with_name("nats-server")
SECONDS = 30.0


@dataclass
class Nats:
    """A NATS server with JetStream, and a folder for what it keeps.

    Attributes:
        more: More lines of its configuration.
    """

    folder: Path
    more: str = ""
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL of the server."""
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the server."""
        self.folder.mkdir(exist_ok=True)
        configuration = self.folder / "nats.conf"
        configuration.write_text(self.more)
        configuration.chmod(0o600)
        places = ["--store_dir", str(self.folder), "--addr", "127.0.0.1", "--port", str(self.port)]
        self.process = subprocess.Popen(
            [str(SERVER), "--config", str(configuration), "--jetstream", *places],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def kill(self) -> None:
        """Kill the server (SIGKILL)."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    @contextlib.contextmanager
    def running(self) -> Iterator[Self]:
        """Run the server until the context ends."""
        self.start()
        try:
            yield self
        finally:
            self.kill()

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[JetStreamContext]:
        """Connect to the server, as soon as it answers."""
        client = Client()
        await client.connect(
            [self.url], max_reconnect_attempts=-1, reconnect_time_wait=1, error_cb=_ignore
        )
        try:
            yield client.jetstream(timeout=10)
        finally:
            await client.close()


async def _ignore(error: Exception) -> None:
    """Expect errors: the server is killed."""


async def messages(jetstream: JetStreamContext, stream: str) -> list[RawStreamMsg]:
    """Return the messages of a stream, in their order; none of a stream that is missing."""
    try:
        state = (await jetstream.stream_info(stream)).state
    except NatsError:
        return []
    if not state.messages:
        return []
    numbers = range(state.first_seq, state.last_seq + 1)
    return [await jetstream.get_msg(stream, number) for number in numbers]


async def until(jetstream: JetStreamContext, stream: str, count: int) -> list[RawStreamMsg]:
    """Wait until a stream has so many messages, and return them."""
    return await until_found(
        lambda: messages(jetstream, stream), lambda found: len(found) >= count, seconds=SECONDS
    )
