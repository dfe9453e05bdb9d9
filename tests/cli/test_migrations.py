"""The Alembic runner: a history for each service, which many runners run once."""

import contextlib
import json
import textwrap
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.exc import OperationalError

from services.cli.postgres import EmbeddedPostgres
from services.cli.system import DATABASES, System
from services.common.histories import migrations_of, newest_revision
from services.kernel.db.migrations import current, downgrade, head, upgrade
from tests.cli.conftest import Lockstep, finish
from tests.postgres import fresh_database

ENV = """
    from sqlalchemy import MetaData
    from services.kernel.db.migrations import run
    run(MetaData())
"""
REVISION = """
    from alembic import op
    revision, down_revision = {revision!r}, {down!r}
    def upgrade():
        op.execute("CREATE TABLE {table} (id int)")
        op.execute("SELECT pg_sleep(0.2)")
    def downgrade():
        op.execute("DROP TABLE {table}")
"""


@pytest.fixture
def history(tmp_path: Path) -> Path:
    folder = tmp_path / "100%" / "migrations"
    (folder / "versions").mkdir(parents=True)
    (folder / "env.py").write_text(textwrap.dedent(ENV))
    add(folder, "0001", None, "first")
    add(folder, "0002", "0001", "second")
    return folder


def add(folder: Path, revision: str, down: str | None, table: str) -> None:
    text = textwrap.dedent(REVISION).format(revision=revision, down=down, table=table)
    (folder / "versions" / f"{revision}_{table}.py").write_text(text)


@pytest.fixture
def url(postgres: EmbeddedPostgres) -> Iterator[str]:
    with fresh_database(postgres) as found:
        yield found


