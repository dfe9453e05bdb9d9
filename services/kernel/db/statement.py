"""Statements: written in SQLAlchemy Core, compiled at import, run by psycopg.

A statement names the class of its parameters and the class of its rows, so that a wrong
name is refused: by mypy where the statement is used, and at import where it is written.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from enum import Enum
from operator import attrgetter
from types import NoneType, UnionType
from typing import Any, Generic, TypeVar, Union, cast, get_args, get_origin, get_type_hints
from uuid import UUID

import psycopg
from psycopg.rows import RowMaker
from sqlalchemy import FromClause, Select, Table, bindparam, tuple_
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql.base import Executable
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.types import ARRAY, JSON, TypeEngine

from services.kernel.db.connection import Connection

A = TypeVar("A")
B = TypeVar("B")

# With PostgreSQL's own placeholders ($1): psycopg need not look for its own at each call.
DIALECT = postgresql.psycopg.dialect(  # type: ignore[no-untyped-call] # SQLAlchemy leaves it untyped
    paramstyle="numeric_dollar"
)


@dataclass(frozen=True, slots=True)
class NoParameters:
    """The parameters of a statement that has none."""


@dataclass(frozen=True, slots=True)
class NoRow:
    """The row of a statement that returns none."""


@dataclass(frozen=True, slots=True)
class Limit:
    """The parameter of a statement that is bounded only."""

    limit: int


@dataclass(frozen=True, slots=True)
class ByUser:
    """The parameter of a statement about one user."""

    user_id: UUID


@dataclass(frozen=True, slots=True)
class SomeOfUser(ByUser):
    """The parameters of a statement about some rows of a user.

    Attributes:
        limit: How many rows at most; None: all.
    """

    limit: int | None


class Statement(Generic[A, B]):
    """A SQLAlchemy Core statement, compiled once for psycopg.

    Args:
        clause: The statement; `in_()` leaves a mark that psycopg can't read, so use
            `= any_()`.
        parameters: A frozen dataclass: its fields are the binds without a value.
        row: A frozen dataclass: its fields are the columns that come back, in order.
        is_planned_anew: Whether PostgreSQL has to see the parameters before it plans. A
            prepared statement is planned without them from its sixth execution on, which
            is wrong where the best plan follows from how wide a range is.
        is_costly: Whether it may look through many rows, so that `CostlyApart` lets it wait
            for its turn.

    Raises:
        TypeError: A field and a bind, or a field and a column, differ in name or type; or a
            sub-select lacks a table that it names.
    """

    __slots__ = ("_make_row", "_prepare", "_values", "is_costly", "parameters", "row", "sql")

    def __init__(
        self,
        clause: Executable,
        parameters: type[A],
        row: type[B],
        *,
        is_planned_anew: bool = False,
        is_costly: bool = False,
    ) -> None:
        """Compile the statement, and hold the two classes against it."""
        assert isinstance(clause, ClauseElement)
        compiled = clause.compile(dialect=DIALECT)
        assert isinstance(compiled, SQLCompiler)
        self.sql = str(compiled).encode()
        if b"POSTCOMPILE" in self.sql:
            raise TypeError(f"expands at execution, use any_() instead: {clause}")
        if b"(SELECT" in self.sql:
            _check_subselects(clause, frozenset())
        self.parameters = parameters
        self.row = row
        self.is_costly = is_costly
        self._prepare = False if is_planned_anew else None
        self._values = _values_of(compiled, parameters)
        self._make_row = _row_maker(clause, row)

    async def run(self, connection: Connection, parameters: A) -> psycopg.AsyncCursor[B]:
        """Execute on a connection; binary results cost half of what text costs to read.

        Read the cursor before the statement runs again: it is the connection's only one.
        """
        cursor = connection.cursors.get(self)
        if cursor is None:
            cursor = connection.cursor(row_factory=lambda _: self._make_row)
            connection.cursors[self] = cursor
        return await cursor.execute(
            self.sql, self._values(parameters), prepare=self._prepare, binary=True
        )


def _check_subselects(clause: ClauseElement, outer: frozenset[FromClause]) -> None:
    """Refuse a sub-select that loses a table without a word.

    SQLAlchemy correlates: a sub-select that names a table of the statement around it does not
    get that table in its own FROM, unless nothing would be left. So it runs for each row of
    that table. Where that is wanted, `correlate` says so.
    """
    named = outer
    if isinstance(clause, Select):
        own = {each for part in clause.get_final_froms() for each in part._from_objects}  # noqa: SLF001 - nothing public tells it
        lost = own & outer
        if lost and own - outer and clause._auto_correlate:  # noqa: SLF001 - as above
            names = ", ".join(sorted(map(str, lost)))
            raise TypeError(f"a sub-select loses {names}, use correlate(): {clause}")
        named = outer | own
    elif isinstance(clause, UpdateBase):
        named = outer | {clause.table}
    for child in clause.get_children():
        _check_subselects(child, named)


def _values_of(compiled: SQLCompiler, parameters: type[A]) -> Callable[[A], Sequence[Any]]:
    """Return what lists the values of a statement's binds in their order."""
    binds = compiled.binds
    given = {name: bind.type for name, bind in binds.items() if bind.required}
    hints = _fields(parameters)
    if given.keys() != hints.keys():
        raise TypeError(
            f"{parameters.__name__} has the fields {_listed(hints)}, "
            f"but the statement has the parameters {_listed(given)}: {compiled}"
        )
    for name, kind in given.items():
        _check_type(kind, hints[name], f"{parameters.__name__}.{name}")
    names = tuple(compiled.positiontup or ())
    if all(name in given for name in names):
        return _getter(names)
    values = [None if name in given else compiled.params[name] for name in names]
    places = [(place, attrgetter(name)) for place, name in enumerate(names) if name in given]

    def fill(holder: A) -> list[Any]:
        filled = values.copy()
        for place, get in places:
            filled[place] = get(holder)
        return filled

    return fill


