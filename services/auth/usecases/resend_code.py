"""Mail a new code for a flow that is open."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.auth.domain.audit import Audit, Event
from services.auth.domain.codes import Codes, malformed
from services.auth.domain.emails import parse_email
from services.auth.domain.registration import read_sign_up
from services.auth.errors import UserNotFound
from services.auth.model import CanonicalEmail, Purpose, Recipient
from services.auth.store import codes as store
from services.auth.store import credentials
from services.auth.store.codes import Flow
from services.auth.store.credentials import Credentials
from services.kernel.db.database import Database, Transaction
from services.kernel.errors import IllegalState


@dataclass(frozen=True, slots=True)
class Resent:
    """A code that was mailed again."""

    purpose: Purpose
    expire_time: datetime


@dataclass(frozen=True, slots=True)
class ResendCode:
    """Mails new codes at the word of administrators, who do not see them."""

    database: Database
    codes: Codes
    audit: Audit

    async def __call__(
        self, account: UUID | CanonicalEmail, *, actor: str, client_ip: str | None
    ) -> Resent:
        """Mail a new code for the newest open flow of an account.

        Args:
            account: The user, named by the id or the e-mail; or the e-mail of a sign-up.
            actor: The name of the caller in the audit log.
            client_ip: The caller's.

        Raises:
            UserNotFound: There is neither such a user nor such a sign-up.
            IllegalState: The user has no open flow.
            TooManyRequests: See `CodeLimiter.take_resend`.
        """

        async def work(tx: Transaction) -> Resent:
            found = await credentials.by_name(tx, account)
            owner = None if found is None else await credentials.lock(tx, found.user_id)
            flow = await _newest(tx, account, owner)
            to = _recipient(flow, owner)
            expire_time = await self.codes.resend(tx, flow, to=to)
            if expire_time is None:
                raise _nothing_open()
            await self.audit.write(
                tx,
                Event.ADMIN_CHANGE,
                user_id=flow.user_id,
                account=flow.email,
                actor=actor,
                client_ip=client_ip,
                resent=flow.purpose,
                flow=str(flow.id),
            )
            return Resent(flow.purpose, expire_time)

        return await self.database.transact("code.resend", work)


async def _newest(
    tx: Transaction, account: UUID | CanonicalEmail, owner: Credentials | None
) -> Flow:
    if owner is not None:
        version = owner.credential_version
        flow = await store.newest_of_user(tx, owner.user_id, credential_version=version)
        if flow is None:
            raise _nothing_open()
        return flow
    flow = None if isinstance(account, UUID) else await store.newest_sign_up(tx, account)
    if flow is None:
        raise UserNotFound
    return flow


def _recipient(flow: Flow, owner: Credentials | None) -> Recipient:
    """Return where the code of a flow goes: not always to the present e-mail of its user."""
    if owner is not None and flow.purpose is not Purpose.EMAIL_CHANGE:
        return owner.recipient
    if owner is None:
        sign_up = read_sign_up(flow.payload)
        email = None if sign_up is None else sign_up.details.email
        language = None if sign_up is None else sign_up.details.language
    else:
        language = owner.language
        typed = flow.payload.get("typed") if isinstance(flow.payload, dict) else None
        email = parse_email(typed) if isinstance(typed, str) else None
    if email is None:
        raise malformed(flow)
    return Recipient(email.mailbox, language)


def _nothing_open() -> IllegalState:
    return IllegalState("There is no open code to mail again. Its owner must ask for one.")
