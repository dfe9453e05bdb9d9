"""Confirm an e-mail address with the code that was mailed to it."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.auth import events
from services.auth.domain import email_templates as mails
from services.auth.domain.audit import Audit, Event
from services.auth.domain.codes import Codes, SubmittedCode, malformed
from services.auth.domain.emails import parse_email
from services.auth.domain.endings import end_opened, spend
from services.auth.domain.login_throttle import LoginThrottle
from services.auth.domain.outbox import Outbox
from services.auth.errors import OtpInvalid
from services.auth.model import Purpose
from services.auth.sagas.profile_status import EMAIL_VERIFICATION
from services.auth.store import accounts
from services.auth.store.codes import Flow
from services.auth.store.credentials import Credentials
from services.kernel.db.database import Transaction
from services.kernel.events.writer import tell
from services.kernel.sagas.forward_only import ForwardOnlySagas
from services.kernel.sagas.model import Nothing


@dataclass(frozen=True, slots=True)
class VerifyEmail:
    """Confirms e-mail addresses, also new ones; the profile becomes active."""

    codes: Codes
    forward_only: ForwardOnlySagas
    outbox: Outbox
    audit: Audit
    throttle: LoginThrottle

    async def __call__(self, code: SubmittedCode, *, client_ip: str | None) -> None:
        """Confirm an e-mail address; a repeat with the right code changes nothing.

        Raises:
            OtpInvalid, OtpExpired, OtpExhausted, TooManyRequests: See `Codes.verify`.
            EmailTaken: Another account has the new e-mail.
        """
        purposes = {Purpose.VERIFICATION, Purpose.EMAIL_CHANGE}
        flow = await self.codes.verify(code, purposes, client_ip=client_ip)
        if flow.is_spent:
            return
        assert flow.user_id is not None

        async def initial_change(tx: Transaction, saga_id: UUID) -> None:
            await self._confirm(tx, flow, saga_id, client_ip)

        await self.forward_only.run(
            EMAIL_VERIFICATION.new(Nothing(), user_id=flow.user_id, initial_change=initial_change)
        )

    async def _confirm(
        self, tx: Transaction, flow: Flow, saga_id: UUID, client_ip: str | None
    ) -> None:
        user = await spend(tx, flow, saga_id=saga_id)
        if user is None:
            return  # a copy of this request was faster
        await accounts.verify_email(tx, user.user_id)
        if flow.purpose is Purpose.EMAIL_CHANGE:
            await self._change(tx, flow, user, client_ip)
            await tell(tx, events.user_email_changed(user.user_id), saga_id=saga_id)
        elif flow.email != user.email:
            raise OtpInvalid  # the e-mail has changed
        else:
            await self.audit.write(
                tx,
                Event.USER_UPDATED,
                user_id=user.user_id,
                client_ip=client_ip,
                confirmed="email",
                flow=str(flow.id),
            )
            await tell(tx, events.user_verified(user.user_id), saga_id=saga_id)

    async def _change(
        self, tx: Transaction, flow: Flow, user: Credentials, client_ip: str | None
    ) -> None:
        payload = flow.payload if isinstance(flow.payload, dict) else {}
        typed = payload.get("typed")
        new = parse_email(typed) if isinstance(typed, str) else None
        if new is None or new.canonical != flow.email:
            raise malformed(flow)
        await accounts.change_email(tx, user.user_id, new)
        ends_sessions = payload.get("end_other_sessions") is True
        await end_opened(tx, user.user_id, keep_session=flow.session_id, sessions=ends_sessions)
        await self.throttle.forget(tx, user.email)
        await self.outbox.put(tx, mails.email_changed(new.typed), to=user.recipient)
        await self.audit.write(
            tx,
            Event.EMAIL_CHANGED,
            user_id=user.user_id,
            account=user.email,
            client_ip=client_ip,
            new_account=self.audit.pseudonym(new.canonical),
            flow=str(flow.id),
        )
