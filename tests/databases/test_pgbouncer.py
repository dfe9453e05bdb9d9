"""PgBouncer in transaction mode before PostgreSQL: refused while unsafe, and then like without."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from services.cli.errors import CommandError
from services.cli.main import app
from services.cli.system import DATABASES
from services.kernel.db.requirements import DatabaseUnfit
from services.kernel.db.urls import parse, unparse
from services.profile import __main__ as profile
from services.profile.settings import ProfileSettings
from tests.databases import pgbouncer
from tests.databases.fleet import Fleet
from tests.databases.load import Load
from tests.databases.pgbouncer import PgBouncer
from tests.tcp_postgres import TcpPostgres

pytestmark = [
    pytest.mark.skipif(pgbouncer.program() is None, reason=pgbouncer.MISSING),
    pytest.mark.processes,
]

Migrate = Callable[[], None]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TcpPostgres]:
    """A server with the databases, and a role that may only connect."""
    made = TcpPostgres(tmp_path / "postgres")
    try:
        made.start()
        made.create_databases(DATABASES.values())
        with psycopg.connect(made.url("postgres"), autocommit=True) as connection:
            connection.execute("CREATE ROLE app LOGIN")
        yield made
    finally:
        made.destroy()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the user of PgBouncer can reach: pytest's own are closed to other users."""
    with tempfile.TemporaryDirectory(prefix="lockstep-pgbouncer-") as name:
        Path(name).chmod(0o755)
        yield Path(name) / "pgbouncer"


@pytest.fixture
def bouncer(folder: Path, server: TcpPostgres) -> Iterator[PgBouncer]:
    yield from run(PgBouncer(folder, server.port, ("app", "lockstep")))


@pytest.fixture
def deaf_bouncer(folder: Path, server: TcpPostgres) -> Iterator[PgBouncer]:
    """As is usually advised: it drops the options without a word."""
    further = "ignore_startup_parameters = options"
    yield from run(PgBouncer(folder, server.port, ("app",), further=further))


def run(made: PgBouncer) -> Iterator[PgBouncer]:
    try:
        made.start()
        yield made
    finally:
        made.kill()


@pytest.fixture
def migrate(server: TcpPostgres, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Migrate:
    """Migrate past the pooler, by the owner of the databases."""
    monkeypatch.setenv("LOCKSTEP_HOME", str(tmp_path / "home"))

    def migrate() -> None:
        for service, name in DATABASES.items():
            direct = f"LOCKSTEP_{service.upper()}_MIGRATE_DATABASE_URL"
            monkeypatch.setenv(direct, server.url(name))
        done = CliRunner().invoke(app, ["migrate"], catch_exceptions=False)
        assert done.exit_code == 0

    return migrate


def pooled(bouncer: PgBouncer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lead the services through a pooler, with the setting that says so."""
    monkeypatch.setenv("LOCKSTEP_DATABASE_POOLER", "on")
    for service, name in DATABASES.items():
        monkeypatch.setenv(f"LOCKSTEP_{service.upper()}_DATABASE_URL", bouncer.url(name, "app"))


def start(keys: Path) -> None:
    """Start a service with the settings of the environment, and stop it."""

    async def serve() -> None:
        async with profile.running(ProfileSettings(keys=keys), listen_on="127.0.0.1:0"):
            pass

    asyncio.run(serve())


@pytest.mark.parametrize("kind", ["bouncer", "deaf_bouncer"])
def test_a_pooler_that_no_setting_names_is_refused(
    request: pytest.FixtureRequest, kind: str, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: PgBouncer = request.getfixturevalue(kind)
    monkeypatch.setenv("LOCKSTEP_PROFILE_DATABASE_URL", made.url("profiledb", "app"))

    with pytest.raises(DatabaseUnfit, match="the setting DATABASE_POOLER must be on") as refused:
        start(keys)

    assert "\n" not in str(refused.value)


def test_limits_that_the_role_does_not_bring_are_missed_at_start(
    bouncer: PgBouncer, keys: Path, migrate: Migrate, monkeypatch: pytest.MonkeyPatch
) -> None:
    pooled(bouncer, monkeypatch)

    with pytest.raises(DatabaseUnfit, match="statement_timeout = 0 s, and it must be at most 5 s"):
        start(keys)

    migrate()
    start(keys)


def test_no_migration_goes_through_a_pooler(
    bouncer: PgBouncer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock of the session would be left with a session that serves others."""
    pooled(bouncer, monkeypatch)
    url = unparse(parse(bouncer.url("profiledb", "lockstep")))
    monkeypatch.setenv("LOCKSTEP_PROFILE_DATABASE_URL", url)

    with pytest.raises(CommandError, match="migrations must reach PostgreSQL itself") as refused:
        CliRunner().invoke(app, ["migrate", "profile"], catch_exceptions=False)

    assert "LOCKSTEP_PROFILE_DATABASE_URL" in str(refused.value)


def test_the_role_of_a_service_gets_its_rights_and_limits_and_migrations_have_none(
    server: TcpPostgres, bouncer: PgBouncer, migrate: Migrate, monkeypatch: pytest.MonkeyPatch
) -> None:
    pooled(bouncer, monkeypatch)
    migrate()
    migrate()  # what is there stays

    with psycopg.connect(bouncer.url("commercedb", "app"), autocommit=True) as connection:
        shown = [
            connection.execute(f"SHOW {name}".encode()).fetchone()
            for name in ("statement_timeout", "lock_timeout", "random_page_cost")
        ]
        assert shown == [("5s",), ("2s",), ("1.1",)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("UPDATE alembic_version SET version_num = '0000'")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DROP TABLE orders")
    with psycopg.connect(server.url("commercedb")) as connection:
        assert connection.execute("SHOW statement_timeout").fetchone() == ("0",)


async def test_services_work_behind_it_and_go_on_when_it_is_killed(
    *,
    server: TcpPostgres,
    bouncer: PgBouncer,
    keys: Path,
    migrate: Migrate,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    pooled(bouncer, monkeypatch)
    await asyncio.to_thread(migrate)
    urls = {service: bouncer.url(name, "app") for service, name in DATABASES.items()}
    direct = {service: server.url(name) for service, name in DATABASES.items()}
    settings = {"database_pooler": "on"}
    async with (
        Fleet(urls, folder=tmp_path, keys=keys, settings=settings) as fleet,
        Load(fleet.targets, direct, "pooled") as load,
    ):
        await load.prepare(buyers=4)
        load.start(registering=6)
        await load.go_on(30)
        for kept in (load.registrations, load.orders):
            assert not kept.in_doubt
            assert kept.refusals == []
        bouncer.kill()
        await asyncio.to_thread(bouncer.start)
        await load.go_on()
        await load.stop()
        await load.settle_doubts()
        assert await asyncio.to_thread(load.lost) == (set(), set())
        assert "INTERNAL" not in {*load.registrations.refusals, *load.orders.refusals}
        names = await asyncio.to_thread(
            load.sql, "auth", "SELECT DISTINCT application_name FROM pg_stat_activity"
        )
        assert any(name.startswith("auth@") for (name,) in names)
        assert set((await fleet.stop()).values()) == {0}
