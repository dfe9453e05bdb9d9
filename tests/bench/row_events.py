"""Events: what they cost requests, and how fast the relay brings them into NATS."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path

import psycopg
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep.auth.v1 import auth_service_pb2_grpc as auth_grpc
from lockstep.commerce.v1 import order_service_pb2_grpc as order_grpc
from lockstep.events.v1 import auth_events_pb2
from lockstep_clients import connect
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext

from services.common import key_files
from services.kernel.ids import new_id
from tests.bench.lab import CHEAP, Lab, p99, together
from tests.bench.people import Clients, Person, registration
from tests.bench.report import Finding, Ratio, at_most
from tests.bench.row_orders import FUNDS, add, order, products, raise_any
from tests.bench.stack import helper
from tests.relay.broker import Nats
from tests.waiting import until_found

BUYERS, REGISTRATIONS = 32, 32
COST = 1.05
QUIET_SECONDS = 30.0

PER_SECOND, BATCH = 1000, 50
LAG_SECONDS = 1.0
RATE_SHARE = 0.95
SUBJECT = "lockstep.events.v1.UserVerified"
BATCH_SQL = """
    INSERT INTO events (id, type, subject, payload)
    SELECT gen_random_uuid(), %s, 'users/' || i, %s FROM generate_series(1, %s) AS i
