"""Replicas of Commerce as real processes, a gateway in front of them, and readers of both."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from lockstep.commerce.v1 import cart_service_pb2 as cart_pb
from lockstep.commerce.v1 import cart_service_pb2_grpc as cart_grpc
from lockstep.commerce.v1 import catalog_service_pb2 as catalog_pb
from lockstep.commerce.v1 import catalog_service_pb2_grpc as catalog_grpc
from lockstep_clients import LockstepError, Unauthenticated, connect

from services.cli.health import is_serving
from services.commerce.settings import CommerceSettings
from services.common.settings import as_environment
from services.gateway.lockstep import GatewaySettings
from tests.environment import without_settings
from tests.gateway.http import Client
from tests.ports import free_port
from tests.replicas.names import NameServer, name_server
from tests.waiting import until

ROOT = Path(__file__).parents[2]
NOBODY = "127.0.0.1:1"
NAME = "commerce.test"
CONNECTION_SECONDS = 2.0
READERS = 3
START_SECONDS_MAX = 60.0
READ = b"/lockstep.commerce.v1.CatalogService/ListCategories"


Ask = Callable[[], Awaitable[None]]


class Failed(Exception):
    """A call has failed; the text is its code or its HTTP status."""


@dataclass(frozen=True, slots=True)
class Road:
    """A way to the replicas: a call that may be repeated, and one that may not."""

    name: str
    read: Ask
    write: Ask


@dataclass
class Caller:
    """Makes one call after the other, and remembers how they ended: the failure, or None."""

    road: Road
    reads: bool
    outcomes: list[str | None] = field(default_factory=list)

    async def call(self) -> None:
        """Make calls until the task is cancelled."""
        ask = self.road.read if self.reads else self.road.write
        while True:
            failure = None
            try:
                await ask()
            except Failed as error:
                failure = str(error)
            self.outcomes.append(failure)

    async def goes_on(self, calls: int) -> None:
        """Wait until this many calls more have succeeded."""
        before = self.successes
        await until(lambda: self.successes >= before + calls)

    @property
    def successes(self) -> int:
        """The number of calls that have succeeded."""
        return sum(each is None for each in self.outcomes)


@dataclass
class Load:
    """Callers on every road."""

    callers: list[Caller]

    async def goes_on(self, calls: int = 50) -> None:
        """Wait until every caller has got this many answers more."""
        await asyncio.gather(*(each.goes_on(calls) for each in self.callers))

    def forget(self) -> None:
        """Forget how the calls until now have ended."""
        for caller in self.callers:
            caller.outcomes.clear()

    def failures(self, *, reads: bool | None = None) -> set[tuple[str, str]]:
        """Return the failures, each with its road: of reads, of writes, or of both."""
        return {
            (caller.road.name, failure)
            for caller in self.callers
            for failure in caller.outcomes
            if failure is not None and reads in (None, caller.reads)
        }


@dataclass
class Replica:
    """A process of Commerce with an address of its own."""

    address: str
    process: asyncio.subprocess.Process
    log: Path

    def signal(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        self.process.send_signal(number)

    @property
    def reads(self) -> int:
        """The number of reads that the replica has logged."""
        return self.log.read_bytes().count(READ)

    async def is_read_again(self) -> None:
        """Wait until the replica gets reads."""
        before = self.reads
        await until(lambda: self.reads > before)

    async def becomes(self, *, serving: bool) -> None:
        """Wait until the replica reports SERVING, or something else."""
        async with asyncio.timeout(START_SECONDS_MAX):
            while await is_serving(self.address) is not serving:
                pass

    async def ends(self) -> int:
        """Wait until the process has ended, and return its code."""
        async with asyncio.timeout(30):
            return await self.process.wait()


@dataclass
class World:
    """The replicas' addresses, and the roads to them."""

    names: NameServer
    port: int
    network: str
    settings: dict[str, str]
    home: Path
    gateway: Client
    roads: list[Road]

    @contextlib.asynccontextmanager
    async def replica(self, number: int, **settings: str) -> AsyncIterator[Replica]:
        """Run a replica until the context ends; the name server does not know it."""
        ip = f"{self.network}.{number}"
        environment = {**self.settings, "LOCKSTEP_HOST": ip, **settings}
        log = self.home / f"{ip}.log"
        async with running("services.commerce", environment, log) as process:
            replica = Replica(f"{ip}:{self.port}", process, log)
            await replica.becomes(serving=True)
            yield replica

    async def is_ready(self) -> bool:
        """Tell whether the gateway finds Commerce ready; there is neither Auth nor Profile."""
        answer = await self.gateway.get("/readyz")
        return "auth is" in answer.json["message"] and "commerce" not in answer.json["message"]

    @contextlib.contextmanager
    def named(self, *replicas: Replica) -> Iterator[None]:
        """Let the name server know these replicas while the context lasts."""
        before = self.names.addresses.get(NAME, [])
        self.names.addresses[NAME] = [each.address.partition(":")[0] for each in replicas]
        try:
            yield
        finally:
            self.names.addresses[NAME] = before

    @contextlib.asynccontextmanager
    async def load(self) -> AsyncIterator[Load]:
        """Make calls on every road while the context lasts."""
        load = Load(
            [
                Caller(road, reads=reads)
                for road in self.roads
                for reads in [*[True] * READERS, False]
            ]
        )
        tasks = [asyncio.create_task(each.call()) for each in load.callers]
        try:
            yield load
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert [each for each in ended if not isinstance(each, asyncio.CancelledError)] == []


