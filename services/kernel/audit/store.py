"""The SQL of the audit log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb
from sqlalchemy import Text, and_, bindparam, cast, literal_column, or_, select, update
from sqlalchemy.dialects import postgresql

from services.kernel.db.cleaner import at_most
from services.kernel.db.database import Reader, Transaction
from services.kernel.db.statement import NoRow, SomeOfUser, Statement, newest_first
from services.kernel.db.tables import AUDIT_LOG


@dataclass(frozen=True, slots=True)
class NewEntry:
    """A line that is to be written."""

    entry_id: UUID
    event: str
    user_id: UUID | None
    account: str | None
    actor: str | None
    client_ip: str | None
    detail: Jsonb


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A line of the audit log."""

    id: UUID
    event: str
    user_id: UUID | None
    account: str | None
    actor: str | None
    client_ip: str | None
    detail: dict[str, Any]
    create_time: datetime


@dataclass(frozen=True, slots=True)
class LaterEntry:
    """A line that is to be written with the account, actor and place of an earlier one."""

    entry_id: UUID
    earlier_id: UUID
    event: str
    user_id: UUID | None
    detail: Jsonb


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryFilters:
    """The lines that a list shows; None shows all."""

    event: str | None = None
    user_id: UUID | None = None
    actor: str | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class _EntryPage:
    event: str | None
    user_id: UUID | None
    actor: str | None
    since: datetime | None
    before_time: datetime
    before_id: UUID
    limit: int


_ADDRESS = AUDIT_LOG.c.address.label("client_ip")
_INSERT = Statement(
    postgresql.insert(AUDIT_LOG)
    .values(
        id=bindparam("entry_id"),
        event=bindparam("event"),
        user_id=bindparam("user_id"),
        account=bindparam("account"),
        actor=bindparam("actor"),
        address=bindparam("client_ip"),
        detail=bindparam("detail"),
    )
    .on_conflict_do_nothing(),
    NewEntry,
    NoRow,
)
# One round trip, also where there is no earlier line.
_EARLIER = AUDIT_LOG.alias("earlier")
_ONE = select(literal_column("1").label("one")).subquery("one")
_INSERT_LATER = Statement(
    postgresql.insert(AUDIT_LOG)
    .from_select(
        ["id", "event", "user_id", "account", "actor", "address", "detail"],
        select(
            bindparam("entry_id", type_=AUDIT_LOG.c.id.type),
            bindparam("event", type_=AUDIT_LOG.c.event.type),
            bindparam("user_id", type_=AUDIT_LOG.c.user_id.type),
            _EARLIER.c.account,
            _EARLIER.c.actor,
            _EARLIER.c.address,
            bindparam("detail", type_=AUDIT_LOG.c.detail.type),
        ).select_from(_ONE.outerjoin(_EARLIER, _EARLIER.c.id == bindparam("earlier_id"))),
        include_defaults=False,
    )
    .on_conflict_do_nothing(),
    LaterEntry,
    NoRow,
)
_SINCE = bindparam("since", type_=AUDIT_LOG.c.create_time.type)
_LIST = Statement(
    newest_first(
        select(
            AUDIT_LOG.c.id,
            AUDIT_LOG.c.event,
            AUDIT_LOG.c.user_id,
            AUDIT_LOG.c.account,
            AUDIT_LOG.c.actor,
            _ADDRESS,
            AUDIT_LOG.c.detail,
            AUDIT_LOG.c.create_time,
        ).where(
            *(
                or_(
                    bindparam(name, type_=AUDIT_LOG.c[name].type).is_(None),
                    AUDIT_LOG.c[name] == bindparam(name, type_=AUDIT_LOG.c[name].type),
                )
                for name in ("event", "user_id", "actor")
            ),
            or_(_SINCE.is_(None), AUDIT_LOG.c.create_time >= _SINCE),
        ),
        AUDIT_LOG,
    ),
    _EntryPage,
    AuditEntry,
    is_planned_anew=True,  # the filters that are given say which index serves
)
_USER = bindparam("user_id", type_=AUDIT_LOG.c.user_id.type)
# Where somebody else acted, the address is not the user's.
_HAS_ADDRESS = AUDIT_LOG.c.address.is_not(None)
ADDRESSES_OF_USER = (
    and_(AUDIT_LOG.c.user_id == _USER, AUDIT_LOG.c.actor.is_(None), _HAS_ADDRESS),
    and_(AUDIT_LOG.c.actor == cast(_USER, Text), _HAS_ADDRESS),
)
FORGET_ADDRESSES = Statement(
    update(AUDIT_LOG)
    .where(at_most(AUDIT_LOG, *ADDRESSES_OF_USER), or_(*ADDRESSES_OF_USER))
    .values(address=None),
    SomeOfUser,
    NoRow,
)


def packed(facts: Mapping[str, str | int | bool]) -> Jsonb:
    """Return facts as the column takes them."""
    return Jsonb(dict(facts))


async def insert(tx: Transaction, entry: NewEntry) -> None:
    """Add a line; nothing when there is one with this id."""
    await tx.execute(_INSERT, entry)


async def insert_later(tx: Transaction, entry: LaterEntry) -> None:
    """Add a line with the facts of an earlier one; nothing when there is one with this id."""
    await tx.execute(_INSERT_LATER, entry)


async def list_entries(
    reader: Reader, filters: EntryFilters, *, before: tuple[datetime, UUID], limit: int
) -> list[AuditEntry]:
    """Return lines, the newest first, older than `before`."""
    page = _EntryPage(
        filters.event, filters.user_id, filters.actor, filters.since, *before, limit=limit
    )
    return await reader.all(_LIST, page)
