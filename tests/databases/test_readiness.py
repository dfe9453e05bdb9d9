"""A service is ready when its tables fit its code, and says which side is behind."""

from __future__ import annotations

from collections.abc import AsyncIterator

import psycopg
import pytest

from services.common.schema import migrations_of, newest_revision, schema_probe
from services.kernel.db.database import Database
from services.kernel.rpc.server import NotReady, Probe


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
    with psycopg.connect(url, autocommit=True) as connection:
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
