"""The SQL of lists of users: the newest first, by any filters together.

With filters PostgreSQL might walk all users until enough of them match. So the walk ends after
`WALKED_MAX` rows: a page of frequent matches is full by then. Rare matches, and those that lie
together, are collected by the index of a filter, and sorted.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, FromClause, Select, bindparam, literal_column, or_, select

from services.auth.model import ROLES, USERS, Status, User
from services.auth.store.users import VISIBLE, role_id_of
from services.common.vocabulary import Role
from services.kernel.db.database import Reader
from services.kernel.db.statement import Statement, newest_first

WALKED_MAX: Final = 2_000
OLDEST: Final = datetime.min.replace(tzinfo=UTC)
FIRST_ID: Final = UUID(int=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserFilters:
    """The users that a list shows; None shows all.

    Attributes:
        email_prefix: The beginning of the e-mail in canonical form.
        create_time_from: The earliest time.
        create_time_until: The time that comes after them all.
    """

    email_prefix: str | None = None
    role: Role | None = None
    status: Status | None = None
    create_time_from: datetime | None = None
    create_time_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Page:
    since: datetime
    before_time: datetime
    before_id: UUID
    limit: int


@dataclass(frozen=True, slots=True)
class _FilteredPage(_Page):
    role_id: UUID | None
    status: Status | None
    pattern: str | None


# The users of these times, the newest first.
_RANGE = newest_first(
    select(USERS.c.id, USERS.c.create_time).where(
        USERS.c.status != "PENDING",
        USERS.c.create_time >= bindparam("since", type_=USERS.c.create_time.type),
    ),
    USERS,
)


def _filters(rows: FromClause) -> tuple[ColumnElement[bool], ...]:
    """Return the filters; one whose parameter is NULL holds for every row."""
    role_id, status = (bindparam(name, type_=rows.c[name].type) for name in ("role_id", "status"))
    pattern = bindparam("pattern", type_=rows.c.email.type)
    return (
        or_(role_id.is_(None), rows.c.role_id == role_id),
        or_(status.is_(None), rows.c.status == status),
        or_(pattern.is_(None), rows.c.email.like(pattern)),
    )


def _walked() -> Select[Any]:
    columns = (USERS.c.role_id, USERS.c.status, USERS.c.email)
    walk = _RANGE.add_columns(*columns).limit(literal_column(str(WALKED_MAX)))
    walked = walk.subquery("walked")
    return _newest(walked).where(*_filters(walked))


def _collected() -> Select[Any]:
    # Without an order, and apart from it, only the index of a filter helps.
    matching = _RANGE.where(*_filters(USERS)).order_by(None).limit(None)
    return _newest(matching.cte("matching").prefix_with("MATERIALIZED"))


def _newest(found: FromClause) -> Select[Any]:
    return (
        select(found.c.id)
        .order_by(found.c.create_time.desc(), found.c.id.desc())
        .limit(bindparam("limit"))
    )


def _shown(chosen: Select[Any]) -> Select[Any]:
    """Select chosen users as others see them; the roles of these alone are read."""
    ids = chosen.subquery("chosen")
    return (
        select(*VISIBLE)
        .select_from(ids.join(USERS, ids.c.id == USERS.c.id).join(ROLES))
        .order_by(USERS.c.create_time.desc(), USERS.c.id.desc())
    )


_LIST = Statement(_shown(_RANGE), _Page, User)
_WALK = Statement(_shown(_walked()), _FilteredPage, User)
_COLLECT = Statement(
    _shown(_collected()),
    _FilteredPage,
    User,
    is_planned_anew=True,  # the filters that are given say which index serves
)


async def list_users(
    reader: Reader, filters: UserFilters, *, before: tuple[datetime, UUID], limit: int
) -> list[User]:
    """Return users older than `before`, the newest first, without PENDING ones."""
    if filters.create_time_until is not None:
        before = min(before, (filters.create_time_until, FIRST_ID))
    times = (filters.create_time_from or OLDEST, *before, limit)
    if filters.email_prefix is None and filters.role is None and filters.status is None:
        return await reader.all(_LIST, _Page(*times))
    role_id = None if filters.role is None else await role_id_of(reader, filters.role)
    if filters.role is not None and role_id is None:
        return []
    pattern = None if filters.email_prefix is None else _pattern(filters.email_prefix)
    page = _FilteredPage(*times, role_id, filters.status, pattern)
    found = await reader.all(_WALK, page)
    if len(found) == limit:
        return found
    return await reader.all(_COLLECT, page)


def _pattern(prefix: str) -> str:
    """Return the pattern of LIKE for the texts that begin so."""
    for special in "\\%_":
        prefix = prefix.replace(special, f"\\{special}")
    return f"{prefix}%"
