"""The frame of a service's process: it opens, composes, serves, and stops in order.

Each service has a `compose`, which puts its parts together without any I/O. Every part that
reaches outside comes from `ServiceParts`, so that a test can replace it.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

import grpc
import uvloop
from opentelemetry.metrics import Meter

from services.common.audit import AUDIT_SERVICES
from services.common.auth_client import Authentication
from services.common.channels import opener
from services.common.databases import Pools, pools
from services.common.files import FileProblem, explained
from services.common.keys import KeyRing
from services.common.ledger import Ledger, WrongCurrency
from services.common.parts import Composition, ServiceParts, Worker
from services.common.schema import schema_probe
from services.common.settings import CommonSettings, SettingsError, load
from services.common.standby_place import StandbyPlace
from services.common.tls import Tls, observe_ends, service_tls
from services.kernel.audit.refusals import RefusalLog
from services.kernel.audit.servicer import AuditServicer
from services.kernel.db.cleaner import Cleaner
from services.kernel.db.database import Database, Observer, Reader
from services.kernel.db.limits import SessionRules, options_of
from services.kernel.db.pool_metrics import PoolFigures, observe_pools
from services.kernel.db.requirements import DatabaseUnfit
from services.kernel.db.standby import NearbyReader
from services.kernel.events.sequencer import Sequencer, event_survey
from services.kernel.events.store import old_events
from services.kernel.ids import process_name
from services.kernel.logging import configure
from services.kernel.rpc.access import Access
from services.kernel.rpc.server import NotReady, Probe, Server
from services.kernel.sagas.metrics import saga_survey
from services.kernel.signals import until_stopped
from services.kernel.tasks import Loop, PeriodicTask, Watchdog, observe_successes
from services.kernel.telemetry.loop_lag import LoopLag
from services.kernel.telemetry.management import managed
from services.kernel.telemetry.metrics import Telemetry, TelemetryError
from services.kernel.telemetry.spans import own_tracer

# These services pass on calls of clients, and may name a client's IP.
PROXIES = frozenset({"gateway"})

S = TypeVar("S", bound=CommonSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The facts about a service that its process needs.

    Attributes:
        database_url: The URL of the service's database.
        port: The port to listen on.
        targets: The gRPC target of each service that this one calls.
        is_coordinator: Whether the service has sagas of its own.
        has_public_reads: Whether strangers may ask for reads that cost more than a row.
        standby: Where such reads may be made instead of the primary.
        ledger: The ledger in its database, if it holds money.
        session_settings: Further settings of PostgreSQL for the connections for requests.
    """

    name: str
    database_url: str
    port: int
    targets: Mapping[str, str]
    is_coordinator: bool = False
    has_public_reads: bool = False
    standby: StandbyPlace | None = None
    ledger: Ledger | None = None
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
        FileProblem: A key or a certificate cannot be used.
        DatabaseUnfit, WrongCurrency: The service cannot work with its database.
    """
    keys = KeyRing.load(settings.keys, frame.name)
    tls = service_tls(settings, frame.name)
    telemetry = Telemetry(frame.name, instance=process_name(frame.name))
    databases = _pools(frame, settings, observer, telemetry)
    async with AsyncExitStack() as stack:
        stack.callback(telemetry.close)
        port = 0 if listen_on else settings.metrics_port(frame.name)
        management = stack.enter_context(managed(settings.metrics_host, port, telemetry.registry))
        await databases.requests.require()
        await stack.enter_async_context(opened(*databases.by_name().values()))
        channel = opener(frame.targets, keys, stack, meter=telemetry.meter, tls=tls)
        parts = _parts(frame, keys, databases, channel, telemetry)
        composition = compose(await _with_money(parts, frame, settings))
        stack.callback(_call_all, composition.closing)
        workers = _workers(composition, parts, databases, settings.events_kept_days)
        watchdog = _watchdog(composition, workers, parts)
        server = _server(frame, settings, parts, composition, tls=tls, watchdog=watchdog)
        _start(stack, *workers, watchdog)
        port = await server.start(listen_on or f"{settings.host}:{frame.port}")
        stack.push_async_callback(_stop, server, settings)
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
    except (SettingsError, FileProblem, DatabaseUnfit, WrongCurrency, TelemetryError) as error:
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


async def _with_money(parts: ServiceParts, frame: Frame, settings: CommonSettings) -> ServiceParts:
    """Settle the currency of the money in the database, if it holds money."""
    if frame.ledger is None:
        return parts
    return replace(parts, money=await frame.ledger.open(parts.database, settings.currency))


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
        public=databases.reads_of_strangers,
        nearby=_nearby(databases, telemetry.meter),
        channel=channel,
        owner=process_name(frame.name),
        meter=telemetry.meter,
        tracers=telemetry.tracers,
    )


def _nearby(databases: Pools, meter: Meter) -> Reader | None:
    if databases.standby is None:
        return None
    return NearbyReader(databases.standby, databases.reads_of_strangers, meter)


def _pools(
    frame: Frame, settings: CommonSettings, observer: Observer | None, telemetry: Telemetry
) -> Pools:
    return pools(
        frame.database_url,
        name=frame.name,
        standby=frame.standby,
        connections=settings.database_connections,
        rules=session_rules(settings, process_name(frame.name)),
        options=options_of(frame.session_settings),
        observer=observer,
        has_background=frame.is_coordinator,
        has_public_reads=frame.has_public_reads,
        tracer=own_tracer(telemetry.tracers),
    )


async def _stop(server: Server, settings: CommonSettings) -> None:
    await server.stop(settings.stop_grace_seconds, delay_seconds=settings.stop_delay_seconds)


def _start(stack: AsyncExitStack, *workers: Worker) -> None:
    for worker in workers:
        worker.start()
        stack.push_async_callback(worker.stop)


def _call_all(functions: Sequence[Callable[[], None]]) -> None:
    for function in functions:
        function()


def _server(
    frame: Frame,
    settings: CommonSettings,
    parts: ServiceParts,
    composition: Composition,
    *,
    tls: Tls | None,
    watchdog: Watchdog,
) -> Server:
    if tls is not None:
        observe_ends(parts.meter, {"rpc": lambda: tls.pair.ends})
    refusals = RefusalLog(parts.background, parts.keys.secrets["requests"])
    audit_log = AuditServicer(parts.database, parts.page_tokens)
    return Server(
        [*composition.servicers.items(), (AUDIT_SERVICES[frame.name], audit_log)],
        access=_access(
            frame,
            parts.keys,
            composition.authentication,
            checks_peers=tls is not None and tls.is_mutual,
        ),
        probe=loops_probe(schema_probe(parts.database, frame.name), watchdog),
        connection_seconds=settings.connection_seconds,
        refusals=[refusals.layer],
        meter=parts.meter,
        tracers=parts.tracers,
        tls=None if tls is None else tls.server_credentials(),
    )


def loops_probe(database: Probe, watchdog: Watchdog) -> Probe:
    """Return a probe that also fails while a loop stands still."""

    async def probe() -> None:
        await database()
        if watchdog.trouble is not None:
            raise NotReady(watchdog.trouble)

    return probe


def _watchdog(composition: Composition, workers: Sequence[Worker], parts: ServiceParts) -> Watchdog:
    loops: list[Loop] = [each for each in workers if isinstance(each, Loop)]
    if composition.engine is not None:
        loops.append(composition.engine.recovery)
    return Watchdog(loops, parts.meter)


def _access(
    frame: Frame, keys: KeyRing, authentication: Authentication, *, checks_peers: bool
) -> Access:
    return Access(
        service=frame.name,
        keys=authentication.keys,
        sessions=authentication.sessions,
        trusted=keys.trusted,
        proxies=PROXIES,
        api_keys=authentication.api_keys,
        checks_peers=checks_peers,
    )


def _workers(
    composition: Composition, parts: ServiceParts, databases: Pools, kept_days: int
) -> Sequence[Worker]:
    """List the tasks of the process; the meter of a part comes with the part."""
    background, meter = parts.background, parts.meter
    named = databases.by_name()
    observe_pools(meter, {name: partial(_figures, each) for name, each in named.items()})
    workers: list[Worker] = [
        *composition.workers,
        Cleaner(background, [*composition.cleanups, old_events(kept_days)], meter),
        Sequencer(background, meter),
        event_survey(background, meter),
        LoopLag(meter),
        *([] if databases.standby is None else [databases.standby.marks]),
    ]
    if composition.engine is not None:
        workers = [composition.engine, saga_survey(background, meter), *workers]
    observe_successes(meter, [each for each in workers if isinstance(each, PeriodicTask)])
    return workers


def _figures(database: Database) -> PoolFigures:
    return database.pool_figures
