"""Set a new password with a mailed code."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.auth import events
from services.auth.domain import email_templates as mails
from services.auth.domain import passwords
from services.auth.domain.audit import Audit, Event
from services.auth.domain.codes import Codes, SubmittedCode
from services.auth.domain.endings import end_opened, spend
from services.auth.domain.login_throttle import LoginThrottle
from services.auth.domain.outbox import Outbox
from services.auth.domain.passwords import Hasher
from services.auth.errors import OtpInvalid
from services.auth.model import Purpose
from services.auth.sagas.profile_status import EMAIL_VERIFICATION
from services.auth.store import accounts, users
from services.auth.store.codes import Flow
from services.kernel.db.database import Transaction
from services.kernel.errors import InvalidField, Violation
from services.kernel.events.writer import tell
from services.kernel.sagas.forward_only import ForwardOnlySagas
from services.kernel.sagas.model import Nothing


@dataclass(frozen=True, slots=True)
class ResetPassword:
    """Sets passwords of users who have proven their mailbox."""

    hasher: Hasher
    codes: Codes
    forward_only: ForwardOnlySagas
    throttle: LoginThrottle
    outbox: Outbox
    audit: Audit

    async def __call__(
        self, code: SubmittedCode, *, new_password: str, client_ip: str | None
    ) -> None:
        """Set a password; all sessions end, and the e-mail address is confirmed.

        Raises:
            OtpInvalid, OtpExpired, OtpExhausted: See `Codes.verify`.
            InvalidField: The password is made of words of the account.
            TooManyRequests: See `Codes.verify`, or too many passwords are being hashed.
        """
        flow = await self.codes.verify(code, {Purpose.RESET}, client_ip=client_ip)
        if flow.is_spent or flow.user_id is None:
            raise OtpInvalid
        person = await users.get(self.codes.database, flow.user_id)
        names = () if person is None else (person.full_name,)
        if found := passwords.faults(new_password, email=flow.email, names=names):
            raise InvalidField(*(Violation("new_password", fault) for fault in found))
        password_hash = await self.hasher.hash(new_password)

        async def initial_change(tx: Transaction, saga_id: UUID) -> None:
            await self._set(tx, flow, saga_id, password_hash, client_ip)

        await self.forward_only.run(
            EMAIL_VERIFICATION.new(Nothing(), user_id=flow.user_id, initial_change=initial_change)
        )

    async def _set(
        self,
        tx: Transaction,
        flow: Flow,
        saga_id: UUID,
        password_hash: str,
        client_ip: str | None,
    ) -> None:
        user = await spend(tx, flow, saga_id=saga_id)
        if user is None or user.email != flow.email:
            raise OtpInvalid
        await accounts.set_password(tx, user.user_id, password_hash)
        await accounts.verify_email(tx, user.user_id)  # the code has proven the mailbox
        await end_opened(tx, user.user_id)
        await self.throttle.forgive(tx, user.email, client_ip=client_ip)
        await self.outbox.put(tx, mails.password_changed(), to=user.recipient)
        await self.audit.write(
            tx, Event.CREDENTIALS_CHANGE, user_id=user.user_id, client_ip=client_ip, by="reset"
        )
        await tell(tx, events.user_verified(user.user_id), saga_id=saga_id)
