"""The frame of a service's process: it opens, composes, serves, and stops in order.

A service says in its `compose` how its parts fit together, without any I/O. Everything
that reaches outside comes to it in `ServiceParts`, so that a test can replace it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from typing import Protocol, TypeVar

import grpc
import uvloop
from google.protobuf.descriptor import ServiceDescriptor
from lockstep_clients import ServiceIdentity, connect
from sqlalchemy import literal, select

from services.common.auth_client import Authentication
from services.common.keys import KeyRing, KeysError
from services.common.settings import CommonSettings, SettingsError, load
from services.kernel.db.cleaner import Cleaner
from services.kernel.db.database import Database, Observer
from services.kernel.db.statement import Limit, NoParameters, NoRow, Statement
from services.kernel.logging import configure
from services.kernel.paging import PageTokens
from services.kernel.rpc.access import Access
from services.kernel.rpc.server import Probe, Server, Servicer
from services.kernel.rpc.tracing import TraceInterceptor
from services.kernel.sagas.engine import POLL_SECONDS, SagaEngine
from services.kernel.sagas.idempotency import RequestKeys
from services.kernel.sagas.protocol import Definition
from services.kernel.signals import until_stopped

RECOVERY_CONNECTIONS = 3
# These services pass on calls of clients, and may name a client's IP.
PROXIES = frozenset({"gateway"})

S = TypeVar("S", bound=CommonSettings)


@dataclass(frozen=True, slots=True)
class PingRow:
    """The answer of a database that works."""

    one: int


_PING = Statement(select(literal(1).label("one")), NoParameters, PingRow)


class Worker(Protocol):
    """A task of its own beside the requests."""

    def start(self) -> None:
        """Begin to work."""

    async def stop(self) -> None:
        """End what is being done, and begin nothing more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceParts:
    """Everything outside a service that it is composed with.

    Attributes:
        keys: The service's own key and the secret of its HMACs.
        database: For requests.
        background: For everything else: the same database, through connections of its own
            in a service that coordinates sagas.
        channel: Opens a channel to a service, by its name.
        owner: Names the process in the leases of its sagas.
        sleep: Waits for some seconds.
        poll_seconds: How often the engine looks for sagas that are due.
    """

    keys: KeyRing
    database: Database
    background: Database
    channel: Callable[[str], grpc.aio.Channel]
    owner: str
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    poll_seconds: float = POLL_SECONDS

    @property
    def page_tokens(self) -> PageTokens:
        """Make page tokens that every replica can read."""
        return PageTokens(self.keys.secret)

    @property
    def request_keys(self) -> RequestKeys:
        """Make request keys that are the same at every replica."""
        return RequestKeys(self.keys.secret)

    def saga_engine(self, definitions: Iterable[Definition]) -> SagaEngine:
        """Return the engine for these kinds of sagas."""
        return SagaEngine(
            self.database,
            recovery=self.background,
            definitions=definitions,
            owner=self.owner,
            sleep=self.sleep,
            poll_seconds=self.poll_seconds,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Composition:
    """The parts of one service, put together.

    Attributes:
        servicers: The servicer of each gRPC service.
        authentication: How the service knows its users.
        cleanups: The statements that remove old rows.
        engine: Drives the sagas of a coordinator.
        workers: Further tasks of the process.
        closing: What is called when everything has stopped.
    """

    servicers: Mapping[ServiceDescriptor, Servicer]
    authentication: Authentication
    cleanups: Sequence[Statement[Limit, NoRow]]
    engine: SagaEngine | None = None
    workers: Sequence[Worker] = ()
    closing: Sequence[Callable[[], None]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The facts about a service that its process needs.

    Attributes:
        name: The service's name.
        database_url: Its database.
        port: The port to listen on.
        targets: The gRPC target of each service that it calls.
        is_coordinator: Whether it has sagas of its own; they get connections of their own.
        database_options: Further options of the connections for requests (libpq).
    """

    name: str
    database_url: str
    port: int
    targets: Mapping[str, str]
    is_coordinator: bool = False
    database_options: str = ""


@dataclass(frozen=True, slots=True)
class Running:
    """A service that is running."""

    port: int
    database: Database
    composition: Composition


@contextlib.asynccontextmanager
async def running(
    frame: Frame,
    settings: CommonSettings,
    compose: Callable[[ServiceParts], Composition],
    *,
    listen_on: str | None = None,
    observer: Observer | None = None,
) -> AsyncIterator[Running]:
    """Run a service until the context ends, then stop it in order.

    Args:
        frame: The facts about it.
        settings: Its settings.
        compose: Puts its parts together.
        listen_on: `host:port`, instead of that of the settings.
        observer: See `Database`.
    """
    keys = KeyRing.load(settings.keys, frame.name)
    database, background = _databases(frame, settings, observer)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(opened(*dict.fromkeys((database, background))))
        composition = compose(
            ServiceParts(
                keys=keys,
                database=database,
                background=background,
                channel=_opener(frame, keys, stack),
                owner=f"{frame.name}@{socket.gethostname()}:{os.getpid()}",
            )
        )
        for close in composition.closing:
            stack.callback(close)
        server = Server(
            list(composition.servicers.items()),
            access=Access(
                service=frame.name,
                keys=composition.authentication.keys,
                sessions=composition.authentication.sessions,
                trusted=keys.trusted,
                proxies=PROXIES,
            ),
            probe=database_probe(database),
        )
        cleaner = Cleaner(background, composition.cleanups)
        engines = () if composition.engine is None else (composition.engine,)
        for worker in (*engines, *composition.workers, cleaner):
            worker.start()
            stack.push_async_callback(worker.stop)
        port = await server.start(listen_on or f"{settings.host}:{frame.port}")
        stack.push_async_callback(server.stop, settings.stop_grace_seconds)
        yield Running(port, database, composition)


def run(
    name: str, settings_class: type[S], running: Callable[[S], AbstractAsyncContextManager[object]]
) -> None:
    """Run a service until SIGTERM or SIGINT; print a failure at start without a traceback.

    Args:
        name: The service's, for its logs.
        settings_class: The class of its settings.
        running: Runs the service until the context ends.
    """

    async def serve() -> None:
        settings = load(settings_class)
        configure(service=name, level=settings.log_level, form=settings.log_format)
        async with running(settings):
            await until_stopped()

    try:
        uvloop.run(serve())
    except (SettingsError, KeysError, OSError) as error:
        sys.exit(f"{name}: {error}")


def database_probe(database: Database) -> Probe:
    """Return a probe that fails unless the database answers."""

    async def probe() -> None:
        await database.first(_PING, NoParameters())

    return probe


@contextlib.asynccontextmanager
async def opened(*databases: Database) -> AsyncIterator[None]:
    """Open databases, and close them in reverse order."""
    async with AsyncExitStack() as stack:
        for database in databases:
            await database.open()
            stack.push_async_callback(database.close)
        yield


def _databases(
    frame: Frame, settings: CommonSettings, observer: Observer | None
) -> tuple[Database, Database]:
    """Return the pool for requests, and the one for everything else."""
    database = Database(
        frame.database_url,
        name=frame.name,
        connections=settings.database_connections,
        observer=observer,
        options=frame.database_options,
    )
    if not frame.is_coordinator:
        return database, database
    background = Database(
        frame.database_url, name=frame.name, connections=RECOVERY_CONNECTIONS, observer=observer
    )
    return database, background


def _opener(
    frame: Frame, keys: KeyRing, stack: AsyncExitStack
) -> Callable[[str], grpc.aio.Channel]:
    """Return what opens channels; they close with the stack."""
    identity = ServiceIdentity(frame.name, keys.private_key)

    def channel(name: str) -> grpc.aio.Channel:
        opened = connect(
            frame.targets[name],
            identity=identity,
            audience=name,
            interceptors=[TraceInterceptor()],
        )
        stack.push_async_callback(opened.close)
        return opened

    return channel