def tables(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return {row[0] for row in rows} - {"alembic_version"}


def test_a_new_database_goes_to_the_newest_revision(url: str, history: Path) -> None:
    assert current(url) is None

    upgrade(url, history)

    assert current(url) == head(history) == "0002"
    assert tables(url) == {"first", "second"}


@pytest.mark.parametrize("service", DATABASES)
def test_files_of_a_history_are_named_after_their_revisions(service: str) -> None:
    history = migrations_of(service)

    assert history is not None
    assert newest_revision(history) == head(history)


def test_only_databases_at_their_newest_revisions_are_migrated(
    postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.ExitStack() as made:
        urls = {name: made.enter_context(fresh_database(postgres)) for name in DATABASES}
        for name, url in urls.items():
            monkeypatch.setenv(f"LOCKSTEP_{name.upper()}_DATABASE_URL", url)
        for name, url in urls.items():
            assert not System().is_migrated()
            history = migrations_of(name)
            assert history is not None
            upgrade(url, history)
        assert System().is_migrated()

        with psycopg.connect(urls["auth"]) as connection:
            connection.execute("UPDATE alembic_version SET version_num = '0001'")

        assert not System().is_migrated()


def test_databases_that_are_not_there_are_not_migrated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTEP_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")

    assert not System().is_migrated()


def test_a_migration_can_stop_on_the_way_and_go_back(url: str, history: Path) -> None:
    upgrade(url, history, "0001")
    assert tables(url) == {"first"}

    upgrade(url, history)
    downgrade(url, history, "base")

    assert current(url) is None
    assert tables(url) == set()


def test_runners_at_the_same_time_migrate_once(url: str, history: Path) -> None:
    # Alembic keeps its context in module globals, so each replica here is a process.

    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for done in [pool.submit(upgrade, url, history) for _ in range(2)]:
            done.result(timeout=60)

    assert tables(url) == {"first", "second"}


def test_a_failed_revision_leaves_the_ones_before_it(url: str, history: Path) -> None:
    add(history, "0003", "0002", "first")  # exists already

    with pytest.raises(Exception, match="already exists"):
        upgrade(url, history)

    assert current(url) == "0002"
    upgrade(url, history, "0002")  # the lock is free again


def test_a_busy_table_fails_the_migration_instead_of_blocking_everybody(
    url: str, history: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.kernel.db.migrations.DDL_LOCK_TIMEOUT", "100ms")
    monkeypatch.setattr("services.kernel.db.migrations.PAUSES_SECONDS", (0.0, 0.0))
    upgrade(url, history)

    with psycopg.connect(url) as busy:
        busy.execute("LOCK TABLE first IN ACCESS SHARE MODE")
        with pytest.raises(OperationalError, match="lock timeout"):
            downgrade(url, history, "base")


def test_a_table_that_is_busy_for_a_while_is_got_in_the_end(
    url: str, history: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.kernel.db.migrations.DDL_LOCK_TIMEOUT", "100ms")
    upgrade(url, history)
    with psycopg.connect(url) as busy:
        busy.execute("LOCK TABLE first IN ACCESS SHARE MODE")
        # The service at work ends its transaction in the pause after the first try.
        monkeypatch.setattr("time.sleep", lambda _: busy.rollback())
        downgrade(url, history, "base")
    assert tables(url) == set()


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.kernel.db.migrations.PAUSES_SECONDS", (0.0,) * 4)


DEADLOCK = "DO $$ BEGIN IF nextval('tries') < {} THEN RAISE deadlock_detected; END IF; END $$"


def fail_by_deadlock(url: str, history: Path, *, tries: int) -> None:
    """Let the newest revision deadlock until a try; a sequence counts over rollbacks."""
    add(history, "0003", "0002", "third")
    path = history / "versions" / "0003_third.py"
    path.write_text(path.read_text().replace("SELECT pg_sleep(0.2)", DEADLOCK.format(tries)))
    with psycopg.connect(url) as connection:
        connection.execute("CREATE SEQUENCE tries")


@pytest.mark.usefixtures("no_pauses")
def test_a_revision_that_meets_a_deadlock_begins_anew(url: str, history: Path) -> None:
    fail_by_deadlock(url, history, tries=3)
    upgrade(url, history)
    assert current(url) == "0003"
    assert tables(url) == {"first", "second", "third"}


@pytest.mark.usefixtures("no_pauses")
def test_a_revision_that_meets_deadlocks_for_ever_is_told_and_leaves_nothing(
    url: str, history: Path
) -> None:
    fail_by_deadlock(url, history, tries=100)
    with pytest.raises(OperationalError, match="deadlock"):
        upgrade(url, history)
    assert current(url) == "0002"
    assert tables(url) == {"first", "second"}


def test_the_command_makes_all_databases_and_shows_where_they_are(
    postgres: EmbeddedPostgres, lockstep: Lockstep
) -> None:
    server = postgres.url("postgres")
    names = {"authdb", "profiledb", "commercedb"}
    try:
        code, output, errors = finish(lockstep("migrate", LOCKSTEP_DATABASE_URL=server))

        assert (code, errors) == (0, "")
        with psycopg.connect(server) as connection:
            found = {row[0] for row in connection.execute("SELECT datname FROM pg_database")}
        assert found >= names
        again = finish(lockstep("migrate", "--status", LOCKSTEP_DATABASE_URL=server))
        assert again[1] == output
        objects = finish(lockstep("migrate", "--status", "--json", LOCKSTEP_DATABASE_URL=server))[1]
        found_rows = {row["service"]: row for row in map(json.loads, objects.splitlines())}
        assert found_rows.keys() == DATABASES.keys()
        assert all(row["revision"] == row["newest"] != "base" for row in found_rows.values())
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            for name in names:
                connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())


def test_without_a_database_server_the_command_starts_the_embedded_one_meanwhile(
    home: Path, lockstep: Lockstep
) -> None:
    embedded = EmbeddedPostgres(home / "postgres")
    try:
        code, _, errors = finish(lockstep("migrate"))

        assert (code, errors) == (0, "")
        assert not embedded.is_ready()
        embedded.start()
        with psycopg.connect(embedded.url("commercedb")) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    finally:
        embedded.destroy()


def test_an_unreachable_database_is_one_line_that_names_the_setting(lockstep: Lockstep) -> None:
    url = "postgresql://u:hunter2@127.0.0.1:1/x"

    code, _, errors = finish(lockstep("migrate", LOCKSTEP_DATABASE_URL=url))

    assert (code, errors.count("\n")) == (1, 1)
    assert "LOCKSTEP_" in errors
    assert "hunter2" not in errors


def test_a_service_without_a_database_is_refused(lockstep: Lockstep) -> None:
    code, _, errors = finish(lockstep("migrate", "gateway"))

    assert (code, errors) == (
        1,
        "lockstep: there is no database for gateway: use auth, profile, commerce\n",
    )
