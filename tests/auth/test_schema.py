"""The migrations make the schema of the model."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine, text

from services.auth.model import METADATA
from services.cli.postgres import EmbeddedPostgres
from services.kernel.db.migrations import downgrade, upgrade
from tests.conftest import SERVICES
from tests.postgres import fresh_database

FOLDER = SERVICES / "auth" / "migrations"

CATALOG = """
SELECT 'column', c.relname::text, a.attname::text,
       format_type(a.atttypid, a.atttypmod) || ' ' || a.attnotnull || ' '
       || coalesce(pg_get_expr(d.adbin, d.adrelid), '')
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid AND c.relkind = 'r'
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT 'constraint', conrelid::regclass::text, conname::text, pg_get_constraintdef(oid)
FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION ALL
SELECT 'index', tablename::text, indexname::text, indexdef
FROM pg_indexes WHERE schemaname = 'public'
UNION ALL
SELECT 'function', '', proname::text, prosrc
FROM pg_proc WHERE pronamespace = 'public'::regnamespace
"""


def catalog(url: str) -> set[tuple[str, ...]]:
    """Return all parts of a schema."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        rows = {tuple(row) for row in connection.execute(text(CATALOG))}
    engine.dispose()
    return {row for row in rows if "alembic_version" not in row[1]}


@pytest.fixture
def made(postgres: EmbeddedPostgres) -> set[tuple[str, ...]]:
    with fresh_database(postgres) as url:
        engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
        METADATA.create_all(engine)
        engine.dispose()
        return catalog(url)


def test_migrations_and_model_agree_to_the_last_constraint(
    postgres: EmbeddedPostgres, made: set[tuple[str, ...]]
) -> None:
    with fresh_database(postgres) as url:
        upgrade(url, FOLDER)
        migrated = catalog(url)
        assert migrated - made == set()
        assert made - migrated == set()
        downgrade(url, FOLDER, "base")
        assert catalog(url) == set()
        upgrade(url, FOLDER)
        assert catalog(url) == made


def test_sessions_of_before_they_were_listed_are_dated_by_what_is_known(
    postgres: EmbeddedPostgres,
) -> None:
    with fresh_database(postgres) as url:
        upgrade(url, FOLDER, "0010")
        engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO roles (id, name) VALUES (gen_random_uuid(), 'r')"))
            connection.execute(
                text(
                    "INSERT INTO users (id, email, email_as_typed, password_hash, full_name, "
                    "role_id, status, saga_id) SELECT gen_random_uuid(), 'e', 'e', 'h', 'n', id, "
                    "'ACTIVE', gen_random_uuid() FROM roles"
                )
            )
            connection.execute(
                text(
                    "INSERT INTO sessions (id, user_id, generation, refresh_hash, rotate_time, "
                    "create_time, expire_time) SELECT gen_random_uuid(), id, 0, '', '2026-11-02', "
                    "'2026-11-01', '2126-12-01' FROM users"
                )
            )
        upgrade(url, FOLDER)
        with engine.connect() as connection:
            dated = text(
                "SELECT auth_time = create_time AND last_seen_time = rotate_time FROM sessions"
            )
            assert connection.execute(dated).scalars().all() == [True]
        engine.dispose()
