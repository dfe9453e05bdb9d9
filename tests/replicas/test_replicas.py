"""Replicas that freeze, die, stop, come and ail, as the gateway and the client see them."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
import pytest_asyncio

from services.cli.postgres import EmbeddedPostgres
from tests.conftest import Databases
from tests.replicas.world import Load, Replica, World, replica_world

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.processes,
    pytest.mark.slow,
]

# A call that may not be repeated fails with its replica: it may have taken effect.
MAYBE_DONE = {("gateway", "503"), ("client", "UNAVAILABLE")}
ROLE = "ailing"


@pytest.fixture(scope="module")
def database_url(databases: Databases) -> Iterator[str]:
    with ExitStack() as stack:
        yield databases.fresh(stack, "commerce")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(
    database_url: str, keys: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    async with replica_world(database_url, keys, tmp_path_factory.mktemp("replicas")) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def first(world: World) -> AsyncIterator[Replica]:
    """A replica to which nothing happens."""
    async with world.replica(11) as replica:
        with world.named(replica):
            yield replica


@pytest_asyncio.fixture(loop_scope="module")
async def load(world: World, first: Replica) -> AsyncIterator[Load]:
    """Calls that go on during a test."""
    async with world.load() as load:
        await load.goes_on()
        yield load


@pytest_asyncio.fixture(loop_scope="module")
async def second(world: World, first: Replica, load: Load) -> AsyncIterator[Replica]:
    """A replica that was added, and gets its share of the calls."""
    async with world.replica(12) as replica:
        with world.named(first, replica):
            await replica.is_read_again()
            yield replica


async def test_a_replica_that_is_added_gets_calls_and_none_fails(
    load: Load, second: Replica
) -> None:
    await second.is_read_again()
    assert load.failures() == set()


async def test_a_frozen_replica_is_left_before_the_deadline_of_its_calls(
    world: World, first: Replica, load: Load, second: Replica
) -> None:
    """A call that it held to its deadline would have failed with DEADLINE_EXCEEDED."""
    second.signal(signal.SIGSTOP)
    await load.goes_on()
    assert load.failures(reads=True) == set()
    assert load.failures(reads=False) <= MAYBE_DONE
    assert await world.is_ready()

    second.signal(signal.SIGCONT)
    await second.is_read_again()


async def test_a_replica_that_is_killed_costs_no_read(
    world: World, load: Load, second: Replica
) -> None:
    second.signal(signal.SIGKILL)
    await second.ends()
    await load.goes_on()
    assert load.failures(reads=True) == set()
    assert load.failures(reads=False) <= MAYBE_DONE

    async with world.replica(12) as restarted:
        await restarted.is_read_again()


async def test_a_replica_that_stops_costs_no_call_at_all(load: Load, second: Replica) -> None:
    second.signal(signal.SIGTERM)
    assert await second.ends() == 0
    await load.goes_on()
    assert load.failures() == set()


async def test_a_replica_that_is_not_serving_gets_no_calls(
    world: World, first: Replica, load: Load, postgres: EmbeddedPostgres, database_url: str
) -> None:
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {ROLE} LOGIN SUPERUSER")
        url = database_url.replace("user=lockstep", f"user={ROLE}")
        async with world.replica(12, LOCKSTEP_COMMERCE_DATABASE_URL=url) as ailing:
            with world.named(first, ailing):
                await ailing.is_read_again()
                admin.execute(f"ALTER ROLE {ROLE} NOLOGIN")
                admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s",
                    [ROLE],
                )
                await ailing.becomes(serving=False)
                await load.goes_on()
                before = ailing.reads
                load.forget()
                await load.goes_on()
                assert ailing.reads == before
                assert load.failures() == set()
                assert await world.is_ready()

                admin.execute(f"ALTER ROLE {ROLE} LOGIN")
                await ailing.is_read_again()
