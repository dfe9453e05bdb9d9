"""Categories."""

from __future__ import annotations

from uuid import UUID

import psycopg
from sqlalchemy import Text, Uuid, bindparam, insert, select, tuple_

from services.commerce.errors import CategoryNameTaken
from services.commerce.model import CATEGORIES, Category
from services.kernel.db.database import Reader, Transaction
from services.kernel.db.untyped import Row, Untyped

# Before every name; no id is smaller.
FIRST = ("", UUID(int=0))

_COLUMNS = (
    CATEGORIES.c.id,
    CATEGORIES.c.name,
    CATEGORIES.c.description,
    CATEGORIES.c.create_time,
)
_INSERT = Untyped(
    insert(CATEGORIES)
    .values(
        id=bindparam("category_id"), name=bindparam("name"), description=bindparam("description")
    )
    .returning(*_COLUMNS)
)
_PAGE = Untyped(
    select(*_COLUMNS, CATEGORIES.c.name_key)
    .where(
        tuple_(CATEGORIES.c.name_key, CATEGORIES.c.id)
        > tuple_(bindparam("after_name", type_=Text), bindparam("after_id", type_=Uuid))
    )
    .order_by(CATEGORIES.c.name_key, CATEGORIES.c.id)
    .limit(bindparam("limit"))
)


async def insert_category(
    tx: Transaction, *, category_id: UUID, name: str, description: str
) -> Category:
    """Insert a category.

    Raises:
        CategoryNameTaken: One has this name but for case; the transaction is lost.
    """
    try:
        row = await tx.first(_INSERT, category_id=category_id, name=name, description=description)
    except psycopg.errors.UniqueViolation as error:
        if error.diag.constraint_name != "uq_categories_name_key":
            raise
        raise CategoryNameTaken from error
    return _category(row)


async def list_categories(
    reader: Reader, *, after: tuple[str, UUID], limit: int
) -> list[tuple[Category, str]]:
    """Return categories by name, each with its sort key, from after a position on."""
    rows = await reader.all(_PAGE, after_name=after[0], after_id=after[1], limit=limit)
    return [(_category(row), row.name_key) for row in rows]


def _category(row: Row) -> Category:
    return Category(
        id=row.id, name=row.name, description=row.description, create_time=row.create_time
    )
