"""The SQL of the audit log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.types.json import Jsonb
from sqlalchemy import Text, bindparam, literal_column, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from services.auth.model import AUDIT_LOG
from services.kernel.db.cleaner import old_rows
from services.kernel.db.database import Reader, Transaction
from services.kernel.db.statement import ByUser, NoRow, Statement
from services.kernel.ids import new_id


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the audit log."""

    event: str
    user_id: UUID | None
    account: str | None
    actor: str | None
    client_ip: str | None
    detail: dict[str, str | int]
    create_time: datetime


@dataclass(frozen=True, slots=True)
class _NewEntry:
    entry_id: UUID
    event: str
    user_id: UUID | None
    account: str | None
    actor: str | None
    client_ip: str | None
    detail: Jsonb


@dataclass(frozen=True, slots=True)
class _Search:
    event: str | None
    user_id: UUID | None
    limit: int


_INSERT = Statement(
    insert(AUDIT_LOG)
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
    _NewEntry,
    NoRow,
)
_LATEST = Statement(
    select(
        AUDIT_LOG.c.event,
        AUDIT_LOG.c.user_id,
        AUDIT_LOG.c.account,
        AUDIT_LOG.c.actor,
        AUDIT_LOG.c.address.label("client_ip"),
        AUDIT_LOG.c.detail,
        AUDIT_LOG.c.create_time,
    )
    .where(
        or_(
            bindparam("event", type_=Text).is_(None),
            AUDIT_LOG.c.event == bindparam("event", type_=Text),
        ),
        or_(
            bindparam("user_id", type_=AUDIT_LOG.c.user_id.type).is_(None),
            AUDIT_LOG.c.user_id == bindparam("user_id", type_=AUDIT_LOG.c.user_id.type),
        ),
    )
    .order_by(AUDIT_LOG.c.create_time.desc(), AUDIT_LOG.c.id.desc())
    .limit(bindparam("limit")),
    _Search,
    Entry,
)
_FORGET_IPS = Statement(
    update(AUDIT_LOG)
    .where(AUDIT_LOG.c.user_id == bindparam("user_id"))
    .values(address=literal_column("NULL")),
    ByUser,
    NoRow,
)
OLD = old_rows("audit log", AUDIT_LOG, AUDIT_LOG.c.create_time, age="1 year")


async def insert_event(
    tx: Transaction,
    *,
    event: str,
    user_id: UUID | None,
    account: str | None = None,
    actor: str | None = None,
    client_ip: str | None = None,
    detail: dict[str, str | int] | None = None,
    entry_id: UUID | None = None,
) -> None:
    """Add an entry; nothing when there is one with this id."""
    await tx.execute(
        _INSERT,
        _NewEntry(
            entry_id=entry_id or new_id(),
            event=event,
            user_id=user_id,
            account=account,
            actor=actor,
            client_ip=client_ip,
            detail=Jsonb(detail or {}),
        ),
    )


async def latest(
    reader: Reader, *, event: str | None, user_id: UUID | None, limit: int
) -> list[Entry]:
    """Return entries, the newest first."""
    return await reader.all(_LATEST, _Search(event=event, user_id=user_id, limit=limit))


async def forget_client_ips(tx: Transaction, user_id: UUID) -> None:
    """Remove the client IPs from the entries of a user."""
    await tx.execute(_FORGET_IPS, ByUser(user_id))
