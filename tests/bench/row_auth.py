"""Registration and login: against bcrypt alone, against no saga, and beside other calls."""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from lockstep.auth.v1 import auth_service_pb2_grpc as auth_grpc
from lockstep.commerce.v1 import catalog_service_pb2 as catalog_pb
from lockstep_clients import ResourceExhausted, connect

from services.auth.domain.passwords import Hasher
from tests.bench.lab import CHEAP, Lab, p99
from tests.bench.people import PASSWORD, Clients, registration
from tests.bench.report import Finding, Ratio, at_least, at_most
from tests.bench.row_lists import medians
from tests.bench.stack import helper

COST = 12
CALLERS, STORM_CALLERS = 16, 32
SHARE_OF_BCRYPT, SAGA_COST, AUDIT_COST, STORM_COST = 0.95, 1.2, 1.1, 5.0
# The mail of a registration is sent 20 ms later, and must not meet the next registration.
MAIL_SECONDS = 0.08
READ_PAUSE_SECONDS = 0.01
# Each caller of the storm is answered or refused at once, and then calls again.
STORM_PAUSE_SECONDS = 0.05
# The storm has begun when as many logins are answered or refused as there are callers.
STORM_START_SECONDS = 30.0

Once = Callable[[], Awaitable[object]]
OtherAuth = Callable[[Lab], AbstractAsyncContextManager["auth_grpc.AuthServiceAsyncStub"]]


async def hashing(lab: Lab) -> list[Finding]:
    """Compare registrations and logins a second with hashes a second, all cores for all."""
    rounds, seconds = (1, 7.0) if lab.is_quick else (3, 20.0)
    async with lab.running() as to:
        email = await to.register()
        ceilings, logins, registrations = [], [], []
        for turn in range(rounds):
            lab.say(f"hashes, logins and registrations, {turn + 1} of {rounds}")
            ceilings.append(await _hashes(seconds))
            logins.append(await rate(lambda: to.log_in(email), seconds))
            registrations.append(await rate(to.register, seconds))
            ceilings.append(await _hashes(seconds))
    # Each round lies between two measurements of the ceiling.
    pairs = [statistics.mean(ceilings[2 * n : 2 * n + 2]) for n in range(rounds)]

    def judged(figure: str, rates: list[float]) -> Finding:
        measured = (
            f"{statistics.median(rates):.2f}/s; bcrypt of cost {COST} "
            f"{statistics.median(pairs):.2f}/s"
        )
        return at_least("hashing", figure, measured, Ratio.of(rates, pairs), SHARE_OF_BCRYPT)

    return [judged("logins", logins), judged("registrations", registrations)]


async def saga(lab: Lab) -> list[Finding]:
    """Register in turns by the saga and by the same two writes one after the other."""
    return await _beside(lab, _naive, "saga", "registration, saga of no saga", SAGA_COST)


async def audit(lab: Lab) -> list[Finding]:
    """Register in turns with the audit log, and by an Auth that writes none."""
    return await _beside(lab, _silent, "audit", "registration, audit log of none", AUDIT_COST)


async def _beside(lab: Lab, other: OtherAuth, row: str, figure: str, most: float) -> list[Finding]:
    """Register in turns as it is, and by an Auth without the row's part."""
    calls = 80 if lab.is_quick else 400
    async with lab.running(**CHEAP) as to, other(lab) as auth:
        lab.say(figure)
        with_it, without = await medians(
            [_registering(to.auth), _registering(auth)], calls, pause_seconds=MAIL_SECONDS
        )
    measured = f"p50 {with_it:.1f} ms; without {without:.1f} ms"
    ratio = Ratio([with_it / without])
    return [at_most(row, figure, measured, ratio, most)]


async def storm(lab: Lab) -> list[Finding]:
    """Read a hundred products a second, with and without a storm of logins."""
    rounds, seconds = (2, 3.0) if lab.is_quick else (5, 8.0)
    async with lab.running() as to:
        email = await to.register()
        page = await to.catalog.ListProducts(catalog_pb.ListProductsRequest())
        request = catalog_pb.GetProductRequest(product_id=page.products[0].id)

        async def read() -> float:
            return p99(await _reads(lambda: to.catalog.GetProduct(request), seconds))

        await read()
        idle, stormy = [], []
        for turn in range(rounds):
            lab.say(f"reads in a storm of logins, {turn + 1} of {rounds}")
            idle.append(await read())
            async with _logins(to, email):
                stormy.append(await read())
    measured = (
        f"p99 {1000 * statistics.median(stormy):.1f} ms; "
        f"idle {1000 * statistics.median(idle):.1f} ms"
    )
    figure = f"GetProduct while {STORM_CALLERS} log in"
    return [at_most("storm", figure, measured, Ratio.of(stormy, idle), STORM_COST)]


async def rate(once: Once, seconds: float, *, callers: int = CALLERS) -> float:
    """Return the calls a second of several callers, each of whom makes one after the other.

    The count goes from the first end to the last, so neither ramp is in it.
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


async def _hashes(seconds: float) -> float:
    hasher = Hasher(COST)
    try:
        return await rate(lambda: hasher.hash(PASSWORD), seconds, callers=os.cpu_count() or 1)
    finally:
        hasher.close()


def _registering(auth: auth_grpc.AuthServiceAsyncStub) -> Callable[[], Awaitable[None]]:
    async def once() -> None:
        await auth.Register(registration())

    return once


@asynccontextmanager
async def _naive(lab: Lab) -> AsyncIterator[auth_grpc.AuthServiceAsyncStub]:
    """Run an Auth and a Profile that know no saga, on the same databases."""
    async with AsyncExitStack() as stack:
        environment = lab.stack.environment(**CHEAP)
        profile = await stack.enter_async_context(
            helper("tests.bench.naive", "profile", environment=environment)
        )
        environment = lab.stack.environment(**CHEAP, profile_address=profile.endpoint)
        auth = await stack.enter_async_context(
            helper("tests.bench.naive", "auth", environment=environment)
        )
        channel = await stack.enter_async_context(connect(auth.endpoint))
        yield auth_grpc.AuthServiceStub(channel)


@asynccontextmanager
async def _silent(lab: Lab) -> AsyncIterator[auth_grpc.AuthServiceAsyncStub]:
    """Run an Auth without an audit log, on the same database and beside the same Profile."""
    environment = lab.stack.environment(**CHEAP)
    async with (
        helper("tests.bench.without", "auth", "audit", environment=environment) as auth,
        connect(auth.endpoint) as channel,
    ):
        yield auth_grpc.AuthServiceStub(channel)


async def _reads(once: Once, seconds: float) -> list[float]:
    times, until = [], time.perf_counter() + seconds
    while (began := time.perf_counter()) < until:
        await once()
        times.append(time.perf_counter() - began)
        await asyncio.sleep(READ_PAUSE_SECONDS)
    return times


@asynccontextmanager
async def _logins(to: Clients, email: str) -> AsyncIterator[None]:
    answered = asyncio.Semaphore(0)

    async def repeat() -> None:
        while True:
            with contextlib.suppress(ResourceExhausted):
                await to.log_in(email)
            answered.release()
            await asyncio.sleep(STORM_PAUSE_SECONDS)

    tasks = [asyncio.create_task(repeat()) for _ in range(STORM_CALLERS)]
    try:
        async with asyncio.timeout(STORM_START_SECONDS):
            for _ in range(STORM_CALLERS):
                await answered.acquire()
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
