"""Invitations: a mailed token lets a person register with an address and a role.

An invitation is a flow without an account. It gives no role that a registration may not
choose, so that it need not end with the administrator who made it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar
from uuid import UUID

import structlog
from pydantic import TypeAdapter, ValidationError

from services.auth.domain import flow_tokens
from services.auth.domain.audit import Audit, Event
from services.auth.errors import InvitationNotFound
from services.auth.model import CanonicalEmail, Email, Purpose
from services.auth.store import invitations as store
from services.auth.store.codes import Flow
from services.auth.store.invitations import InvitationRow
from services.common.vocabulary import Role
from services.kernel.db.database import Database, Transaction

DAYS: Final = 7
DAYS_MAX: Final = 30

T = TypeVar("T")

log = structlog.get_logger("lockstep.invitations")


@dataclass(frozen=True, slots=True)
class Invited:
    """Whom an invitation invites: the payload of its flow.

    Attributes:
        language: The language of the mail, and of later ones.
    """

    email: Email
    role: Role
    language: str


@dataclass(frozen=True, slots=True)
class Invitation:
    """An invitation."""

    id: UUID
    email_display: str
    role: Role
    language: str
    create_time: datetime
    expire_time: datetime


@dataclass(frozen=True, slots=True)
class OpenedInvitation:
    """An invitation whose token was presented.

    Attributes:
        invited: None when it has been accepted.
    """

    id: UUID
    invited: Invited | None


INVITED: Final = TypeAdapter(Invited)


def read(row: InvitationRow) -> Invitation | None:
    """Read the row of an invitation; None when it is malformed, which the log tells."""
    invited = _read_payload(row.id, row.email, row.payload)
    if invited is None:
        return None
    return Invitation(
        id=row.id,
        email_display=invited.email.typed,
        role=invited.role,
        language=invited.language,
        create_time=row.create_time,
        expire_time=row.expire_time,
    )


@dataclass(frozen=True, slots=True)
class Invitations:
    """Takes the tokens of invitations."""

    database: Database
    audit: Audit

    async def show(self, token: str, *, client_ip: str | None) -> Invitation:
        """Return the open invitation of a token.

        Raises:
            InvitationNotFound: There is none, or it has ended.
        """

        async def work(tx: Transaction) -> Invitation | None:
            flow = await flow_tokens.find(tx, token, Purpose.INVITATION)
            row = None if flow is None or flow.is_over else await store.get(tx, flow.id)
            invitation = None if row is None else read(row)
            if invitation is None:
                await self._refused(tx, flow, client_ip)
            return invitation

        return _found(await self.database.transact("invitation.show", work))

    async def take(self, token: str, *, client_ip: str | None) -> OpenedInvitation:
        """Return the invitation of a token that may be accepted, or was a moment ago.

        Raises:
            InvitationNotFound: There is none, or it has ended.
        """

        async def work(tx: Transaction) -> OpenedInvitation | None:
            flow = await flow_tokens.find(tx, token, Purpose.INVITATION)
            opened = None if flow is None else _opened(flow)
            if flow is None or opened is None:
                await self._refused(tx, flow, client_ip)
                return None
            await self.audit.write(
                tx,
                Event.CODE_ACCEPTED,
                account=flow.email,
                client_ip=client_ip,
                purpose=flow.purpose,
                flow=str(flow.id),
            )
            return opened

        return _found(await self.database.transact("invitation.take", work))

    async def _refused(self, tx: Transaction, flow: Flow | None, client_ip: str | None) -> None:
        """Write a refusal down. The caller learns nothing of the cause, the log has the flow."""
        await self.audit.write(
            tx,
            Event.CODE_REFUSED,
            account=None if flow is None else flow.email,
            client_ip=client_ip,
            purpose=Purpose.INVITATION,
            reason=InvitationNotFound.reason,
            flow="unknown" if flow is None else str(flow.id),
        )


def _found(invitation: T | None) -> T:
    if invitation is None:
        raise InvitationNotFound
    return invitation


def _opened(flow: Flow) -> OpenedInvitation | None:
    if flow.is_repeatable:
        return OpenedInvitation(flow.id, None)
    invited = None if flow.is_over else _read_payload(flow.id, flow.email, flow.payload)
    return None if invited is None else OpenedInvitation(flow.id, invited)


def _read_payload(flow_id: UUID, email: CanonicalEmail, payload: object) -> Invited | None:
    try:
        invited = INVITED.validate_python(payload)
    except ValidationError:
        invited = None
    if invited is None or invited.email.canonical != email:
        log.error("an invitation cannot be read", flow=str(flow_id))
        return None
    return invited