@contextlib.asynccontextmanager
async def replica_world(database_url: str, keys: Path, home: Path) -> AsyncIterator[World]:
    """Run a name server, a gateway and a client that look their replicas up there."""
    async with contextlib.AsyncExitStack() as stack:
        names = await stack.enter_async_context(name_server())
        network = own_network()
        port = free_port(f"{network}.1")
        target = names.target(NAME, port)
        common: dict[str, Any] = {
            "env": "test",
            "home": home,
            "keys": keys,
            "commerce_port": port,
            "auth_address": NOBODY,
            "profile_address": NOBODY,
            "commerce_address": target,
            "connection_seconds": CONNECTION_SECONDS,
            "log_format": "json",
            "commerce_metrics_port": 0,
            "gateway_metrics_port": 0,
        }
        settings = CommerceSettings(commerce_database_url=database_url, **common)
        of_gateway = GatewaySettings(gateway_port=free_port(), **common)
        gateway = await stack.enter_async_context(_gateway(of_gateway, home))
        channel = await stack.enter_async_context(connect(target))
        yield World(
            names=names,
            port=port,
            network=network,
            settings=as_environment(settings),
            home=home,
            gateway=gateway,
            roads=[_through_gateway(gateway), _through_client(channel)],
        )


def own_network() -> str:
    """Return three bytes of addresses. All of 127/8 is loopback, and other runs have others."""
    return f"127.{random.randint(1, 250)}.{random.randint(1, 250)}"


def _through_gateway(client: Client) -> Road:
    async def read() -> None:
        answer = await client.get("/v1/categories")
        if answer.status != 200:
            raise Failed(str(answer.status))

    async def write() -> None:
        answer = await client.send("DELETE", "/v1/cart")
        if answer.status != 401:  # the service has answered
            raise Failed(str(answer.status))

    return Road("gateway", read, write)


def _through_client(channel: grpc.aio.Channel) -> Road:
    catalog = catalog_grpc.CatalogServiceStub(channel)
    cart = cart_grpc.CartServiceStub(channel)

    async def read() -> None:
        try:
            await catalog.ListCategories(catalog_pb.ListCategoriesRequest())
        except LockstepError as error:
            raise Failed(error.code.name) from error

    async def write() -> None:
        try:
            await cart.ClearCart(cart_pb.ClearCartRequest())
        except Unauthenticated:
            pass  # the service has answered
        except LockstepError as error:
            raise Failed(error.code.name) from error

    return Road("client", read, write)


@contextlib.asynccontextmanager
async def _gateway(settings: GatewaySettings, home: Path) -> AsyncIterator[Client]:
    log = home / "gateway.log"
    async with running("services.gateway", as_environment(settings), log):
        await until(lambda: b"listening" in log.read_bytes(), seconds=START_SECONDS_MAX)
        yield Client(settings.gateway_port)


@contextlib.asynccontextmanager
async def running(
    module: str,
    settings: Mapping[str, str],
    log: Path,
    *,
    python: str = sys.executable,
    folder: Path = ROOT,
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a module until the context ends, with these settings and no others."""
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *(python, "-m", module),
            cwd=folder,
            env={**without_settings(), **settings},
            stdout=output,
            stderr=output,
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
