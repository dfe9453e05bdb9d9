"""The SQL of invitations, which are flows without an account."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import and_, bindparam, delete, func, literal_column, select

from services.auth.model import CODES, USERS, CanonicalEmail, Purpose
from services.auth.store.users import ByEmail
from services.kernel.db.database import Reader, Transaction
from services.kernel.db.statement import NoRow, Statement, newest_first


@dataclass(frozen=True, slots=True, repr=False)
class InvitationRow:
    """An invitation.

    Attributes:
        payload: The JSON that says whom it invites, as the row has it.
    """

    id: UUID
    email: CanonicalEmail
    payload: object
    create_time: datetime
    expire_time: datetime


@dataclass(frozen=True, slots=True)
class _ByInvitation:
    invitation_id: UUID


@dataclass(frozen=True, slots=True)
class _InvitationPage:
    before_time: datetime
    before_id: UUID
    limit: int


# Of the index, so that the purpose must be a literal.
_IS_INVITATION = CODES.c.purpose == literal_column(f"'{Purpose.INVITATION}'")
_BY_ID = and_(CODES.c.id == bindparam("invitation_id"), _IS_INVITATION)
_COLUMNS = (
    CODES.c.id,
    CODES.c.email,
    CODES.c.payload,
    CODES.c.create_time,
    CODES.c.expire_time,
)
_GET = Statement(select(*_COLUMNS).where(_BY_ID), _ByInvitation, InvitationRow)
_HAS_ACCOUNT = (
    select(USERS.c.id)
    .where(USERS.c.email == CODES.c.email, USERS.c.status != "PENDING")
    .correlate(CODES)
    .exists()
)
_LIST = Statement(
    newest_first(
        select(*_COLUMNS).where(
            _IS_INVITATION,
            CODES.c.spend_time.is_(None),
            CODES.c.expire_time > func.saga_now(),
            ~_HAS_ACCOUNT,
        ),
        CODES,
    ),
    _InvitationPage,
    InvitationRow,
)
_END = Statement(
    delete(CODES).where(_BY_ID, CODES.c.spend_time.is_(None)).returning(*_COLUMNS),
    _ByInvitation,
    InvitationRow,
)
_END_OF_EMAIL = Statement(
    delete(CODES).where(
        CODES.c.email == bindparam("email"), _IS_INVITATION, CODES.c.spend_time.is_(None)
    ),
    ByEmail,
    NoRow,
)


async def get(reader: Reader, invitation_id: UUID) -> InvitationRow | None:
    """Return an invitation, perhaps an ended one, or None."""
    return await reader.first(_GET, _ByInvitation(invitation_id))


async def list_open(
    reader: Reader, *, before: tuple[datetime, UUID], limit: int
) -> list[InvitationRow]:
    """Return open invitations of addresses without an account, the newest first."""
    return await reader.all(_LIST, _InvitationPage(*before, limit))


async def end(tx: Transaction, invitation_id: UUID) -> InvitationRow | None:
    """Remove an invitation that nobody has accepted, and return it, or None."""
    return await tx.first(_END, _ByInvitation(invitation_id))


async def end_of_email(tx: Transaction, email: CanonicalEmail) -> None:
    """Remove the invitations of an e-mail that nobody has accepted."""
    await tx.execute(_END_OF_EMAIL, ByEmail(email))
