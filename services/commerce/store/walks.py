"""Bounded walks: a list looks through so many lines of orders at most.

Where few of them match, its page ends early, so that its cost is bounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from sqlalchemy import ColumnElement, FromClause, Select, func, literal_column, or_, select

WALKED_MAX = 2_000


class Walked(Protocol):
    """A line that was looked through."""

    @property
    def walked(self) -> int:
        """The number of lines that were looked through, this one among them."""


W = TypeVar("W", bound=Walked)


def walk(lines: Select[Any], *order: str) -> FromClause:
    """Select the lines that are looked through, numbered as `walked`.

    Args:
        lines: The lines; an index must serve their order.
        order: The columns of their order, which is descending.
    """
    backwards = [lines.selected_columns[name].desc() for name in order]
    cut = lines.order_by(*backwards).limit(literal_column(str(WALKED_MAX))).subquery("cut")
    number = func.row_number().over(order_by=[cut.c[name].desc() for name in order])
    return select(*cut.c, number.label("walked")).subquery("walked")


def is_found(lines: FromClause, *, wanted: ColumnElement[bool]) -> ColumnElement[bool]:
    """Say whether a line is wanted, or tells where the walk has ended."""
    return or_(wanted, lines.c.walked == literal_column(str(WALKED_MAX)))


def end_of(found: Sequence[W]) -> W | None:
    """Return the line at which a walk has ended early; None: there are no more lines."""
    return found[-1] if found and found[-1].walked == WALKED_MAX else None
