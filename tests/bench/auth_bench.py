"""How much of what bcrypt allows logins and registrations get, and who waits for them.

    python -m tests.bench.auth_bench [SECONDS] [COST]

Auth and Profile run as processes of their own, on a PostgreSQL that syncs its commits.
Hashing takes all cores, so the ceiling is measured before and after, and in between
what is measured against it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep.auth.v1 import auth_service_pb2_grpc as auth_grpc
from lockstep_clients import ResourceExhausted, bearer, connect

from services.auth.passwords import Hasher
from services.auth.settings import AuthSettings
from services.cli.postgres import EmbeddedPostgres
from services.kernel import keys as key_files
from services.kernel.migrations import upgrade
from services.profile.settings import ProfileSettings
from tests.conftest import SERVICES
from tests.faulty import started

PASSWORD = "Copper-Kettle-7"
CALLERS = 4 * (os.cpu_count() or 1)  # all cores hash, and nobody waits for his deadline
STORM_CALLERS = 64
PEOPLE = 8
UNUSED_PORT = 1

Once = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Figure:
    """A rate, and its share of the ceiling; or a time, and its ratio to that of idleness."""

    name: str
    value: float
    unit: str
    share: float

    def __str__(self) -> str:
        """Return a line for people."""
        return f"{self.name:<42} {self.value:8.2f} {self.unit:<4} {self.share:6.2f}"


@dataclass(frozen=True, slots=True)
class World:
    """An Auth with a few people."""

    auth: auth_grpc.AuthServiceAsyncStub
    cost: int
    emails: list[str]

    async def register(self) -> str:
        """Register somebody, who has to give a phone number, and return the address."""
        email = f"{uuid4().hex}@bench.example"
        request = auth_pb.RegisterRequest(
            email=email,
            password=PASSWORD,
            full_name="Ada Lovelace",
            phone_number=f"+{uuid4().int % 10**15:015d}",
        )
        await self.auth.Register(request)
        return email

    async def log_in(self) -> auth_pb.LoginResponse:
        """Log somebody in."""
        email = self.emails[uuid4().int % len(self.emails)]
        return await self.auth.Login(auth_pb.LoginRequest(email=email, password=PASSWORD))


async def figures(*, seconds: float = 10.0, cost: int = 12) -> list[Figure]:
    """Measure everything here."""
    async with bench_world(cost) as world:
        ceilings = [await ceiling(cost, seconds)]
        logins = await rate(world.log_in, seconds)
        ceilings.append(await ceiling(cost, seconds))
        registrations = await rate(world.register, seconds)
        ceilings.append(await ceiling(cost, seconds))
        idle, stormy = await get_user_p99(world, seconds)
    return [
        Figure(f"bcrypt, cost {cost}, all cores", statistics.mean(ceilings), "/s", 1.0),
        Figure("Login", logins, "/s", logins / statistics.mean(ceilings[:2])),
        Figure("Register", registrations, "/s", registrations / statistics.mean(ceilings[1:])),
        Figure("GetUser, p99, idle", idle, "ms", 1.0),
        Figure("GetUser, p99, in a storm of logins", stormy, "ms", stormy / idle),
    ]


async def ceiling(cost: int, seconds: float) -> float:
    """Return how many passwords a second this machine can hash."""
    hasher = Hasher(cost)
    try:
        return await rate(lambda: hasher.hash(PASSWORD), seconds, callers=os.cpu_count() or 1)
    finally:
        hasher.close()


async def rate(once: Once, seconds: float, *, callers: int = CALLERS) -> float:
    """Return how often a second something is done, by callers who each do it one by one.

    Counted from the first end to the last, so that neither ramp counts.
    """
    until = time.perf_counter() + seconds
    ends: list[float] = []

    async def repeat() -> None:
        while time.perf_counter() < until:
            await once()
            ends.append(time.perf_counter())

    await asyncio.gather(*(repeat() for _ in range(callers)))
    within = sorted(end for end in ends if end <= until)
    return (len(within) - 1) / (within[-1] - within[0])


async def get_user_p99(world: World, seconds: float) -> tuple[float, float]:
    """Return the p99 of GetUser in milliseconds: idle, and in a storm of logins."""
    metadata = bearer((await world.log_in()).token)
    request = auth_pb.GetUserRequest(user_id="me")

    async def p99() -> float:
        times, until = [], time.perf_counter() + seconds
        while (before := time.perf_counter()) < until:
            await world.auth.GetUser(request, metadata=metadata)
            times.append(1000 * (time.perf_counter() - before))
            await asyncio.sleep(0.005)
        return sorted(times)[int(len(times) * 0.99)]

    await p99()
    idle = await p99()
    storm = [asyncio.create_task(_storm(world)) for _ in range(STORM_CALLERS)]
    try:
        return idle, await p99()
    finally:
        for task in storm:
            task.cancel()
        await asyncio.wait(storm)


async def _storm(world: World) -> None:
    while True:
        with contextlib.suppress(ResourceExhausted):
            await world.log_in()
        await asyncio.sleep(0.05)


@asynccontextmanager
async def bench_world(cost: int) -> AsyncIterator[World]:
    """Run PostgreSQL, Profile and Auth, each as a process of its own."""
    with tempfile.TemporaryDirectory(prefix="lockstep-bench-") as name:
        folder = Path(name)
        key_files.initialise(folder / "keys")
        server = EmbeddedPostgres(folder / "postgres")
        try:
            server.start()
            server.create_databases(["authdb", "profiledb"])
            for service in ("auth", "profile"):
                upgrade(server.url(f"{service}db"), SERVICES / service / "migrations")
            async with _running(server, folder, cost) as world:
                world.emails.extend([await world.register() for _ in range(PEOPLE)])
                yield world
        finally:
            server.destroy()


@asynccontextmanager
async def _running(server: EmbeddedPostgres, folder: Path, cost: int) -> AsyncIterator[World]:
    of_profile = ProfileSettings(
        keys=folder / "keys",
        profile_database_url=server.url("profiledb"),
        auth_address=f"127.0.0.1:{UNUSED_PORT}",
    )
    async with started("profile", of_profile, folder / "log") as profile:
        of_auth = AuthSettings(
            env="test",
            keys=folder / "keys",
            auth_database_url=server.url("authdb"),
            profile_address=f"127.0.0.1:{profile.port}",
            commerce_address=f"127.0.0.1:{UNUSED_PORT}",
            smtp_url=f"smtp://127.0.0.1:{UNUSED_PORT}",
            bcrypt_cost=cost,
            address_limits=False,
        )
        async with (
            started("auth", of_auth, folder / "log") as auth,
            connect(f"127.0.0.1:{auth.port}") as channel,
        ):
            stub = auth_grpc.AuthServiceStub(channel)
            await stub.GetJwks(auth_pb.GetJwksRequest(), wait_for_ready=True)
            yield World(stub, cost, [])


if __name__ == "__main__":
    chosen_seconds, chosen_cost = (*sys.argv[1:], *("10", "12")[len(sys.argv) - 1 :])
    for figure in asyncio.run(figures(seconds=float(chosen_seconds), cost=int(chosen_cost))):
        print(figure)
