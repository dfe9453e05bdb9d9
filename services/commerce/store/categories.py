"""Categories."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import psycopg
from sqlalchemy import Text, Uuid, bindparam, insert, select, tuple_

from services.commerce.errors import CategoryNameTaken
from services.commerce.model import CATEGORIES, Category
from services.kernel.db.database import Reader, Transaction
from services.kernel.db.statement import Statement

_NAMES = ("uq_categories_name_key", "uq_categories_unique_name")
# The position before every category: no name and no id is smaller.
FIRST = ("", UUID(int=0))


@dataclass(frozen=True, slots=True)
class NewCategory:
    """A category to insert."""

    category_id: UUID
    name: str
    description: str


@dataclass(frozen=True, slots=True)
class CategoryPage:
    """The categories after a position, by name."""

    after_name: str
    after_id: UUID
    limit: int


@dataclass(frozen=True, slots=True)
class ListedCategory(Category):
    """A category and the key by which it is sorted."""

    name_key: str


_COLUMNS = (
    CATEGORIES.c.id,
    CATEGORIES.c.name,
    CATEGORIES.c.description,
    CATEGORIES.c.create_time,
)
_INSERT = Statement(
    insert(CATEGORIES)
    .values(
        id=bindparam("category_id"), name=bindparam("name"), description=bindparam("description")
    )
    .returning(*_COLUMNS),
    NewCategory,
    Category,
)
_PAGE = Statement(
    select(*_COLUMNS, CATEGORIES.c.name_key)
    .where(
        tuple_(CATEGORIES.c.name_key, CATEGORIES.c.id)
        > tuple_(bindparam("after_name", type_=Text), bindparam("after_id", type_=Uuid))
    )
    .order_by(CATEGORIES.c.name_key, CATEGORIES.c.id)
    .limit(bindparam("limit")),
    CategoryPage,
    ListedCategory,
)


async def insert_category(
    tx: Transaction, *, category_id: UUID, name: str, description: str
) -> Category:
    """Insert a category.

    Raises:
        CategoryNameTaken: Another one has this name (see `unique_name`); the transaction is lost.
    """
    category = NewCategory(category_id, name, description)
    try:
        return (await tx.all(_INSERT, category))[0]
    except psycopg.errors.UniqueViolation as error:
        if error.diag.constraint_name not in _NAMES:
            raise
        raise CategoryNameTaken from error


async def list_categories(
    reader: Reader, *, after: tuple[str, UUID], limit: int
) -> list[ListedCategory]:
    """Return categories by name, those after a position."""
    return await reader.all(_PAGE, CategoryPage(*after, limit))