def _getter(names: tuple[str, ...]) -> Callable[[Any], Sequence[Any]]:
    match names:
        case ():
            return lambda _: ()
        case (name,):
            get = attrgetter(name)
            return lambda holder: (get(holder),)
        case _:
            return cast(Callable[[Any], Sequence[Any]], attrgetter(*names))


def _row_maker(clause: ClauseElement, row: type[B]) -> RowMaker[B]:
    """Return what makes a row of the values that psycopg has read."""
    # Asked of a copy: SQLAlchemy remembers the answer, also in statements made of this one.
    exported = getattr(copy(clause), "exported_columns", ())
    columns = {column.key: column.type for column in exported}
    hints = _fields(row)
    if list(columns) != list(hints):
        raise TypeError(
            f"{row.__name__} has the fields {_listed(hints)}, "
            f"but the statement returns the columns {_listed(columns)}: {clause}"
        )
    for name, kind in columns.items():
        _check_type(kind, hints[name], f"{row.__name__}.{name}")
    enums = [
        (place, kind)
        for place, hint in enumerate(hints.values())
        if issubclass(kind := _kind(hint), Enum)
    ]
    if not enums:
        return lambda values: row(*values)

    def make(values: Sequence[Any]) -> B:
        converted = list(values)
        for place, kind in enums:
            if converted[place] is not None:
                converted[place] = kind(converted[place])
        return row(*converted)

    return make


def _fields(cls: type[Any]) -> dict[str, Any]:
    """Return the names and types of a dataclass's fields, in order."""
    if not dataclasses.is_dataclass(cls):
        raise TypeError(f"{cls.__name__} must be a dataclass")
    hints = get_type_hints(cls)
    return {each.name: hints[each.name] for each in dataclasses.fields(cls)}


def _check_type(sql: TypeEngine[Any], hint: Any, name: str) -> None:
    """Hold a field against the Python type of a bind or column, where there is one."""
    if isinstance(sql, JSON):
        return  # any value that JSON has
    try:
        expected = list if isinstance(sql, ARRAY) else sql.python_type
    except NotImplementedError:
        return
    kind = _kind(hint)
    if kind is not expected and not (issubclass(kind, expected) and kind is not bool):
        raise TypeError(f"{name} is {kind.__name__}, but SQL has {expected.__name__}")
    if isinstance(sql, ARRAY):
        _check_type(sql.item_type, get_args(_bare(hint))[0], f"{name}[]")


def _kind(hint: Any) -> type:
    """Return the class behind a type hint: of `list[UUID] | None` it is `list`."""
    bare = _bare(hint)
    found = get_origin(bare) or bare
    return found if isinstance(found, type) else object


def _bare(hint: Any) -> Any:
    """Take `| None` and NewType away from a type hint."""
    if get_origin(hint) in (Union, UnionType):
        return _bare(next(each for each in get_args(hint) if each is not NoneType))
    supertype = getattr(hint, "__supertype__", None)
    return hint if supertype is None else _bare(supertype)


def _listed(names: dict[str, Any]) -> str:
    return ", ".join(names) or "none"


def newest_first(rows: Select[Any], table: Table) -> Select[Any]:
    """Return a page of rows: those before a place, the newest first.

    The place is that of the last row of the page before. The parameters are `before_time`,
    `before_id` and `limit`.
    """
    time, row_id = table.c.create_time, table.c.id
    before = tuple_(
        bindparam("before_time", type_=time.type), bindparam("before_id", type_=row_id.type)
    )
    return (
        rows.where(tuple_(time, row_id) < before)
        .order_by(time.desc(), row_id.desc())
        .limit(bindparam("limit"))
    )
