"""Invite a person by mail."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, timedelta

from services.auth.domain import email_templates as mails
from services.auth.domain import invitations
from services.auth.domain.audit import Audit, Event
from services.auth.domain.callers import hold_caller
from services.auth.domain.code_limits import CodeLimiter
from services.auth.domain.flow_tokens import FlowToken
from services.auth.domain.invitations import INVITED, Invitation, Invited
from services.auth.domain.outbox import Outbox
from services.auth.model import Purpose, Recipient
from services.auth.sagas.registration import taken
from services.auth.store import codes, users
from services.auth.store import invitations as store
from services.kernel.db.database import Database, Transaction
from services.kernel.rpc.call import Caller


@dataclass(frozen=True, slots=True)
class CreateInvitation:
    """Makes invitations, and mails their tokens. The database has hashes of these alone."""

    database: Database
    limits: CodeLimiter
    outbox: Outbox
    audit: Audit

    async def __call__(
        self, invited: Invited, *, life: timedelta, caller: Caller, client_ip: str | None
    ) -> Invitation:
        """Mail an invitation and return it; an open one of the same e-mail ends.

        Raises:
            EmailTaken, RegistrationInProgress: The e-mail has an account, or is getting one.
            SessionEnded: The caller's account has gone meanwhile.
            TooManyRequests: See `CodeLimiter.take_resend` and `count_invitation`.
        """
        token = FlowToken.new()

        async def work(tx: Transaction) -> Invitation:
            # A deletion takes the counter away, too.
            inviter = await hold_caller(tx, caller)
            if inviter is not None:
                await self.limits.count_invitation(tx, inviter.user_id, inviter.email)
            await self._ensure_possible(tx, invited)
            made = await _insert(tx, token, invited, life)
            await self._mail(tx, token, made, invited)
            await self.audit.write(
                tx,
                Event.INVITED,
                account=invited.email.canonical,
                actor=caller.actor,
                client_ip=client_ip,
                role=invited.role,
                flow=str(made.id),
            )
            return made

        return await self.database.transact("invitation.create", work)

    async def _ensure_possible(self, tx: Transaction, invited: Invited) -> None:
        email = invited.email.canonical
        status = await users.status_of_email(tx, email)
        if status is not None:
            raise taken(status)
        # Its lock lets one invitation of an e-mail come after the other.
        await self.limits.take_resend(tx, Purpose.INVITATION, email)
        await store.end_of_email(tx, email)

    async def _mail(
        self, tx: Transaction, token: FlowToken, made: Invitation, invited: Invited
    ) -> None:
        until = made.expire_time.astimezone(UTC).date().isoformat()
        link = self.outbox.link(f"invitation?token={token.text}")
        mail = (
            mails.invitation_token(token.text, until)
            if link is None
            else mails.invitation(link, until)
        )
        to = Recipient(invited.email.mailbox, invited.language)
        await self.outbox.put(tx, mail, to=to)


async def _insert(
    tx: Transaction, token: FlowToken, invited: Invited, life: timedelta
) -> Invitation:
    await codes.insert_flow(
        tx,
        flow_id=token.flow_id,
        purpose=Purpose.INVITATION,
        email=invited.email.canonical,
        owner=None,
        place_hmac=None,
        code_hmac=token.secret_hash,
        payload=INVITED.dump_python(invited, mode="json"),
        life=life,
    )
    row = await store.get(tx, token.flow_id)
    made = None if row is None else invitations.read(row)
    assert made is not None
    return made
