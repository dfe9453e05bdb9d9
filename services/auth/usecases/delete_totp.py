"""Take the second factor off the caller's account."""

from __future__ import annotations

from dataclasses import dataclass

from services.auth.domain import email_templates as mails
from services.auth.domain.audit import Audit, Event
from services.auth.domain.endings import end_opened
from services.auth.domain.freshness import require_fresh
from services.auth.domain.outbox import Outbox
from services.auth.domain.totp import SecondFactors
from services.auth.model import Status
from services.auth.store import credentials
from services.kernel.db.database import Database, Transaction
from services.kernel.errors import IllegalState, SessionEnded
from services.kernel.rpc import call


@dataclass(frozen=True, slots=True)
class DeleteTotp:
    """Switches second factors off."""

    database: Database
    factors: SecondFactors
    outbox: Outbox
    audit: Audit

    async def __call__(self, *, caller: call.UserPrincipal, client_ip: str | None) -> None:
        """Take the second factor off; the caller's other sessions and all open codes end.

        Raises:
            ReauthenticationRequired: The caller proved password and second factor too long ago.
            IllegalState: The account has none.
        """
        await require_fresh(self.database, caller)

        async def work(tx: Transaction) -> None:
            user = await credentials.lock(tx, caller.id)
            if user is None or user.status is not Status.ACTIVE:
                raise SessionEnded
            if not await self.factors.remove(tx, user.user_id):
                raise IllegalState("There is no second factor to delete.")
            await end_opened(tx, user.user_id, keep_session=caller.session_id)
            await self.outbox.put(tx, mails.second_factor_off(), to=user.recipient)
            await self.audit.write(
                tx, Event.MFA_CHANGE, user_id=user.user_id, client_ip=client_ip, by="delete"
            )

        await self.database.transact("totp.delete", work)
