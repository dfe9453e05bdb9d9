"""The services as the schedules meet them: real stores, use cases, sagas and engines."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any, cast
from uuid import UUID

import grpc
import psycopg
import structlog
from lockstep_clients import deadlines

import services.auth.domain.webhook_sender
import services.auth.readers.event_reader
import services.kernel.events.sequencer
import services.kernel.events.watching
import services.kernel.rpc.call
import services.kernel.rpc.interceptors
import services.kernel.sagas.clocks
import services.kernel.sagas.engine
import services.kernel.sagas.forward_only
import services.kernel.sagas.leases
import services.kernel.sagas.protocol
import services.kernel.sagas.recovery
import services.kernel.sagas.store
import services.relay.relay
from services.auth import __main__ as auth_main
from services.auth.domain.webhook_sender import WebhookSender
from services.auth.readers.event_reader import EventReader
from services.auth.settings import AuthSettings
from services.commerce import __main__ as commerce_main
from services.common.keys import KeyRing, secrets_of
from services.common.parts import Composition, ServiceParts, Worker
from services.kernel.db.cleaner import Cleanup
from services.kernel.events.sequencer import Sequencer
from services.kernel.money import Currency
from services.kernel.rpc.call import Handler, Method, ServicePrincipal
from services.kernel.sagas.engine import SagaEngine
from services.kernel.secret import Secret
from services.kernel.telemetry.metrics import NO_METER, create_counter
from services.profile import __main__ as profile_main
from services.relay.process import SOURCES
from services.relay.relay import Relay
from services.relay.stream import EventStream
from tests.faults.clock import VirtualLoop, count_statements
from tests.faults.databases import EdgeDatabase, Ground, Owner, Row
from tests.faults.edges import Actor, Run, Schedule
from tests.faults.endpoint import Endpoint
from tests.faults.jetstream import JetStream
from tests.faults.wire import Handlers, Wire, handlers_of

NO_KEYS: Any = None  # nobody signs or verifies a token here
SECRETS = {name: Secret.of(name.encode() * 32) for name in secrets_of("auth")}
KEYS = KeyRing("test", private_key=NO_KEYS, trusted={}, secrets=SECRETS)
DOLLARS = Currency("USD", digits=2)
# The methods that the schedules call: all others would only cost time.
CALLED = {
    "AuthService": [
        "Register",
        "VerifyEmail",
        "VerifyOtp",
        "RequestPasswordReset",
        "DisableUser",
        "EnableUser",
        "DeleteUser",
        "GetUser",
    ],
    "ProfileService": [
        "CreateProfile",
        "CancelProfile",
        "PhoneExists",
        "SetProfileStatus",
        "ForgetProfile",
        "GetHoldings",
    ],
    "WalletService": ["DebitWallet", "VoidTransfer", "RefundWallet", "TopUpWallet", "ReleaseSales"],
    "CartService": ["MergeCart"],
    "CatalogService": ["CreateProduct", "UpdateProduct"],
    "OrderService": ["PlaceOrder", "CancelOrder", "FulfilOrder", "RefundOrder", "ForgetUser"],
    "EventService": ["ListEvents", "WatchEvents"],
}
COMMISSION_BPS = 1000
PASSWORD_HASH = "$2b$04$the-hash-that-must-not-leave-its-row"
SERVICES = {"a": "auth", "p": "profile", "c": "commerce", "r": "relay"}
TIMED: tuple[ModuleType, ...] = (
    services.auth.domain.webhook_sender,
    services.auth.readers.event_reader,
    services.kernel.events.watching,
    services.kernel.sagas.forward_only,
    services.kernel.rpc.call,
    services.kernel.rpc.interceptors,
    services.kernel.sagas.protocol,
    services.kernel.sagas.clocks,
    services.kernel.sagas.engine,
    services.kernel.sagas.leases,
    services.kernel.sagas.recovery,
    services.kernel.sagas.store,
    services.relay.relay,
    deadlines,
)
# Polling costs a transaction each time, also where time costs nothing.
POLL_SECONDS = 2.0
# Those who tell events look more often than anything here needs.
TELLING_SECONDS: dict[ModuleType, float] = {
    services.kernel.events.sequencer: 10.0,
    services.kernel.events.watching: 10.0,
    services.auth.readers.event_reader: 10.0,
    services.auth.domain.webhook_sender: POLL_SECONDS,
}
# What a service tells events with, beside its readers.
NUMBERING = "numbering"
RELAYED = "commerce"
# More than clocks differ, so that the time of a row tells its run.
BETWEEN_RUNS_SECONDS = 3600.0


class Hasher:
    """Hashes at once: bcrypt's threads know nothing of virtual time."""

    async def hash(self, password: str) -> str:
        return PASSWORD_HASH

    def measure(self, meter: object) -> None:
        pass

    def close(self) -> None:
        pass


