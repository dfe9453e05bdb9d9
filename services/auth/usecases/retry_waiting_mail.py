"""Make mail due that was postponed."""

from __future__ import annotations

from dataclasses import dataclass

from services.auth.domain.audit import Audit, Event
from services.auth.domain.callers import hold_caller
from services.auth.store import outbox
from services.kernel.db.database import Database, Transaction
from services.kernel.rpc.call import Caller


@dataclass(frozen=True, slots=True)
class RetryWaitingMail:
    """Makes mail due now, such as when the mail server is back."""

    database: Database
    audit: Audit

    async def __call__(self, *, caller: Caller, client_ip: str | None) -> int:
        """Make all postponed mail due, and return how much.

        Raises:
            SessionEnded: The caller's account has gone meanwhile.
        """

        async def work(tx: Transaction) -> int:
            await hold_caller(tx, caller)
            due = await outbox.make_due(tx)
            await self.audit.write(
                tx, Event.ADMIN_CHANGE, actor=caller.actor, client_ip=client_ip, mails_due=due
            )
            return due

        return await self.database.transact("mail.retry", work)
