"""`lockstep psql` reaches the embedded PostgreSQL of a Lockstep that is stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from services.cli.postgres import EmbeddedPostgres
from tests.cli.conftest import Lockstep, finish
from tests.waiting import wait_until

QUERY = "SELECT pg_sleep(600)"


@pytest.fixture
def embedded(home: Path, lockstep: Lockstep) -> Iterator[EmbeddedPostgres]:
    """The PostgreSQL of a Lockstep whose databases are there, and which is stopped."""
    found = EmbeddedPostgres(home / "postgres")
    assert finish(lockstep("migrate", "auth"))[0] == 0
    assert not found.is_ready()
    yield found
    found.destroy()


def test_psql_works_while_lockstep_is_stopped(
    embedded: EmbeddedPostgres, lockstep: Lockstep
) -> None:
    done = finish(lockstep("psql", "auth", "-c", "DELETE FROM outbox"))
    assert done == (0, "DELETE 0\n", "")
    assert not embedded.is_ready()
    code, _, errors = finish(lockstep("psql", "auth", "-v", "ON_ERROR_STOP=1", "-c", "nonsense"))
    assert (code, "syntax error" in errors) == (1, True)
    assert not embedded.is_ready()


@pytest.mark.parametrize(
    ("number", "is_of_the_terminal", "code"),
    [
        (signal.SIGINT, True, 1),  # psql ends its query, and says so
        (signal.SIGTERM, False, 128 + signal.SIGTERM),
    ],
)
def test_a_signal_ends_psql_and_the_server_after_it(
    number: signal.Signals,
    is_of_the_terminal: bool,
    code: int,
    embedded: EmbeddedPostgres,
    environment: dict[str, str],
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "services.cli", "psql", "auth", "-c", QUERY],
        env=environment, start_new_session=True, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    wait_until(lambda: asks(embedded))
    (os.killpg if is_of_the_terminal else os.kill)(process.pid, number)
    found, output, errors = finish(process)
    assert (found, output, "Traceback" in errors) == (code, "", False), errors
    assert ("canceling statement" in errors) == is_of_the_terminal
    assert not embedded.is_ready()


def asks(embedded: EmbeddedPostgres) -> bool:
    """Return whether psql waits for its answer."""
    if not embedded.is_ready():
        return False
    with psycopg.connect(embedded.url("postgres")) as connection:
        found = connection.execute("SELECT 1 FROM pg_stat_activity WHERE query = %s", [QUERY])
        return found.fetchone() is not None