@dataclass(eq=False)
class Replica:
    """One process of a service: its connections, and in each run its parts."""

    name: str
    databases: list[EdgeDatabase] = field(default_factory=list)
    actor: Actor = field(init=False)
    handlers: Handlers = field(default_factory=dict)
    engine: SagaEngine | None = None
    cleanups: Sequence[Cleanup] = ()
    tellers: Mapping[str, Sequence[Worker]] = field(default_factory=dict)
    is_telling: bool = False

    @property
    def service(self) -> str:
        return SERVICES[self.name[0]]

    @property
    def is_live(self) -> bool:
        """Whether it takes calls."""
        return not (self.actor.dead or self.actor.stopping)

    def tell(self, readers: Sequence[str]) -> None:
        """Let it number its events, and let those of its readers work that are wanted."""
        self.is_telling = True
        for name, workers in self.tellers.items():
            if name == NUMBERING or name in readers:
                for each in workers:
                    each.start()


class World:
    """Two replicas of each service, and more when some have crashed.

    Args:
        loop: Its time.
        url: Its database.

    Attributes:
        keeps_rows: Whether a run leaves its rows to the next one.
        was_aged: Whether a run that left its rows had its sagas and keys cleaned up.
        prepared: The rows that were there before the request.
    """

    def __init__(self, loop: VirtualLoop, url: str) -> None:
        self.loop = loop
        self.url = url
        self.ground = Ground(url)
        self.replicas: dict[str, Replica] = {}
        self.spare: defaultdict[str, list[list[EdgeDatabase]]] = defaultdict(list)
        self._sessions = itertools.count(1)
        self.run = Run(self, {}, Actor("client", "client", loop.create_future()))
        self.is_recovering = False
        self.look: Any = None
        self.keeps_rows = False
        self.was_aged = False
        self.prepared: list[Row] = []
        self.singles: dict[str, Any] = {}  # results of `explore`, for the pairs that follow
        self.settings = AuthSettings(env="test", bcrypt_cost=4, address_limits=False)
        loop.on_jump = self.ground.jump
        loop.on_blocked = self._blocked

    def _blocked(self) -> bool:
        """Let time pass for those who wait for a lock, unless somebody is only slow."""
        waiting = self.ground.waiting()
        if len(waiting) < self.loop.busy:
            return False
        if self.run.blocked():
            return True
        if waiting:
            self.ground.cancel(waiting)
            self.loop.jump(2.0)  # the lock_timeout that this stands for
        return False

    # --- beginning and ending a run

    def begin(self, schedule: Schedule) -> Run:
        """Make all replicas new for a run."""
        random.seed(0)
        client = Actor("client", "client", self.loop.create_future())
        self.was_aged = self.keeps_rows and self.is_aged()
        if not self.keeps_rows:
            self.ground.clear()
        self.ground.jump(BETWEEN_RUNS_SECONDS)
        self.run = Run(self, {strike.edge: strike.fault for strike in schedule}, client)
        self.is_recovering = False
        for replica in self.replicas.values():
            self._awaken(replica)
        return self.run

    def is_aged(self) -> bool:
        """Say whether the clean-up may have removed sagas and keys of rows that are there."""
        return self.was_aged or self.run.has_met("age")

    async def end(self) -> None:
        """End every task that could act in the next run."""
        for replica in self.replicas.values():
            replica.actor.dead = True
            replica.actor.resumed.set()
        rest = asyncio.all_tasks() - set(self.loop.pools) - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        if rest:
            await asyncio.wait(rest, timeout=60)
        self._bury_dead()

    def _bury_dead(self) -> None:
        for name in [name for name, each in self.replicas.items() if each.actor.died.done()]:
            dead = self.replicas.pop(name)
            self.spare[dead.service].append(dead.databases)

    async def close(self) -> None:
        """Disconnect."""
        living = [each.databases for each in self.replicas.values()]
        for databases in itertools.chain(living, *self.spare.values()):
            for database in databases:
                await database.end()
        self.ground.close()

    # --- replicas

    async def replica(self, name: str) -> Replica:
        """Return a replica, started if there is none of this name."""
        if name not in self.replicas:
            replica = Replica(name)
            spare = self.spare[replica.service]
            replica.databases = spare.pop() if spare else await self._connect(replica.service)
            for database in replica.databases:
                database.belong_to(replica)
            self.replicas[name] = replica
            self._awaken(replica)
        return self.replicas[name]

    async def _connect(self, service: str) -> list[EdgeDatabase]:
        databases: list[EdgeDatabase] = []
        if service == "relay":
            return databases
        for connections in (4,) if service == "profile" else (4, 2):
            session = f"{service}-{next(self._sessions)}"
            databases.append(
                EdgeDatabase(
                    self.url, schema=service, session=session, connections=connections, stage=self
                )
            )
            await databases[-1].open()
        return databases

    async def committing(self, owner: Owner, connection: psycopg.AsyncConnection[Any]) -> None:
        """See `databases.Stage`."""
        if not self.run.unreplicated or owner.actor.service == "profile":
            return
        cursor = await connection.execute("SELECT pg_current_xact_id_if_assigned() IS NOT NULL")
        row = await cursor.fetchone()
        if row is not None and row[0] and not self.run.losing:
            self.run.unreplicated = False
        self.run.losing = False

    def _awaken(self, replica: Replica) -> None:
        replica.actor = Actor(replica.name, replica.service, self.loop.create_future())
        wire = cast(grpc.aio.Channel, Wire(self, replica.actor, ServicePrincipal(replica.service)))
        replica.is_telling = False
        if replica.service == "relay":
            replica.tellers = {"relay": [self._relay(replica, wire)]}
            return
        parts = ServiceParts(
            keys=KEYS,
            database=replica.databases[0],
            background=replica.databases[-1],
            public=replica.databases[0],
            channel=lambda _: wire,
            owner=replica.name,
            money=DOLLARS,
            poll_seconds=POLL_SECONDS,
        )
        composition = self._compose(replica.service, parts)
        replica.engine = composition.engine
        replica.cleanups = composition.cleanups
        replica.tellers = self._tellers(replica, composition)
        replica.handlers = {}
        for descriptor, servicer in composition.servicers.items():
            if names := CALLED.get(descriptor.name):
                replica.handlers |= handlers_of(descriptor, servicer, names)

    def _tellers(
        self, replica: Replica, composition: Composition
    ) -> Mapping[str, Sequence[Worker]]:
        """Return the workers of a composition that tell events, by the reader that they are of."""
        tellers = defaultdict[str, list[Worker]](list)
        tellers[NUMBERING].append(Sequencer(replica.databases[-1]))
        for worker in composition.workers:
            if isinstance(worker, WebhookSender):
                worker._client = cast(Any, Endpoint(self, replica.actor))
                tellers["webhooks"].append(worker)
            elif isinstance(worker, EventReader):
                tellers[worker.place.reader].append(worker)
        return tellers

    def _relay(self, replica: Replica, channel: grpc.aio.Channel) -> Relay:
        source = SOURCES[RELAYED]
        jetstream = cast(Any, JetStream(self, replica.actor))
        return Relay(
            RELAYED,
            source.types,
            source.stub(channel).WatchEvents,
            lambda: EventStream(jetstream, RELAYED, kept_days=30, replicas=1),
            create_counter(NO_METER, "published", unit="{event}", description="Events"),
        )

    def _compose(self, service: str, parts: ServiceParts) -> Composition:
        match service:
            case "auth":
                return auth_main.compose(
                    parts, self.settings, signing_keys=NO_KEYS, hasher=cast(Any, Hasher())
                )
            case "profile":
                return profile_main.compose(parts)
            case _:
                return commerce_main.compose(parts, commission_bps=COMMISSION_BPS)

    def serving(self, path: str) -> tuple[Actor, Method, Handler] | None:
        """See `wire.Replicas`: the first live one that is not known to hang."""
        service = path.split(".")[1]
        live = [each for each in self.replicas.values() if each.service == service and each.is_live]
        if not live or service in self.run.down:
            return None
        best = min(live, key=lambda each: (not each.actor.resumed.is_set(), each.name))
        return best.actor, *best.handlers[path]

    def recover(self) -> None:
        """Let second replicas take up due sagas; called when somebody waits."""
        if self.is_recovering:
            return
        self.is_recovering = True
        for replica in self.replicas.values():
            engine = replica.engine
            if engine is not None and replica.name[1:] != "1" and not engine.is_recovering:
                engine.start()
        self._tell()

    async def reinforce(self) -> None:
        """Have a live replica of each service that this run uses, and let it recover."""
        for letter in {name[0] for name in self.replicas}:
            same = [each for each in self.replicas.values() if each.name[0] == letter]
            live = [each for each in same if each.is_live and each.name[1:] != "1"]
            if not live:
                numbers = [int(each.name[1:]) for each in same]
                live = [await self.replica(f"{letter}{max(numbers) + 1}")]
            for each in live:
                if each.engine is not None and not each.engine.is_recovering:
                    each.engine.start()
        self._tell()

    def _tell(self) -> None:
        """Let one more replica tell its events, if the scenario has somebody who reads them.

        Second replicas begin before first ones, which only take over when a second one takes
        long. Who reads events begins after the services that have them.
        """
        if self.look is None or not self.look.readers:
            return
        idle = [each for each in self.replicas.values() if each.is_live and not each.is_telling]
        idle.sort(key=lambda each: (each.name[1:] == "1", each.name[0] in "ar", each.name))
        for replica in idle[:1]:
            replica.tell(self.look.readers)

    # --- effects of faults (see `edges.Stage`)

    def kill_sessions(self, actor: Actor, *, idle_only: bool) -> None:
        sessions = [each.session for each in self.replicas[actor.name].databases]
        self.ground.kill(sessions, idle_only=idle_only)

    def sweep(self) -> None:
        for service, cleanups in {e.service: e.cleanups for e in self.replicas.values()}.items():
            if cleanups:
                self.ground.sweep(service, cleanups)

    def skew(self, actor: Actor, seconds: float) -> None:
        service = "profile" if actor is self.run.client else actor.service
        self.ground.skew(service, seconds)

    def has_opened(self) -> bool:
        return bool(self.look.saga_ids())

    def lose_opening(self) -> None:
        self.look.forget_opening(self)

    async def stop(self, actor: Actor) -> None:
        replica = self.replicas[actor.name]
        engine = replica.engine
        assert engine is not None
        actor.stopping = True  # NOT_SERVING: nobody calls it any more

        async def stop() -> None:
            await engine.stop()
            tellers = itertools.chain.from_iterable(replica.tellers.values())
            await asyncio.gather(*(each.stop() for each in tellers))
            actor.dead = True
            self.kill_sessions(actor, idle_only=False)
            if not actor.died.done():
                actor.died.set_result(None)

        self.run.watch(asyncio.ensure_future(stop()))
        self.run.on_leave()

    def committed(self, actor: Actor, edge: str) -> None:
        if self.look is not None:
            self.look.committed(self, actor, edge)

    def sending(self, method: str, message: bytes) -> None:
        if self.run.unreplicated and method in ("CreateProfile", "DebitWallet"):
            self.run.unreplicated = False
            self.lose_opening()
        if self.look is not None:
            self.look.sending(self, method, message)

    def meet(self) -> asyncio.Task[None]:
        task: asyncio.Task[None] = self.look.meet()
        return task

    def saga(self, saga_id: UUID | str, schema: str) -> Any:
        """Return a saga's row, or None."""
        rows = self.ground.rows(f"SELECT * FROM {schema}.sagas WHERE id = %(id)s", id=saga_id)
        return rows[0] if rows else None


@contextlib.contextmanager
def virtual_time(url: str) -> Iterator[World]:
    """Make a world whose time is its own."""
    loop = VirtualLoop()
    fake = SimpleNamespace(monotonic=loop.time, time=loop.time, perf_counter=loop.time)
    originals = [(module, module.time) for module in TIMED]
    polling = [(module, module.POLL_SECONDS) for module in TELLING_SECONDS]
    restore = count_statements(loop)
    logging.getLogger("psycopg").setLevel(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        for module in TIMED:
            module.time = fake  # type: ignore[attr-defined]
        for module, seconds in TELLING_SECONDS.items():
            module.POLL_SECONDS = seconds  # type: ignore[attr-defined]
        asyncio.set_event_loop(loop)
        world = World(loop, url)
        yield world
        loop.run_until_complete(world.close())
    finally:
        for module, original in originals:
            module.time = original  # type: ignore[attr-defined]
        for module, seconds in polling:
            module.POLL_SECONDS = seconds  # type: ignore[attr-defined]
        restore()
        structlog.reset_defaults()
        asyncio.set_event_loop(None)
        loop.close()
