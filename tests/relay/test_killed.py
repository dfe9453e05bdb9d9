"""A broker, a relay and a service that are killed under load cost no event, and repeat none."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psycopg
import pytest
from lockstep.events.v1 import auth_events_pb2
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig

from services.common import key_files
from services.kernel.db.database import Database, Transaction
from services.kernel.events.writer import Fact, tell
from services.kernel.ids import new_id
from tests.environment import variables, without_settings
from tests.ports import free_ports
from tests.relay.broker import Nats, messages
from tests.waiting import until, until_found

STREAM, SUBJECT = "LOCKSTEP_AUTH", "lockstep.events.v1.UserVerified"
SUBJECTS = 6
GROWTH = 40
KILLS = 2
# Two of three services do not run.
NOT_READY = (
    503,
    "cannot watch the events of profile; cannot watch the events of commerce\n",
)
SECONDS = 120.0


@dataclass
class Processes:
    """Processes of this test, which it may kill."""

    environment: dict[str, str]
    log: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, module: str, **more: str) -> None:
        """Start a module, or start it anew."""
        with self.log.open("ab") as log:
            self.running[name] = subprocess.Popen(
                [sys.executable, "-m", module],
                env=self.environment | more,
                stdout=log,
                stderr=log,
            )

    def kill(self, name: str) -> None:
        """Kill a process (SIGKILL)."""
        process = self.running.pop(name)
        process.kill()
        process.wait()


@dataclass
class Consumer:
    """A durable consumer that remembers ids.

    Attributes:
        seen: The ids of each subject, in the order in which they came first.
    """

    seen: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    known: set[str] = field(default_factory=set)

    async def consume(self, jetstream: JetStreamContext) -> None:
        """Take messages for ever."""
        while True:
            with contextlib.suppress(NatsError, OSError):
                one_by_one = ConsumerConfig(max_ack_pending=1)  # keeps the order in any case
                pull = await jetstream.pull_subscribe(
                    SUBJECT, durable="test", stream=STREAM, config=one_by_one
                )
                while True:
                    for message in await pull.fetch(1, timeout=1):
                        headers = message.headers or {}
                        if headers["ce-id"] not in self.known:
                            self.known.add(headers["ce-id"])
                            self.seen[headers["ce-subject"]].append(headers["ce-id"])
                        await message.ack()
            await asyncio.sleep(0.1)


@pytest.fixture
def processes(auth_url: str, nats: Nats, tmp_path: Path) -> Iterator[Processes]:
    """Auth and two relays."""
    keys = tmp_path / "keys"
    key_files.initialise(keys)
    key_files.initialise(keys, ["relay"])
    auth, profile, commerce, metrics = map(str, free_ports(4))
    environment = without_settings() | variables(
        home=str(tmp_path / "home"),
        env="test",
        keys=str(keys),
        auth_database_url=auth_url,
        auth_port=auth,
        profile_port=profile,
        commerce_port=commerce,
        auth_metrics_port=metrics,
        nats_url=nats.url,
    )
    made = Processes(environment, tmp_path / "log")
    made.start("auth", "services.auth")
    for name in ("first", "second"):
        made.start(name, "services.relay", LOCKSTEP_RELAY_METRICS_PORT="0")
    try:
        yield made
    finally:
        for name in list(made.running):
            made.kill(name)


@contextlib.asynccontextmanager
async def load(auth_url: str) -> AsyncIterator[None]:
    """Write events, those of each subject one after the other, until the context ends."""
    async with contextlib.AsyncExitStack() as stack:
        database = Database(auth_url, name="load", connections=3)
        await database.open()
        stack.push_async_callback(database.close)
        is_over = asyncio.Event()

        async def live() -> None:
            user_id = str(new_id())
            fact = Fact(f"users/{user_id}", auth_events_pb2.UserVerified(user_id=user_id))

            async def work(tx: Transaction) -> None:
                await tell(tx, fact)

            while not is_over.is_set():
                await database.transact("change", work)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(is_over.wait(), 0.05)

        async with asyncio.TaskGroup() as group:
            for _ in range(SUBJECTS):
                group.create_task(live())
            try:
                yield
            finally:
                is_over.set()


async def size(jetstream: JetStreamContext) -> int:
    try:
        return (await jetstream.stream_info(STREAM)).state.messages
    except (NatsError, OSError):
        return -1


async def grown(jetstream: JetStreamContext, by: int) -> None:
    """Wait until the stream has grown."""
    before = await until_found(partial(size, jetstream), lambda now: now >= 0, seconds=SECONDS)
    await until_found(partial(size, jetstream), lambda now: now >= before + by, seconds=SECONDS)


@pytest.mark.processes
async def test_each_event_comes_once_and_in_order_whatever_is_killed(
    processes: Processes, auth_url: str, nats: Nats, jetstream: JetStreamContext
) -> None:
    """The broker, a relay and the service, one after the other [E9, E12, E14]."""
    consumer = Consumer()
    consuming = asyncio.create_task(consumer.consume(jetstream))
    async with load(auth_url):
        await grown(jetstream, GROWTH)
        for _ in range(KILLS):
            nats.kill()
            nats.start()
            await grown(jetstream, GROWTH)
            for name in ("first", "second"):
                processes.kill(name)
                await grown(jetstream, GROWTH)  # the other one takes over
                processes.start(name, "services.relay", LOCKSTEP_RELAY_METRICS_PORT="0")
            processes.kill("auth")
            processes.start("auth", "services.auth")
            await grown(jetstream, GROWTH)
    with psycopg.connect(auth_url) as connection:
        rows = connection.execute("SELECT id::text, subject FROM events ORDER BY place").fetchall()
    await until(lambda: len(consumer.known) >= len(rows), seconds=SECONDS)
    consuming.cancel()
    expected = defaultdict(list)
    for event_id, subject in rows:
        expected[subject].append(event_id)
    assert consumer.seen == expected
    in_stream = [(each.headers or {})["ce-id"] for each in await messages(jetstream, STREAM)]
    assert sorted(in_stream) == sorted(event_id for event_id, _ in rows)
    assert in_stream == by_number(auth_url)


def by_number(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT id::text FROM events ORDER BY sequence").fetchall()
    return [event_id for (event_id,) in rows]


@pytest.mark.processes
async def test_the_relay_tells_how_it_is_and_stops_in_order(
    processes: Processes, jetstream: JetStreamContext
) -> None:
    [port] = free_ports(1)
    processes.start("third", "services.relay", LOCKSTEP_RELAY_METRICS_PORT=str(port))

    def asked(path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    await until_found(
        lambda: asyncio.to_thread(asked, "readyz"), lambda told: told == NOT_READY, seconds=SECONDS
    )
    assert await asyncio.to_thread(asked, "livez") == (200, "ok\n")
    metrics = (await asyncio.to_thread(asked, "metrics"))[1]
    assert 'lockstep_relay_behind_seconds{lockstep_service="auth"} 0.0' in metrics
    process = processes.running["third"]
    process.terminate()
    assert await asyncio.to_thread(process.wait, 30) == 0


def test_a_relay_without_a_broker_does_not_start(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "services.relay"],
        env=without_settings() | variables(home=str(tmp_path)),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr == "relay: LOCKSTEP_NATS_URL must name the NATS server to publish to\n"
