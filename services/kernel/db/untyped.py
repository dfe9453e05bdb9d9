"""Statements that are not typed yet; each goes when its store is converted."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.rows import RowMaker, namedtuple_row
from sqlalchemy.sql.base import Executable
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement

from services.kernel.db.connection import Connection
from services.kernel.db.statement import DIALECT

AnyCursor = psycopg.AsyncCursor[Any]
Row = Any  # a named tuple whose fields are the statement's columns


class Untyped:
    """A SQLAlchemy Core statement, compiled once for psycopg.

    Args:
        clause: The statement; `in_()` leaves a mark that psycopg can't read, so use
            `= any_()`.
        is_planned_anew: Whether PostgreSQL has to see the parameters before it plans. A
            prepared statement is planned without them from its sixth execution on, which
            is wrong where the best plan follows from how wide a range is.
    """

    __slots__ = ("_constants", "_make_row", "_names", "_prepare", "sql")

    def __init__(self, clause: Executable, *, is_planned_anew: bool = False) -> None:
        """See the class."""
        assert isinstance(clause, ClauseElement)
        compiled = clause.compile(dialect=DIALECT)
        assert isinstance(compiled, SQLCompiler)
        self.sql = str(compiled).encode()
        self._names = tuple(compiled.positiontup or ())
        self._constants = {
            name: value
            for name, value in compiled.params.items()
            if not compiled.binds[name].required
        }
        self._make_row: RowMaker[Row] | None = None
        self._prepare = False if is_planned_anew else None
        if b"POSTCOMPILE" in self.sql:
            raise TypeError(f"expands at execution, use any_() instead: {clause}")

    async def run(
        self, connection: Connection, parameters: dict[str, Any]
    ) -> psycopg.AsyncCursor[Row]:
        """Execute on a connection; binary results cost half of what text costs to read.

        Read the cursor before the statement runs again: it is the connection's only one.
        """
        given = {**self._constants, **parameters} if self._constants else parameters
        cursor = connection.cursors.get(self)
        if cursor is None:
            cursor = connection.cursor(row_factory=self._row_maker)
            connection.cursors[self] = cursor
        values = [given[name] for name in self._names]
        return await cursor.execute(self.sql, values, prepare=self._prepare, binary=True)

    def _row_maker(self, cursor: AnyCursor) -> RowMaker[Row]:
        # Its columns never change; psycopg would read their names from every answer.
        if self._make_row is None:
            self._make_row = namedtuple_row(cursor)
        return self._make_row
