"""A PostgreSQL of no use is refused in one line, by `migrate` and by services, untouched."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
from typer.testing import CliRunner

from services.cli.errors import CommandError
from services.cli.main import app
from services.cli.postgres import EmbeddedPostgres
from services.kernel.db.database import Database
from services.kernel.db.limits import LIMITS, TimeLimits
from services.kernel.db.requirements import (
    DatabaseUnfit,
    ServerFacts,
    check_limits,
    check_server,
)
from services.kernel.db.urls import parse, unparse
from services.profile import __main__ as profile
from services.profile.settings import ProfileSettings
from tests import old_postgres
from tests.postgres import fresh_database

FACTS = ServerFacts(
    place="db:5432",
    version_number=180001,
    version="18.1",
    encoding="UTF8",
    role="app",
    database="x",
    schema="public",
    backend=1,
    statement_seconds=5.0,
    lock_seconds=2.0,
    idle_seconds=5.0,
)


def migrate(monkeypatch: pytest.MonkeyPatch, url: str) -> str:
    """Migrate one database, and return the refusal."""
    monkeypatch.setenv("LOCKSTEP_PROFILE_DATABASE_URL", url)
    with pytest.raises(CommandError) as refused:
        CliRunner().invoke(app, ["migrate", "profile"], catch_exceptions=False)
    return str(refused.value)


def start(url: str, keys: Path) -> str:
    """Start a service, and return the refusal."""

    async def serve() -> None:
        settings = ProfileSettings(keys=keys, profile_database_url=url)
        async with profile.running(settings, listen_on="127.0.0.1:0"):
            pass

    with pytest.raises(DatabaseUnfit) as refused:
        asyncio.run(serve())
    return str(refused.value)


@pytest.fixture
def role(postgres: EmbeddedPostgres) -> Iterator[str]:
    """Make a role without any right; databases of a test are gone before it is."""
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute("CREATE ROLE plain LOGIN")
        yield "plain"
        connection.execute("DROP ROLE plain")


def as_role(url: str, role: str) -> str:
    return unparse(parse(url) | {"user": role})


def grant(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


def relations(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.skipif(not old_postgres.is_there(), reason=old_postgres.MISSING)
def test_an_old_server_is_refused_with_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: Path
) -> None:
    server = old_postgres.OldPostgres(tmp_path / "postgres")
    try:
        server.start()
        monkeypatch.setenv("LOCKSTEP_DATABASE_URL", server.url("postgres"))
        with pytest.raises(CommandError) as refused:
            CliRunner().invoke(app, ["migrate"], catch_exceptions=False)
        line = str(refused.value)
        assert f"{server.socket_folder} is version 15." in line
        assert "must be 18 or newer" in line
        assert "\n" not in line
        with psycopg.connect(server.url("postgres")) as connection:
            names = connection.execute("SELECT datname FROM pg_database").fetchall()
        assert sorted(names) == [("postgres",), ("template0",), ("template1",)]
        assert start(server.url("postgres"), keys) in line
    finally:
        server.destroy()


def test_another_encoding_is_refused(
    postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch, keys: Path
) -> None:
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(
            "CREATE DATABASE ascii TEMPLATE template0 ENCODING 'SQL_ASCII'"
            " LOCALE_PROVIDER libc LOCALE 'C'"
        )
        try:
            url = postgres.url("ascii")
            line = "the database ascii at {} has the encoding SQL_ASCII, and must have UTF8"
            expected = line.format(postgres.socket_folder)
            assert expected in migrate(monkeypatch, url)
            assert start(url, keys) == expected
            assert relations(url) == 0
        finally:
            connection.execute("DROP DATABASE ascii WITH (FORCE)")


def test_a_role_that_may_not_make_the_database_is_told_so(
    postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    refusal = migrate(monkeypatch, as_role(postgres.url("nothing"), role))

    assert "there is no database nothing at " in refusal
    assert "the role plain must have CREATEDB" in refusal


def test_a_role_that_may_not_make_tables_is_told_so(
    postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    with fresh_database(postgres) as url:
        refusal = migrate(monkeypatch, as_role(url, role))

        assert "the role plain must have CREATE on the schema public in the database " in refusal
        assert relations(url) == 0


def test_a_role_that_does_not_own_the_tables_may_not_migrate_them(
    role: str, profile_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    grant(profile_url, f"GRANT CREATE ON SCHEMA public TO {role}")

    assert "the ownership of accounts, " in migrate(monkeypatch, as_role(profile_url, role))


def test_a_service_names_the_tables_that_it_may_not_use(
    role: str, profile_url: str, keys: Path
) -> None:
    grant(
        profile_url,
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}",
    )
    grant(profile_url, f"REVOKE UPDATE ON profiles FROM {role}")

    refusal = start(as_role(profile_url, role), keys)

    assert refusal.startswith(
        "the role plain must have SELECT, INSERT, UPDATE and DELETE on profiles in the database "
    )
    grant(profile_url, "REVOKE USAGE ON SCHEMA public FROM PUBLIC")
    assert "USAGE on the schema" in start(as_role(profile_url, role), keys)


async def test_a_session_that_loses_its_limits_serves_nobody(profile_url: str) -> None:
    """Something between the service and PostgreSQL may swallow the options."""
    url = f"{profile_url}&options=-c%20statement_timeout%3D1s"
    database = Database(url, name="test", options="-c statement_timeout=0")

    with pytest.raises(DatabaseUnfit, match="statement_timeout = 0 s, and it must be at most 5 s"):
        await database.require()


async def test_a_server_that_is_down_may_come_later() -> None:
    database = Database("postgresql://u@127.0.0.1:1/x", name="test")

    await database.require()


@pytest.mark.parametrize(("number", "version"), [(170006, "17.6"), (90624, "9.6.24")])
def test_every_version_before_18_is_too_old(number: int, version: str) -> None:
    with pytest.raises(DatabaseUnfit, match=f"at db:5432 is version {version}"):
        check_server(replace(FACTS, version_number=number, version=version))
    check_server(FACTS)
    check_server(replace(FACTS, version_number=190000, version="19.0"))


@pytest.mark.parametrize("name", ["statement_seconds", "lock_seconds", "idle_seconds"])
@pytest.mark.parametrize("found", [0.0, 5.5, 3600.0])
def test_each_limit_is_checked(name: str, found: float) -> None:
    with pytest.raises(DatabaseUnfit):
        check_limits(replace(FACTS, **cast(Any, {name: found})), LIMITS)
    check_limits(FACTS, LIMITS)
    check_limits(FACTS, TimeLimits(statement_seconds=10, lock_seconds=10, idle_seconds=10))
