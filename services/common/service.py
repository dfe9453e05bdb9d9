"""The frame of a service's process: it opens, composes, serves, and stops in order.

Each service has a `compose`, which puts its parts together without any I/O. Every part that
reaches outside comes from `ServiceParts`, so that a test can replace it.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar

import grpc
import uvloop
from google.protobuf.descriptor import ServiceDescriptor
from lockstep_clients import ServiceIdentity, connect
from opentelemetry.metrics import Meter

from services.common.auth_client import Authentication
from services.common.databases import Pools, pools
from services.common.files import FileProblem, explained
from services.common.keys import KeyRing
from services.common.schema import schema_probe
from services.common.settings import CommonSettings, SettingsError, load
from services.kernel.db.cleaner import Cleaner, Cleanup
from services.kernel.db.database import Database, Observer
from services.kernel.db.limits import SessionRules, options_of
from services.kernel.db.pool_metrics import PoolFigures, observe_pools
from services.kernel.db.requirements import DatabaseUnfit
from services.kernel.ids import process_name
from services.kernel.logging import configure
from services.kernel.paging import PageTokens
from services.kernel.rpc.access import Access
from services.kernel.rpc.metering import ClientMeter
from services.kernel.rpc.server import Server, Servicer
from services.kernel.rpc.tracing import TraceInterceptor
from services.kernel.sagas.engine import SagaEngine
from services.kernel.sagas.idempotency import RequestKeys
from services.kernel.sagas.metrics import saga_survey
from services.kernel.sagas.protocol import AnySaga
from services.kernel.sagas.recovery import POLL_SECONDS
from services.kernel.signals import until_stopped
from services.kernel.telemetry.loop_lag import LoopLag
from services.kernel.telemetry.management import managed
from services.kernel.telemetry.metrics import NO_METER, Telemetry, TelemetryError
from services.kernel.telemetry.spans import Tracers, own_tracer

# These services pass on calls of clients, and may name a client's IP.
PROXIES = frozenset({"gateway"})

S = TypeVar("S", bound=CommonSettings)


class Worker(Protocol):
    """A task that runs beside the requests."""

    def start(self) -> None:
        """Start the task."""

    async def stop(self) -> None:
        """Finish the piece of work in progress, and begin no other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceParts:
    """The parts of a service that reach outside it.

    Attributes:
        keys: The service's own key and its secrets.
        database: The database, with the connections for requests.
        background: The same database for all other work. In a coordinator it has connections
            of its own, so that requests cannot hold up the recovery of sagas.
        leases: The same for the leases of sagas alone; None: those for all other work.
        channel: Opens a channel to a service, by its name.
        public: The same database for reads that strangers may ask for. With connections of
            its own and a short time limit they cannot hold up the requests of users.
        owner: The name of the process in the leases of its sagas.
        sleep: Waits for a number of seconds.
        poll_seconds: The pause between two looks for sagas that are due.
        meter: Creates the metrics.
        tracers: Make spans; None: there are none.
    """

    keys: KeyRing
    database: Database
    background: Database
    public: Database
    channel: Callable[[str], grpc.aio.Channel]
    owner: str
    leases: Database | None = None
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    poll_seconds: float = POLL_SECONDS
    meter: Meter = NO_METER
    tracers: Tracers | None = None

    @property
    def page_tokens(self) -> PageTokens:
        """The maker of page tokens, which every replica can read."""
        return PageTokens(self.keys.secrets["requests"])

    @property
    def request_keys(self) -> RequestKeys:
        """The maker of idempotency keys, which are the same at every replica."""
        return RequestKeys(self.keys.secrets["requests"])

    def saga_engine(self, *sagas: AnySaga) -> SagaEngine:
        """Return an engine for these kinds of sagas."""
        return SagaEngine(
            self.database,
            recovery=self.background,
            leases=self.leases,
            sagas=sagas,
            owner=self.owner,
            sleep=self.sleep,
            poll_seconds=self.poll_seconds,
            meter=self.meter,
            tracer=own_tracer(self.tracers),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Composition:
    """The parts of one service, put together.

    Attributes:
        servicers: The servicer of each gRPC service.
        authentication: Answers questions about access tokens and sessions.
        cleanups: The clean-ups of the service's tables.
        engine: The engine of a coordinator's sagas.
        workers: Further tasks of the process.
        closing: Functions to call when all else has stopped.
    """

    servicers: Mapping[ServiceDescriptor, Servicer]
    authentication: Authentication
    cleanups: Sequence[Cleanup]
    engine: SagaEngine | None = None
    workers: Sequence[Worker] = ()
    closing: Sequence[Callable[[], None]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The facts about a service that its process needs.

    Attributes:
        database_url: The URL of the service's database.
        port: The port to listen on.
        targets: The gRPC target of each service that this one calls.
        is_coordinator: Whether the service has sagas of its own.
        has_public_reads: Whether strangers may ask for reads that cost more than a row.
        session_settings: Further settings of PostgreSQL for the connections for requests.
    """

    name: str
    database_url: str
    port: int
    targets: Mapping[str, str]
    is_coordinator: bool = False
    has_public_reads: bool = False
    session_settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Running:
    """A running service."""

    port: int
    database: Database
    composition: Composition
    telemetry: Telemetry


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
        frame: The facts about the service.
        settings: The service's settings.
        compose: Puts the service's parts together.
        listen_on: The `host:port` to listen on, instead of that of the settings.
        observer: The observer of the databases.

    Raises:
        DatabaseUnfit: The service cannot work with the server of its database.
    """
    keys = KeyRing.load(settings.keys, frame.name)
    telemetry = Telemetry(frame.name, instance=process_name(frame.name))
    databases = _pools(frame, settings, observer, telemetry)
    async with AsyncExitStack() as stack:
        stack.callback(telemetry.close)
        metrics_port = settings.metrics_port(frame.name) if listen_on is None else 0
        management = stack.enter_context(
            managed(settings.metrics_host, metrics_port, telemetry.registry)
        )
        await databases.requests.require()
        await stack.enter_async_context(opened(*databases.by_name().values()))
        channel = _opener(frame, keys, stack, telemetry.meter)
        parts = _parts(frame, keys, databases, channel, telemetry)
        composition = compose(parts)
        stack.callback(_call_all, composition.closing)
        server = _server(frame, settings, parts, composition)
        for worker in _workers(composition, parts, databases):
            worker.start()
            stack.push_async_callback(worker.stop)
        port = await server.start(listen_on or f"{settings.host}:{frame.port}")
        stack.push_async_callback(server.stop, settings.stop_grace_seconds)
        if composition.engine is not None:
            # First of all: another replica may go on with these sagas while calls end here.
            stack.push_async_callback(composition.engine.retire)
        if management is not None:
            management.watch(lambda: server.trouble)
        yield Running(port, databases.requests, composition, telemetry)


def run(
    name: str, settings_class: type[S], running: Callable[[S], AbstractAsyncContextManager[object]]
) -> None:
    """Run a service until SIGTERM or SIGINT; print a failure at start without a traceback.

    Args:
        name: The name of the service, for its logs.
        settings_class: The class of the service's settings.
        running: Runs the service until the context ends.
    """

    async def serve() -> None:
        settings = load(settings_class)
        configure(service=name, level=settings.log_level, form=settings.log_format)
        async with running(settings):
            await until_stopped()

    try:
        uvloop.run(serve())
    except OSError as error:
        sys.exit(f"{name}: {explained(error)}")
    except (SettingsError, FileProblem, DatabaseUnfit, TelemetryError) as error:
        sys.exit("\n".join(f"{name}: {line}" for line in str(error).splitlines()))


@contextlib.asynccontextmanager
async def opened(*databases: Database) -> AsyncIterator[None]:
    """Open databases, and close them in reverse order."""
    async with AsyncExitStack() as stack:
        for database in databases:
            await database.open()
            stack.push_async_callback(database.close)
        yield


def session_rules(settings: CommonSettings, application_name: str) -> SessionRules:
    """Return how sessions with a database begin.

    Args:
        settings: The settings of a service or a command.
        application_name: What the server calls the sessions.
    """
    return SessionRules(
        application_name=application_name,
        is_pooled=settings.database_pooler,
        prepares=settings.database_prepared_statements,
    )


def _parts(
    frame: Frame,
    keys: KeyRing,
    databases: Pools,
    channel: Callable[[str], grpc.aio.Channel],
    telemetry: Telemetry,
) -> ServiceParts:
    return ServiceParts(
        keys=keys,
        database=databases.requests,
        background=databases.background,
        leases=databases.leases,
        public=databases.public,
        channel=channel,
        owner=process_name(frame.name),
        meter=telemetry.meter,
        tracers=telemetry.tracers,
    )


def _pools(
    frame: Frame, settings: CommonSettings, observer: Observer | None, telemetry: Telemetry
) -> Pools:
    return pools(
        frame.database_url,
        name=frame.name,
        connections=settings.database_connections,
        rules=session_rules(settings, process_name(frame.name)),
        options=options_of(frame.session_settings),
        observer=observer,
        has_background=frame.is_coordinator,
        has_public_reads=frame.has_public_reads,
        tracer=own_tracer(telemetry.tracers),
    )


def _call_all(functions: Sequence[Callable[[], None]]) -> None:
    for function in functions:
        function()


def _server(
    frame: Frame, settings: CommonSettings, parts: ServiceParts, composition: Composition
) -> Server:
    return Server(
        list(composition.servicers.items()),
        access=_access(frame, parts.keys, composition.authentication),
        probe=schema_probe(parts.database, frame.name),
        connection_seconds=settings.connection_seconds,
        meter=parts.meter,
        tracers=parts.tracers,
    )


def _access(frame: Frame, keys: KeyRing, authentication: Authentication) -> Access:
    return Access(
        service=frame.name,
        keys=authentication.keys,
        sessions=authentication.sessions,
        trusted=keys.trusted,
        proxies=PROXIES,
    )


def _workers(composition: Composition, parts: ServiceParts, databases: Pools) -> Sequence[Worker]:
    """List the tasks of the process; the meter of a part comes with the part."""
    background, meter = parts.background, parts.meter
    named = databases.by_name()
    observe_pools(meter, {name: partial(_figures, each) for name, each in named.items()})
    workers = [
        *composition.workers,
        Cleaner(background, composition.cleanups, meter),
        LoopLag(meter),
    ]
    if composition.engine is not None:
        return [composition.engine, saga_survey(background, meter), *workers]
    return workers


def _figures(database: Database) -> PoolFigures:
    return database.pool_figures


def _opener(
    frame: Frame, keys: KeyRing, stack: AsyncExitStack, meter: Meter
) -> Callable[[str], grpc.aio.Channel]:
    """Return a function that opens a channel to a service; the stack closes it."""
    identity = ServiceIdentity(frame.name, keys.private_key)
    interceptors = [TraceInterceptor(), ClientMeter(meter)]

    def channel(name: str) -> grpc.aio.Channel:
        opened = connect(
            frame.targets[name],
            identity=identity,
            audience=name,
            interceptors=interceptors,
        )
        stack.push_async_callback(opened.close)
        return opened

    return channel
