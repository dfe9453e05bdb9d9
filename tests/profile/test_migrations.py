"""Profile's migrations: they keep rows, and they end at the model."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from sqlalchemy import NullPool, create_engine, make_url

import services.profile
from services.cli.postgres import EmbeddedPostgres, binaries
from services.kernel.db.migrations import downgrade, upgrade
from services.kernel.ids import new_id
from services.profile.model import FORFEITED, METADATA, SALES, SUSPENSE, TREASURY
from tests.postgres import fresh_database
from tests.profile.world import SCRIPT

HISTORY = Path(services.profile.__file__).parent / "migrations"
ADDED = {
    "profiles": {"first_name", "last_name"},
    "brands": {"company_size", "user_role"},
}


@pytest.fixture
def url(postgres: EmbeddedPostgres) -> Iterator[str]:
    with fresh_database(postgres) as url:
        yield url


def fill(url: str) -> None:
    """Put rows into the older schema."""
    profiles = [
        (new_id(), new_id(), "Ann Lee", "+1234567890", "1 Main St", "hello", "active"),
        (new_id(), new_id(), None, None, None, None, "pending"),
        (new_id(), new_id(), "Bo", "+1234567891", None, "x" * 2000, "suspended"),
    ]
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO profiles (id, user_id, display_name, phone_number, address, bio, status)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s)",
            profiles,
        )
        cursor.execute(
            "INSERT INTO brands (id, profile_id, name, brand_type)"
            " VALUES (%s, %s, 'Acme', 'agency')",
            (new_id(), profiles[0][0]),
        )
        cursor.execute("INSERT INTO brands (id, name) VALUES (%s, 'Nobody''s')", (new_id(),))


def rows(url: str, table: str) -> list[dict[str, Any]]:
    with psycopg.connect(url, row_factory=dict_row) as connection:
        return connection.execute(f"SELECT * FROM {table} ORDER BY id".encode()).fetchall()


def everything(url: str) -> dict[str, list[dict[str, Any]]]:
    return {table: rows(url, table) for table in ("profiles", "brands")}


def test_rows_of_the_older_schema_keep_all_they_have(url: str) -> None:
    upgrade(url, HISTORY, "0001")
    fill(url)
    before = everything(url)
    assert not any(ADDED[table] & row.keys() for table, found in before.items() for row in found)
    upgrade(url, HISTORY)
    after = everything(url)
    for table, found in after.items():
        assert found == [row | dict.fromkeys(ADDED[table]) for row in before[table]]
    downgrade(url, HISTORY, "0001")
    assert everything(url) == before


def test_profiles_that_are_there_get_an_empty_wallet(url: str) -> None:
    upgrade(url, HISTORY, "0001")
    fill(url)
    upgrade(url, HISTORY)
    wallets = [row for row in rows(url, "accounts") if row["kind"] == "wallet"]
    assert {row["user_id"] for row in wallets} == {row["user_id"] for row in rows(url, "profiles")}
    assert {row["balance"] for row in wallets} == {0}


def test_the_system_accounts_are_the_ones_that_the_model_names(url: str) -> None:
    upgrade(url, HISTORY)
    assert {row["kind"]: row["id"] for row in rows(url, "accounts")} == {
        "treasury": TREASURY,
        "sales": SALES,
        "suspense": SUSPENSE,
        "forfeited": FORFEITED,
    }


def test_rows_of_the_newest_schema_survive_a_step_back_and_forth(url: str) -> None:
    upgrade(url, HISTORY)
    fill(url)
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE profiles SET first_name = 'Ann', last_name = 'Lee'")
    before = everything(url)
    downgrade(url, HISTORY, "0002")
    assert everything(url) == before
    upgrade(url, HISTORY)
    assert everything(url) == before


def test_the_way_back_to_the_beginning_leaves_nothing(url: str) -> None:
    upgrade(url, HISTORY)
    downgrade(url, HISTORY, "base")
    with psycopg.connect(url) as connection:
        left = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            " AND relname NOT LIKE 'alembic%'"
            " UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
        ).fetchall()
    assert left == []


def test_the_migrations_end_at_the_model(postgres: EmbeddedPostgres, url: str) -> None:
    """Autogenerate overlooks CHECKs, partial indexes and triggers; pg_dump does not."""
    upgrade(url, HISTORY)
    with fresh_database(postgres) as modelled:
        engine = create_engine(
            make_url(modelled).set(drivername="postgresql+psycopg"), poolclass=NullPool
        )
        METADATA.create_all(engine)
        assert schema(url) == schema(modelled)


def schema(url: str) -> str:
    """Return the schema that pg_dump prints, without random parts and Alembic's table."""
    dump = subprocess.run(
        [binaries() / "pg_dump", "--schema-only", "--no-owner", "--exclude-table=alembic_version",
         f"--dbname={url}"],
        check=True,
        capture_output=True,
        text=True,
    )  # fmt: skip
    return re.sub(r"\\(un)?restrict .*", "", dump.stdout)


