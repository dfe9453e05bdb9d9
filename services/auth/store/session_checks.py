"""The SQL of checks: whether a session lives, and what its user may do with it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from uuid import UUID

from sqlalchemy import Interval, and_, cast, func, or_, select, update

from services.auth.model import ROLES, SESSIONS, TOTPS, USERS
from services.auth.store.sessions import BY_ID, LIVES, USER_LIVES, BySession
from services.kernel.db.database import Database, Reader, Transaction
from services.kernel.db.statement import NoRow, Statement
from services.kernel.errors import DatabaseUnavailable
from services.kernel.rpc.access import Session
from services.kernel.rpc.call import ADMIN

FRESH = timedelta(minutes=5)
SEEN_EVERY = timedelta(minutes=15)  # how exact the time is at which a session was seen


@dataclass(frozen=True, slots=True)
class _Checked:
    role: str
    user_id: UUID
    has_second_factor: bool
    was_seen: bool


@dataclass(frozen=True, slots=True)
class _Freshness:
    is_fresh: bool


_WAS_SEEN = SESSIONS.c.last_seen_time > func.saga_now() - cast(SEEN_EVERY, Interval)
_CHECK = Statement(
    select(
        ROLES.c.name.label("role"),
        SESSIONS.c.user_id,
        SESSIONS.c.has_second_factor,
        _WAS_SEEN.label("was_seen"),
    )
    .select_from(SESSIONS.join(USERS).join(ROLES))
    .where(BY_ID, LIVES, USER_LIVES),
    BySession,
    _Checked,
)
# A row that is locked is left alone: nobody waits for this.
_SEE = Statement(
    update(SESSIONS)
    .where(
        SESSIONS.c.id
        == select(SESSIONS.c.id)
        .where(BY_ID, ~_WAS_SEEN)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    .values(last_seen_time=func.saga_now()),
    BySession,
    NoRow,
)
_HAS_ENOUGH = or_(
    SESSIONS.c.has_second_factor,
    ~select(TOTPS.c.user_id)
    .where(TOTPS.c.user_id == SESSIONS.c.user_id, TOTPS.c.confirm_time.is_not(None))
    .correlate(SESSIONS)
    .exists(),
)
_IS_FRESH = Statement(
    select(
        and_(SESSIONS.c.auth_time > func.saga_now() - cast(FRESH, Interval), _HAS_ENOUGH).label(
            "is_fresh"
        )
    ).where(BY_ID),
    BySession,
    _Freshness,
)


@dataclass(frozen=True, slots=True)
class LocalSessions:
    """Checks sessions for Auth's own access rules (`access.SessionChecker`).

    Attributes:
        database: Auth's database.
        admins_need_mfa: Whether administrators need a second factor (`LOCKSTEP_ADMIN_MFA`).
    """

    database: Database
    admins_need_mfa: bool

    async def check(self, session_id: UUID, *, fresh: bool = True) -> Session | None:  # noqa: ARG002 - every answer is fresh
        """See `access.SessionChecker`. The session counts as seen."""
        found = await self.database.first(_CHECK, BySession(session_id))
        if found is None:
            return None
        if not found.was_seen:
            with contextlib.suppress(DatabaseUnavailable):  # the next check will write it
                see = partial(_see, session_id=session_id)
                await self.database.transact("session.seen", see)
        lacks = self.admins_need_mfa and found.role == ADMIN and not found.has_second_factor
        return Session(role=found.role, user_id=found.user_id, lacks_mfa=lacks)


async def is_fresh(reader: Reader, session_id: UUID) -> bool | None:
    """Return whether a session's user proved the password lately; None when it has ended.

    A user who has a second factor must have proven it for this session as well.
    """
    row = await reader.first(_IS_FRESH, BySession(session_id))
    return None if row is None else row.is_fresh


async def _see(tx: Transaction, *, session_id: UUID) -> None:
    await tx.execute(_SEE, BySession(session_id))
