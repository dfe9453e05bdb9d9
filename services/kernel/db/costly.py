"""Reads whose cost differs much, so that the costly ones cannot take all cores of a server."""

from __future__ import annotations

from typing import Final, TypeVar

from services.kernel.db.database import Reader
from services.kernel.db.statement import Statement

A = TypeVar("A")
B = TypeVar("B")


class CostlyApart:
    """Reads with one pool of connections what costs little, and with another what is costly.

    A costly read keeps a core of the server busy while it runs. So as many of them run at once
    as their pool has connections, and the others wait for their turn.

    Args:
        cheap: The pool for statements that touch few rows.
        costly: The pool for statements with `is_costly`.
    """

    def __init__(self, cheap: Reader, costly: Reader) -> None:
        self._cheap: Final = cheap
        self._costly: Final = costly

    async def all(self, statement: Statement[A, B], parameters: A, /) -> list[B]:
        """Return every row."""
        return await self._of(statement).all(statement, parameters)

    async def first(self, statement: Statement[A, B], parameters: A, /) -> B | None:
        """Return the first row, or None."""
        return await self._of(statement).first(statement, parameters)

    def _of(self, statement: Statement[A, B]) -> Reader:
        return self._costly if statement.is_costly else self._cheap