def test_constraints_are_named_by_one_convention(url: str) -> None:
    upgrade(url, HISTORY)
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "SELECT conname, contype, relname FROM pg_constraint JOIN pg_class ON"
            " conrelid = pg_class.oid WHERE connamespace = 'public'::regnamespace"
            " AND contype <> 'n' AND relname <> 'alembic_version'"
        ).fetchall()
    prefixes = {"p": "pk_", "u": "uq_", "c": "ck_", "f": "fk_"}
    assert len(found) > 20
    assert all(name.startswith(prefixes[kind] + table) for name, kind, table in found)


def test_users_that_were_forgotten_as_sagas_are_forgotten_in_the_new_table(url: str) -> None:
    upgrade(url, HISTORY, "0003")
    forgotten, cancelled = new_id(), new_id()
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO saga_barriers (saga_id, branch, state, create_time) VALUES"
            " (%s, 'ForgetProfile', 'CANCELLED', '2026-11-20'),"
            " (%s, 'CreateProfile', 'CANCELLED', '2026-11-20')",
            (forgotten, cancelled),
        )
    upgrade(url, HISTORY)
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT user_id, create_time::date FROM forgotten_users")
        assert found.fetchall() == [(forgotten, date(2026, 11, 20))]
        kept = connection.execute("SELECT count(*) FROM saga_barriers").fetchone()
        assert kept == (2,)  # processes of 0.1 read them


WALLETS = [new_id() for _ in range(3)]  # the last one is closed
# Each line is later than those before it: kind, state, the two sides, amount, what the wallet of
# either side held after it.
LINES: tuple[tuple[Any, ...], ...] = (
    ("top_up", "posted", TREASURY, WALLETS[0], 100, None, 100),
    ("top_up", "posted", TREASURY, WALLETS[1], 25, None, 25),
    ("debit", "posted", WALLETS[0], SALES, 70, 30, None),
    ("debit", "refused", WALLETS[1], SALES, 500, None, None),
    ("top_up", "posted", TREASURY, WALLETS[0], 30, None, 60),
    ("debit", "voided", None, None, 0, None, None),
    ("top_up", "posted", TREASURY, WALLETS[2], 9, None, 9),
    ("forfeit", "posted", WALLETS[2], FORFEITED, 9, 0, None),
)


def fill_ledger(url: str) -> None:
    owners = (new_id(), new_id(), None)
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO accounts (id, kind, user_id, balance) VALUES (%s, 'wallet', %s, %s)",
            list(zip(WALLETS, owners, (60, 25, 0), strict=True)),
        )
        for second, (kind, state, debited, credited, amount, *_) in enumerate(LINES):
            reason = "INSUFFICIENT_FUNDS" if state == "refused" else None
            moment = datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC)
            cursor.execute(
                "INSERT INTO transfers (id, kind, state, debit_account_id, credit_account_id,"
                " amount, reference, refusal_reason, fingerprint, create_time) VALUES"
                " (gen_random_uuid(), %s, %s, %s, %s, %s, '', %s, 'f', %s)",
                (kind, state, debited, credited, amount, reason, moment),
            )


def test_transfers_of_before_are_kept_and_get_the_balances_after_them(url: str) -> None:
    upgrade(url, HISTORY, "0003")
    fill_ledger(url)
    before = {table: rows(url, table) for table in ("accounts", "transfers")}
    upgrade(url, HISTORY)
    for table, found in before.items():
        after = {row["id"]: row for row in rows(url, table)}
        assert [after[row["id"]] | row for row in found] == [*after.values()]
    lines = sorted(rows(url, "transfers"), key=lambda row: row["create_time"])
    assert [(row["debit_balance"], row["credit_balance"]) for row in lines] == [
        line[-2:] for line in LINES
    ]
    with psycopg.connect(url) as connection:
        assert connection.execute(SCRIPT.read_bytes()).fetchall() == []
        with pytest.raises(psycopg.errors.RestrictViolation):
            connection.execute("UPDATE transfers SET amount = 1")
    downgrade(url, HISTORY, "0003")
    assert {table: rows(url, table) for table in before} == before
