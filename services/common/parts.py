"""The parts of a service that reach outside, and what it puts together from them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from opentelemetry.metrics import Meter

from services.common.auth_client import Authentication
from services.common.keys import KeyRing
from services.kernel.db.cleaner import Cleanup
from services.kernel.db.database import Database, Reader
from services.kernel.money import Currency
from services.kernel.paging import PageTokens
from services.kernel.rpc.server import Servicer
from services.kernel.sagas.engine import SagaEngine
from services.kernel.sagas.idempotency import RequestKeys
from services.kernel.sagas.protocol import AnySaga
from services.kernel.sagas.recovery import POLL_SECONDS
from services.kernel.telemetry.metrics import NO_METER
from services.kernel.telemetry.spans import Tracers, own_tracer


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
        nearby: What answers such reads, at a standby if the service has one, so that the
            answer may be a little old; None: `public`.
        owner: The name of the process in the leases of its sagas.
        money: The currency of the money in the database, if it holds money.
        sleep: Waits for a number of seconds.
        poll_seconds: The pause between two looks for sagas that are due.
        meter: Creates the metrics.
        tracers: Make spans; None: there are none.
    """

    keys: KeyRing
    database: Database
    background: Database
    public: Reader
    channel: Callable[[str], grpc.aio.Channel]
    owner: str
    nearby: Reader | None = None
    money: Currency | None = None
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

    @property
    def currency(self) -> Currency:
        """The currency of the money in the database of a service that has a ledger."""
        assert self.money is not None
        return self.money

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
