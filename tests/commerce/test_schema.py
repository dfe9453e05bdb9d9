"""The migrations make the same database as the model."""

from __future__ import annotations

import psycopg
from sqlalchemy import create_engine, make_url

from services.cli.postgres import EmbeddedPostgres
from services.commerce.model import METADATA
from tests.postgres import fresh_database

LOOK = (
    (
        "SELECT table_name, column_name, data_type, is_nullable, column_default, collation_name,"
        " generation_expression FROM information_schema.columns WHERE table_schema = 'public'"
        " AND table_name <> 'alembic_version' ORDER BY 1, 2"
    ),
    (
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE connamespace = 'public'::regnamespace"
        " AND conrelid <> coalesce(to_regclass('alembic_version'), 0) ORDER BY 1, 2"
    ),
    (
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
        " AND tablename <> 'alembic_version' ORDER BY 1"
    ),
    (
        "SELECT proname, pg_get_functiondef(oid) FROM pg_proc"
        " WHERE pronamespace = 'public'::regnamespace AND prokind = 'f' ORDER BY 1, 2"
    ),
)


def look(url: str) -> list[object]:
    with psycopg.connect(url) as connection:
        return [connection.execute(query.encode()).fetchall() for query in LOOK]


def test_migrations_make_what_the_model_says(commerce_url: str, postgres: EmbeddedPostgres) -> None:
    with fresh_database(postgres) as url:
        engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
        METADATA.create_all(engine)
        engine.dispose()
        assert look(commerce_url) == look(url)
