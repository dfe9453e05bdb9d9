"""What the tests of the kernel stand on: a database with the kernel's tables alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

import pytest
import structlog
from sqlalchemy import create_engine, make_url
from structlog.testing import LogCapture
from structlog.typing import EventDict

from services.cli.postgres import EmbeddedPostgres
from services.kernel.db import tables
from services.kernel.db.database import Database
from tests.kernel.saga_world import World, create_tables, world
from tests.postgres import fresh_database, make_template

METADATA = tables.new_metadata()
for table in (tables.SAGAS, tables.SAGA_BARRIERS, tables.IDEMPOTENCY):
    table.to_metadata(METADATA)
tables.audit_log(METADATA)
tables.events(METADATA)


@pytest.fixture(scope="session")
def kernel_template(postgres: EmbeddedPostgres) -> str:
    """A template with the kernel's tables."""
    return make_template(postgres, "kernel_template", _create_tables)


@pytest.fixture
def kernel_url(postgres: EmbeddedPostgres, kernel_template: str, stack: ExitStack) -> str:
    """A fresh database with the kernel's tables."""
    return stack.enter_context(fresh_database(postgres, kernel_template))


@pytest.fixture(scope="session")
def saga_template(postgres: EmbeddedPostgres) -> str:
    """A template with the tables of the world of sagas."""
    return make_template(postgres, "saga_template", create_tables)


@pytest.fixture
async def w(
    postgres: EmbeddedPostgres, saga_template: str, stack: ExitStack
) -> AsyncIterator[World]:
    """A coordinator and a participant, on a fresh database each."""
    urls = [stack.enter_context(fresh_database(postgres, saga_template)) for _ in range(2)]
    async with world(*urls) as made:
        yield made


@pytest.fixture
async def database(kernel_url: str) -> AsyncIterator[Database]:
    """A pool of connections to that database."""
    pool = Database(kernel_url, name="kernel", connections=4)
    await pool.open()
    yield pool
    await pool.close()


@pytest.fixture
async def tomorrow(kernel_url: str) -> AsyncIterator[Database]:
    """The same database through sessions whose clock is a day and an hour ahead."""
    options = r"-c lockstep.clock_offset=25\ hours"
    pool = Database(kernel_url, name="kernel", connections=2, options=options)
    await pool.open()
    yield pool
    await pool.close()


def _create_tables(url: str) -> None:
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    METADATA.create_all(engine)
    engine.dispose()


@pytest.fixture
def logged() -> Iterator[list[EventDict]]:
    """What is logged, as events."""
    capture = LogCapture()
    before = structlog.get_config()
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, capture])
    yield capture.entries
    structlog.configure(**before)
