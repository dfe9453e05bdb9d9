"""One Alembic runner for every service's history. Only the command imports this module.

A service's history lives in `services/<service>/migrations`: `env.py`, which calls
`run(metadata)`, and `versions/NNNN_name.py`.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import psycopg
from alembic import command, context
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection, MetaData, NullPool, create_engine, text
from sqlalchemy.exc import OperationalError

from services.kernel.ids import process_name

ADVISORY_LOCK: Final = 0x10C_57E9
LOCK_WAIT: Final = "60s"
DDL_LOCK_TIMEOUT: Final = "5s"
"""How long a migration waits for its table: while it waits, every query of the table waits, too."""
CONNECT_SECONDS: Final = 10
# What a service at work may cause: its transaction holds a table for long, or it and the migration
# wait for each other. The service goes on, and the migration begins its revision anew.
BUSY: Final = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)
PAUSES_SECONDS: Final = (1.0, 2.0, 3.0, 4.0)
"""The pauses between the tries of a revision. In a pause every query gets through."""
BASE: Final = "base"
"""Stands for the time before the first revision."""
HEAD: Final = "head"
# Every role may see these columns, and only these, of the sessions of other roles. The sessions of
# one process have one name.
OTHERS: Final = """
SELECT DISTINCT coalesce(nullif(application_name, ''), 'session ' || pid) FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid() AND usesysid IS NOT NULL
   AND application_name <> current_setting('application_name')
"""
LEAVING_PAUSES_SECONDS: Final = (0.05, 0.2, 0.75)
"""The pauses between looks at the sessions: one that has been closed is listed a moment longer."""
UNLIMITED: Final = (
    "statement_timeout",
    "idle_in_transaction_session_timeout",
    "transaction_timeout",
)


class DataLoss(Exception):
    """A plan would lose data, or meets others at work. The text says what, in a line."""


class NoWay(Exception):
    """A database cannot go to a revision. The text says why, in a line."""


@dataclass(frozen=True, slots=True)
class Step:
    """One revision, forward or back.

    Attributes:
        losses: Counts the rows of each table that it loses, by SQL.
    """

    revision: str
    is_back: bool
    losses: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a migration is going to do to one database."""

    url: str
    history: Path
    target: str
    is_back: bool
    steps: tuple[Step, ...]

    @property
    def loses(self) -> bool:
        """Whether any step may lose data."""
        return any(step.losses for step in self.steps)


def plan(url: str, history: Path, *, to: str = HEAD, down_to: str | None = None) -> Plan:
    """Return the steps from where a database is, without taking any.

    Args:
        url: The database.
        history: The folder of its migrations.
        to: The revision to go forward to.
        down_to: The revision to go back to, instead.

    Raises:
        NoWay: There is no such way.
        alembic.util.CommandError: The database has several revisions.
    """
    script = ScriptDirectory.from_config(_config(history))
    is_back = down_to is not None
    target = to if down_to is None else down_to
    steps = (
        Step(each.revision, is_back, _losses_of(each.module, is_back=is_back))
        for each in _way(script, current(url) or BASE, target, is_back=is_back)
    )
    return Plan(url, history, target, is_back, tuple(steps))


def _way(script: ScriptDirectory, found: str, target: str, *, is_back: bool) -> list[Script]:
    """Return the revisions between two, in the order in which they are taken."""
    known = list(script.walk_revisions())[::-1]
    names = [BASE, *(each.revision for each in known)]
    if target not in (*names, HEAD):
        raise NoWay(f"there is no revision {target or 'without a name'}: the newest is {names[-1]}")
    if found not in names:
        # A rolling update migrates first, so old code meets newer tables.
        if target == HEAD and found > names[-1]:
            return []
        raise NoWay(
            f"it is at {found}, which this code does not know (its newest is {names[-1]}): "
            "use the version of Lockstep that made it"
        )
    begin, end = names.index(found), names.index(names[-1] if target == HEAD else target)
    if begin > end and not is_back:
        raise NoWay(f"it is at {found}, beyond {target}: say --down-to {target} to go back")
    if begin < end and is_back:
        raise NoWay(f"it is at {found}, before {target}: say --to {target} to go forward")
    return known[begin:end] if begin <= end else known[end:begin][::-1]


def count_losses(plan: Plan) -> dict[str, int]:
    """Return how many rows of each table a plan loses; tables without any are left out."""
    with _connection(plan.url) as connection:
        return _count(connection, plan)


def carry_out(plan: Plan, *, may_lose: bool) -> None:
    """Take the steps of a plan.

    Under the lock it is asked again whether data would be lost, and whether others are
    connected: an answer from before may be old.

    Args:
        plan: The plan.
        may_lose: Whether data may be lost.

    Raises:
        DataLoss: Nothing was done.
        sqlalchemy.exc.OperationalError: The database is unreachable, or a lock is taken.
    """
    if not plan.steps:
        return

    def check(connection: Connection) -> None:
        if not plan.loses:
            return
        lost = _count(connection, plan)
        if lost and not may_lose:
            raise DataLoss(losses_text(lost))
        if names := others(partial(_look, connection)):
            told = ", ".join(names)
            raise DataLoss(f"{told} must be stopped first, because this may lose data")

    step = command.downgrade if plan.is_back else command.upgrade
    _migrate(step, plan.url, plan.history, plan.target, check)


def others(look: Callable[[], Iterable[str]]) -> list[str]:
    """Return the names of the other processes that are connected to a database, and stay.

    Args:
        look: Asks `OTHERS` in a transaction of its own, because PostgreSQL shows a transaction
            the same sessions again.
    """
    for pause in LEAVING_PAUSES_SECONDS:
        if not list(look()):
            return []
        time.sleep(pause)
    return sorted(look())


def _look(connection: Connection) -> Sequence[str]:
    connection.rollback()
    return connection.execute(text(OTHERS)).scalars().all()


def losses_text(lost: Mapping[str, int]) -> str:
    """Name the rows that are lost."""
    return "loses " + ", ".join(
        f"{rows} row{'' if rows == 1 else 's'} of {name}" for name, rows in lost.items()
    )


def upgrade(url: str, script_location: Path, revision: str = HEAD) -> None:
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


def _losses_of(module: ModuleType, *, is_back: bool) -> Mapping[str, str]:
    """Return what a revision declares: `LOSES` for the way back, or `LOSES_FORWARD`."""
    declared: Mapping[str, str] = getattr(module, "LOSES" if is_back else "LOSES_FORWARD", {})
    return declared


def _count(connection: Connection, plan: Plan) -> dict[str, int]:
    lost: Counter[str] = Counter()
    for step in plan.steps:
        for name, sql in step.losses.items():
            rows = connection.execute(text(sql)).scalar_one()
            # A later step may drop the whole of a table that an earlier one cuts.
            lost[name] = max(lost[name], rows)
    return {name: rows for name, rows in lost.items() if rows}


def _migrate(
    step: Callable[[Config, str], None],
    url: str,
    script_location: Path,
    revision: str,
    check: Callable[[Connection], None] = lambda _: None,
) -> None:
    config = _config(script_location)
    with _connection(url) as connection:
        _lock(connection)
        config.attributes["connection"] = connection
        for pause in (*PAUSES_SECONDS, None):
            check(connection)
            connection.rollback()  # Alembic would leave a transaction that others began to them
            try:
                step(config, revision)
            except OperationalError as error:
                if pause is None or not isinstance(error.orig, BUSY):
                    raise
                time.sleep(pause)
            else:
                return


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
        application_name=process_name("migrate"),
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
