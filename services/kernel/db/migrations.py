"""One Alembic runner for every service's history. Only the command imports this module.

A service's history lives in `services/<service>/migrations`: `env.py`, which calls
`run(metadata)`, and `versions/NNNN_name.py`.
"""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg
from alembic import command, context
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, NullPool, create_engine, text

ADVISORY_LOCK: Final = 0x10C_57E9
LOCK_WAIT: Final = "60s"
DDL_LOCK_TIMEOUT: Final = "5s"
"""A migration fails when it cannot lock its table: if it waited, every query would wait, too."""
CONNECT_SECONDS: Final = 10
UNLIMITED: Final = (
    "statement_timeout",
    "idle_in_transaction_session_timeout",
    "transaction_timeout",
)


def upgrade(url: str, script_location: Path, revision: str = "head") -> None:
    """Migrate the database forward; a second runner waits, and then has nothing to do.

    Raises:
        sqlalchemy.exc.OperationalError: The database is unreachable, or a lock is taken.
    """
    _migrate(command.upgrade, url, script_location, revision)


def downgrade(url: str, script_location: Path, revision: str) -> None:
    """Migrate the database back to `revision` (`base`: before the first)."""
    _migrate(command.downgrade, url, script_location, revision)


def current(url: str) -> str | None:
    """Return the revision of the database; None before the first."""
    with _connection(url) as connection:
        return MigrationContext.configure(connection).get_current_revision()


def head(script_location: Path) -> str | None:
    """Return the newest revision of a history."""
    return ScriptDirectory.from_config(_config(script_location)).get_current_head()


def run(target_metadata: MetaData) -> None:
    """Do the work of an `env.py` of Alembic, on the connection that the runner made."""
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=target_metadata,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def _migrate(
    step: Callable[[Config, str], None], url: str, script_location: Path, revision: str
) -> None:
    config = _config(script_location)
    with _connection(url) as connection:
        _lock(connection)
        config.attributes["connection"] = connection
        step(config, revision)


def _lock(connection: Connection) -> None:
    """Keep other runners out until the connection closes: the lock is the session's."""
    connection.execute(text(f"SET lock_timeout = '{LOCK_WAIT}'"))
    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": ADVISORY_LOCK})
    connection.execute(text(f"SET lock_timeout = '{DDL_LOCK_TIMEOUT}'"))
    connection.commit()


def _connect(url: str) -> psycopg.Connection[tuple[Any, ...]]:
    """Connect without the limits of the role: a migration may take its time."""
    connection = psycopg.connect(
        url,
        autocommit=True,
        connect_timeout=CONNECT_SECONDS,
        application_name=f"migrate@{socket.gethostname()}:{os.getpid()}",
        prepare_threshold=None,
    )
    for limit in UNLIMITED:
        connection.execute(f"SET {limit} = 0".encode())
    connection.autocommit = False
    return connection


@contextmanager
def _connection(url: str) -> Iterator[Connection]:
    # NullPool closes the session; a pool would keep it, and its lock. libpq reads the URL,
    # as it does for everybody else: SQLAlchemy's own parser takes other forms.
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: _connect(url), poolclass=NullPool
    )
    with engine.connect() as connection:
        yield connection


def _config(script_location: Path) -> Config:
    config = Config()
    config.set_main_option("script_location", str(script_location).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
