"""Count the pages that a statement reads: a figure that no load of the machine changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import psycopg
from psycopg.sql import SQL, Literal

from services.kernel.db.statement import Statement

PAGES_BASE = 20
PAGES_OF_ROW = 10
# The new version of a row goes into each index of its table.
PAGES_OF_INDEX = 4


@dataclass(frozen=True, slots=True)
class Plan:
    """What a statement did.

    Attributes:
        pages: The number of pages that it read.
        rows: The number of rows that it returned or changed.
        indexes: The number of indexes that it wrote a new row to.
        text: The plan, for people.
    """

    pages: int
    rows: int
    indexes: int
    text: str

    @property
    def pages_max(self) -> int:
        """The most pages that this number of rows is worth."""
        return PAGES_BASE + self.rows * (PAGES_OF_ROW + self.indexes * PAGES_OF_INDEX)


def run(
    connection: psycopg.Connection,
    statement: Statement[Any, Any],
    parameters: Mapping[str, Any],
    *,
    mode: str,
) -> Plan:
    """Run a prepared statement, undo it, and return what it did.

    Args:
        connection: A connection in autocommit mode.
        statement: The statement.
        parameters: Its parameters by name.
        mode: See `plan_cache_mode` in PostgreSQL's documentation.
    """
    values = SQL(", ").join(map(Literal, statement._values(statement.parameters(**parameters))))
    call = (
        SQL("EXECUTE statement({})").format(values)
        if values.as_string()
        else SQL("EXECUTE statement")
    )
    with connection.transaction(force_rollback=True):
        connection.execute(SQL("SET LOCAL plan_cache_mode = {}").format(Literal(mode)))
        connection.execute(b"PREPARE statement AS " + statement.sql)
        (told,) = (
            connection.execute(
                SQL("EXPLAIN (ANALYZE, BUFFERS, TIMING off, FORMAT JSON) {}").format(call)
            ).fetchone()
            or ()
        )
        connection.execute("DEALLOCATE statement")
        plan = told[0]["Plan"]
        is_new = plan.get("Operation") in ("Insert", "Update")
        indexes = _indexes(connection, plan["Relation Name"]) if is_new else 0
    return Plan(pages_of(plan), rows_of(plan), indexes, "\n".join(lines_of(plan)))


def pages_of(plan: Mapping[str, Any]) -> int:
    """Return the pages that a node and those below it read."""
    return cast(int, plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def rows_of(plan: Mapping[str, Any]) -> int:
    """Return the rows that a plan returns; if it changes some, those that it changes."""
    if plan["Node Type"] == "ModifyTable":
        plan = next(each for each in plan["Plans"] if each["Parent Relationship"] == "Outer")
    return round(cast(float, plan["Actual Rows"] * plan["Actual Loops"]))


def lines_of(plan: Mapping[str, Any], depth: int = 0) -> list[str]:
    """Return a line for each node of a plan."""
    names = ("Node Type", "Relation Name", "Index Name", "Index Cond", "Filter")
    told = [str(plan[name]) for name in names if name in plan]
    line = f"{'  ' * depth}{' '.join(told)}: {rows_of(plan)} rows, {pages_of(plan)} pages"
    below = (lines_of(each, depth + 1) for each in plan.get("Plans", []))
    return [line, *(each for lines in below for each in lines)]


def _indexes(connection: psycopg.Connection, table: str) -> int:
    found = connection.execute("SELECT count(*) FROM pg_indexes WHERE tablename = %s", (table,))
    (number,) = found.fetchone() or (0,)
    return cast(int, number)
