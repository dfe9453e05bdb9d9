"""What `lockstep status` and the local page look at has an end, whatever holds a database up."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import psycopg
import pytest

from services.cli import checks, databases, saga_steps
from services.cli.checks import Check


class OneDatabase:
    """A system whose services all have one database."""

    def __init__(self, url: str) -> None:
        self.url = url

    def database_url(self, _service: str) -> str:
        return self.url

    def uses_embedded(self, _service: str) -> bool:
        return False


async def test_a_table_that_a_migration_has_locked_is_told_and_waited_for_by_nobody(
    profile_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "READ_SECONDS", 0.2)
    system: Any = OneDatabase(profile_url)
    with psycopg.connect(profile_url) as migration:
        migration.execute("LOCK TABLE alembic_version, saga_barriers IN ACCESS EXCLUSIVE MODE")
        (found,) = await checks._check_database(system, "profile")
        with pytest.raises(psycopg.errors.QueryCanceled):
            saga_steps.steps_of(system, uuid4())
    assert found == Check(
        "schema", "profile", trouble="canceling statement due to statement timeout"
    )
    assert checks._schema(system, "profile").trouble is None


def test_a_look_writes_nothing(profile_url: str) -> None:
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        databases.read_rows(profile_url, "DELETE FROM saga_barriers")
