"""Whether the code and the tables of its database fit together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import psycopg
from sqlalchemy import Text, column, func, select, table

from services.common.histories import migrations_of, newest_revision
from services.kernel.db.database import Database
from services.kernel.db.statement import NoParameters, Statement
from services.kernel.db.tables import LEAST_CODE
from services.kernel.rpc.server import NotReady, Probe

PROBE: Final = "probe"
READ_ONLY: Final = "the database takes no writes: promote it, or name its primary"


@dataclass(frozen=True, slots=True)
class SchemaRow:
    """The state of a database.

    Attributes:
        revision: The revision of its schema.
        least: What code must know at least to work with it: a revision.
        is_read_only: Whether it takes no writes, such as a standby that nobody has promoted.
    """

    revision: str
    least: str | None
    is_read_only: bool


# One round trip, and it also tells that the database answers.
_SCHEMA: Final = Statement(
    select(
        column("version_num", Text).label("revision"),
        select(LEAST_CODE.c.revision).limit(1).scalar_subquery().label("least"),
        (func.current_setting("transaction_read_only") == "on").label("is_read_only"),
    ).select_from(table("alembic_version")),
    NoParameters,
    SchemaRow,
)


def schema_probe(database: Database, service: str) -> Probe:
    """Return a probe that fails unless the database answers and takes writes, and fits the code.

    The tables may be newer than the code: a rolling update migrates first. A migration that
    older code cannot live with says so by its least code.
    """
    history = migrations_of(service)
    assert history is not None
    known = newest_revision(history)

    async def probe() -> None:
        try:
            found = await database.first(_SCHEMA, NoParameters())
        except psycopg.errors.UndefinedTable:
            raise NotReady(_behind("an earlier revision", known)) from None
        if found is None or found.revision < known:
            raise NotReady(_behind("none" if found is None else found.revision, known))
        if found.least is not None and known < found.least:
            raise NotReady(
                f"the code is behind: it knows revision {known}, and the database at "
                f"{found.revision} needs code that knows {found.least}"
            )
        if found.is_read_only:
            await database.abandon(PROBE)  # while nobody writes, no session would find a primary
            raise NotReady(READ_ONLY)

    return probe


def _behind(found: str, known: str) -> str:
    return (
        f"the database is behind: it is at {found}, and the code needs {known}; "
        "run `lockstep migrate`"
    )
