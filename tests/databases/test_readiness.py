"""A service is ready when its tables fit its code, and says which side is behind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
from structlog.testing import capture_logs

from services.cli.health import is_serving
from services.common.histories import migrations_of, newest_revision
from services.common.schema import READ_ONLY, schema_probe
from services.kernel.db.database import Database
from services.kernel.db.urls import parse
from services.kernel.rpc.server import NotReady, Probe
from services.profile import __main__ as profile_main
from services.profile.settings import ProfileSettings
from tests.waiting import until, until_found


@pytest.fixture
def newest() -> str:
    history = migrations_of("profile")
    assert history is not None
    return newest_revision(history)


@pytest.fixture
async def probe(profile_url: str) -> AsyncIterator[Probe]:
    database = Database(profile_url, name="profile", connections=1)
    await database.open()
    yield schema_probe(database, "profile")
    await database.close()


def change(url: str, statement: str) -> None:
    options = "-c default_transaction_read_only=off"
    with psycopg.connect(url, autocommit=True, options=options) as connection:
        connection.execute(statement.encode())


async def test_the_revision_of_the_code_and_every_later_one_are_ready(
    profile_url: str, probe: Probe
) -> None:
    """A rolling update migrates first: equality would take every old replica out."""
    await probe()
    change(profile_url, "UPDATE alembic_version SET version_num = '9000'")
    await probe()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE alembic_version SET version_num = '0002'",
        "DELETE FROM alembic_version",
        "DROP TABLE alembic_version",
        "DROP TABLE least_code",
    ],
)
async def test_a_database_that_is_behind_is_not_ready(
    profile_url: str, probe: Probe, newest: str, statement: str
) -> None:
    change(profile_url, statement)

    with pytest.raises(NotReady, match=f"the database is behind: .* the code needs {newest}; run"):
        await probe()


async def test_code_that_knows_too_little_is_not_ready(
    profile_url: str, probe: Probe, newest: str
) -> None:
    change(profile_url, "UPDATE alembic_version SET version_num = '9000'")
    change(profile_url, f"UPDATE least_code SET revision = '{newest}'")
    await probe()
    change(profile_url, "UPDATE least_code SET revision = '9000'")

    with pytest.raises(NotReady, match=f"the code is behind: it knows revision {newest}, .* 9000"):
        await probe()


async def test_a_service_whose_only_server_takes_no_writes_is_not_serving(
    profile_url: str, keys: Path
) -> None:
    name = parse(profile_url)["dbname"]
    settings = ProfileSettings(
        env="test", keys=keys, profile_database_url=profile_url, stop_grace_seconds=0
    )
    async with profile_main.running(settings, listen_on="127.0.0.1:0") as running:
        target = f"127.0.0.1:{running.port}"
        assert await is_serving(target)
        change(profile_url, f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        change(
            profile_url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        with capture_logs() as logged:
            await until_found(lambda: is_serving(target), lambda it: not it)
            await until(lambda: any(each.get("reason") == READ_ONLY for each in logged))
        change(profile_url, f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
        # Nobody writes meanwhile, so the probe itself must leave the sessions from before.
        await until_found(lambda: is_serving(target))