"""
NUMBERED = "SELECT NOT EXISTS (SELECT FROM events WHERE sequence IS NULL)"


@dataclass(frozen=True, slots=True)
class Variant:
    """Auth and Commerce with a Profile of their own, with events or without."""

    auth: auth_grpc.AuthServiceAsyncStub
    orders: order_grpc.OrderServiceAsyncStub


async def outbox(lab: Lab) -> list[Finding]:
    """Register and order in turns at services that tell events, and at ones that do not."""
    rounds = 4 if lab.is_quick else 12
    async with (
        lab.running(**CHEAP) as to,
        _variant(lab, part="nothing") as told,
        _variant(lab, part="events") as untold,
    ):
        people = await to.people(BUYERS)
        await to.fund(admin := await lab.admin(to), people, FUNDS)
        pairs = list(zip(people, await products(to, admin, BUYERS), strict=True))

        async def buy(variant: Variant) -> float:
            await together([partial(add, to, *pair) for pair in pairs])
            return await _order_all(replace(to, orders=variant.orders), people)

        both = (told, untold)
        return [
            await _compared(lab, "PlaceOrder", buy, both, rounds),
            await _compared(lab, "Register", _register_all, both, rounds),
        ]


async def _compared(
    lab: Lab,
    method: str,
    measure: Callable[[Variant], Awaitable[float]],
    both: tuple[Variant, Variant],
    rounds: int,
) -> Finding:
    with_events, without = list[float](), list[float]()
    for turn in range(rounds + 1):
        lab.say(f"{method} with events and without, {turn} of {rounds}")
        pair = tuple(zip(both, (with_events, without), strict=True))
        for variant, seconds in pair if turn % 2 else reversed(pair):
            taken = await measure(variant)
            await _until_numbered(lab)
            if turn:  # the first round warms up
                seconds.append(taken)
    text = (
        f"{1000 * statistics.median(with_events):.0f} ms for {BUYERS} at once; "
        f"without {1000 * statistics.median(without):.0f} ms"
    )
    ratio = Ratio.of(with_events, without)
    return at_most("outbox", f"{method} with events, of without", text, ratio, COST)


async def _order_all(to: Clients, people: Sequence[Person]) -> float:
    began = time.perf_counter()
    _, came = await together([partial(order, to, person) for person in people])
    raise_any(came)
    return time.perf_counter() - began


async def _register_all(variant: Variant) -> float:
    requests = [registration() for _ in range(REGISTRATIONS)]
    began = time.perf_counter()
    _, came = await together([partial(_register, variant, each) for each in requests])
    raise_any(came)
    return time.perf_counter() - began


async def _register(variant: Variant, request: auth_pb.RegisterRequest) -> None:
    await variant.auth.Register(request)


@asynccontextmanager
async def _variant(lab: Lab, *, part: str) -> AsyncIterator[Variant]:
    async with AsyncExitStack() as stack:

        async def started(service: str, **addresses: str) -> str:
            environment = lab.stack.environment(**CHEAP, **addresses)
            running = helper("tests.bench.without", service, part, environment=environment)
            return (await stack.enter_async_context(running)).endpoint

        profile = await started("profile")
        auth = await started("auth", profile_address=profile)
        commerce = await started("commerce", profile_address=profile)
        yield Variant(
            auth_grpc.AuthServiceStub(await stack.enter_async_context(connect(auth))),
            order_grpc.OrderServiceStub(await stack.enter_async_context(connect(commerce))),
        )


async def _until_numbered(lab: Lab) -> None:
    """Wait until no event of a round waits, so that the next round does not pay for it."""
    for service in ("auth", "profile", "commerce"):
        url = lab.stack.database_url(service)
        await until_found(partial(asyncio.to_thread, _is_numbered, url), seconds=QUIET_SECONDS)


def _is_numbered(url: str) -> bool:
    with psycopg.connect(url) as connection:
        return connection.execute(NUMBERED).fetchone() == (True,)


async def relay(lab: Lab) -> list[Finding]:
    """Write events at a steady rate; see how old each is when its consumer has it."""
    seconds = 5 if lab.is_quick else 20
    async with lab.running(**CHEAP):
        with (
            tempfile.TemporaryDirectory() as folder,
            Nats(Path(folder)).running() as broker,
            _relay(lab, broker),
        ):
            await _until_numbered(lab)
            lab.say(f"{PER_SECOND} events a second through the relay")
            lags, rate = await _lags(lab, broker, PER_SECOND * seconds)
    text = (
        f"{rate:.0f} events/s for {seconds} s, lag p50 {1000 * statistics.median(lags):.0f} ms, "
        f"p99 {1000 * p99(lags):.0f} ms"
    )
    late = p99(lags) / LAG_SECONDS
    found = at_most("relay", "commit to consumer over NATS, p99 of 1 s", text, Ratio([late]), 1.0)
    return [replace(found, is_met=found.is_met and rate >= RATE_SHARE * PER_SECOND)]


async def _lags(lab: Lab, broker: Nats, count: int) -> tuple[list[float], float]:
    lags, seen = list[float](), asyncio.Event()

    async def take(message: Msg) -> None:
        told_at = datetime.fromisoformat((message.headers or {})["ce-time"]).timestamp()
        lags.append(time.time() - told_at)
        if len(lags) == count:
            seen.set()

    async with broker.connected() as jetstream:
        await until_found(partial(_has_stream, jetstream), seconds=QUIET_SECONDS)
        await jetstream.subscribe(SUBJECT, cb=take, ordered_consumer=True)
        rate = await _write(lab.stack.database_url("auth"), count)
        async with asyncio.timeout(QUIET_SECONDS):
            await seen.wait()
    return lags, rate


async def _has_stream(jetstream: JetStreamContext) -> bool:
    with contextlib.suppress(NatsError):
        await jetstream.stream_info("LOCKSTEP_AUTH")
        return True
    return False


async def _write(url: str, count: int) -> float:
    """Write events, a batch in each transaction; return how many came a second.

    PostgreSQL makes the rows: on this machine the load must not take the relay's core.
    """
    payload = auth_events_pb2.UserVerified(user_id=str(new_id())).SerializeToString()
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        began = time.perf_counter()
        for batch in range(count // BATCH):
            due = began + batch * BATCH / PER_SECOND
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            await connection.execute(BATCH_SQL, (SUBJECT, payload, BATCH))
        return count / (time.perf_counter() - began)


@contextlib.contextmanager
def _relay(lab: Lab, broker: Nats) -> Iterator[None]:
    key_files.initialise(lab.stack.home / "keys", ["relay"])
    environment = lab.stack.environment(
        **CHEAP, nats_url=broker.url, relay_metrics_port="0", log_level="warning"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "services.relay"], env=environment, stdout=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()
