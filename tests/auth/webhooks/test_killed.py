"""Auth that is killed (SIGKILL) between any two steps of a delivery loses and reorders nothing."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from lockstep.auth.v1 import webhook_service_pb2_grpc as webhook_grpc
from lockstep_clients import connect

from services.auth.settings import AuthSettings
from services.kernel.ids import new_id
from tests.auth.webhooks.hooks import VERIFIED, Hooks
from tests.auth.webhooks.receiver import Received, Receiver
from tests.auth.world import Sink, serving_auth
from tests.faulty import Process, started
from tests.waiting import until_found

SUBJECTS = 3
# The steps of a delivery. A claim comes after something waits: an empty one would do, too.
EDGES = (
    "auth.webhooks-auth.statement#2",  # the cursor has moved, and nothing is queued
    "auth.webhook.note.commit.sent",  # the receiver has taken it, and nothing is marked
    "auth.webhook.claim.commit.acked",  # the lease is taken, and nothing is posted
    "auth.webhook.note.commit.acked",
)
_ADD = "INSERT INTO events (id, type, subject, payload) VALUES (%s, %s, %s, '')"


class Killed:
    """The database and the processes of an Auth that has one webhook."""

    def __init__(self, settings: AuthSettings, log: Path) -> None:
        self.settings = settings
        self.users = [f"users/{new_id()}" for _ in range(SUBJECTS)]
        self._log = log

    def process(self, edge: str = "") -> contextlib.AbstractAsyncContextManager[Process]:
        """Run Auth in a process of its own, which is killed at an edge."""
        return started("auth", self.settings, self._log, edge=edge)

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement on Auth's database."""
        with psycopg.connect(self.settings.auth_database_url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def tell(self) -> None:
        """Add an event of each subject."""
        for user in self.users:
            self.sql(_ADD, new_id(), VERIFIED, user)

    def end_leases(self) -> None:
        """Let the lease and all pauses be over."""
        self.sql("UPDATE webhooks SET next_round_time = now()")
        self.sql("UPDATE webhook_deliveries SET next_attempt_time = now()")

    def events(self) -> dict[str, list[str]]:
        """Return the ids of the events of each subject, in their order."""
        found = defaultdict(list)
        for subject, event_id in self.sql("SELECT subject, id::text FROM events ORDER BY place"):
            found[subject].append(event_id)
        return found

    async def delivered(self) -> None:
        """Wait until every event is marked as delivered."""

        async def left() -> list[tuple[Any, ...]]:
            return self.sql(
                "SELECT id FROM events EXCEPT"
                " SELECT event_id FROM webhook_deliveries WHERE state = 'DELIVERED'"
            )

        await until_found(left, lambda found: not found)


@pytest.fixture
async def killed(
    make_settings: Callable[..., AuthSettings],
    mail: tuple[Sink, int],
    receiver: Receiver,
    tmp_path: Path,
) -> Killed:
    """An Auth whose webhook is there, and that does not run yet."""
    settings = make_settings(webhook_private_addresses=True)
    async with serving_auth(settings, mail[0]) as world:
        admin = await world.admin("root@example.com")
        async with connect(f"127.0.0.1:{world.running.port}") as channel:
            hooks = Hooks(world, admin, webhook_grpc.WebhookServiceStub(channel))
            await hooks.create(receiver.url, disabled=True)
    made = Killed(settings, tmp_path / "log")
    made.sql("UPDATE webhooks SET disabled_reason = NULL")
    return made


def first_times(got: list[Received]) -> dict[str, list[str]]:
    """Return the ids that came for each subject, in the order in which they came first."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for each in got:
        subject = each.body.split('"subject":"')[1].split('"')[0]
        if each.headers["webhook-id"] not in found[subject]:
            found[subject].append(each.headers["webhook-id"])
    return found


@pytest.mark.processes
async def test_every_event_comes_in_order_whenever_the_process_is_killed(
    killed: Killed, receiver: Receiver
) -> None:
    with psycopg.connect(killed.settings.auth_database_url) as unfinished:
        unfinished.execute(_ADD, [new_id(), VERIFIED, "users/never"])
        for edge in EDGES:
            killed.tell()
            async with killed.process(edge) as process:
                await process.gone()
            killed.end_leases()
        killed.tell()
        async with killed.process():
            await killed.delivered()
        unfinished.rollback()
    assert first_times(receiver.got) == killed.events()
    # The post that was not marked was repeated. All other events came once.
    counts = Counter(each.headers["webhook-id"] for each in receiver.got)
    assert sorted(counts.values())[-2:] == [1, 2]


@pytest.mark.processes
async def test_a_post_whose_sender_is_killed_before_the_answer_comes_again_with_the_same_id(
    killed: Killed, receiver: Receiver
) -> None:
    arrived = asyncio.Event()

    async def never(_writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await asyncio.Event().wait()

    receiver.answer = never
    killed.tell()
    async with killed.process() as process:
        async with asyncio.timeout(20):
            await arrived.wait()
        process.signal(signal.SIGKILL)
        await process.gone()
    receiver.answer = None
    leased = "SELECT next_round_time > now() + interval '30 seconds' FROM webhooks"
    assert killed.sql(leased) == [(True,)]
    killed.end_leases()
    async with killed.process():
        await killed.delivered()
    ids = [each.headers["webhook-id"] for each in receiver.got]
    assert ids[0] == ids[1]
    assert len({each.body for each in receiver.got[:2]}) == 1
    assert len(set(ids)) == len(ids) - 1
    assert first_times(receiver.got) == killed.events()
