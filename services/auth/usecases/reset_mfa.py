"""Take the second factor off an account whose owner has lost it."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.auth.domain import email_templates as mails
from services.auth.domain.audit import Audit, Event
from services.auth.domain.endings import end_opened
from services.auth.domain.freshness import require_fresh
from services.auth.domain.outbox import Outbox
from services.auth.domain.totp import SecondFactors
from services.auth.errors import UserNotFound
from services.auth.model import CanonicalEmail, User
from services.auth.store import credentials, users
from services.kernel.db.database import Database, Transaction
from services.kernel.rpc.call import UserPrincipal


@dataclass(frozen=True, slots=True)
class ResetMfa:
    """Takes second factors off, and tells the owners."""

    database: Database
    factors: SecondFactors
    outbox: Outbox
    audit: Audit

    async def __call__(
        self,
        account: UUID | CanonicalEmail,
        *,
        caller: UserPrincipal | None,
        actor: str,
        client_ip: str | None,
    ) -> User:
        """Take the second factor off a user, named by the id or the e-mail; return the user.

        All sessions and open codes of the user end. Nothing changes without a second factor.

        Args:
            account: The user.
            caller: The administrator who calls; None when a service does.
            actor: The name of the caller in the audit log.
            client_ip: The caller's.

        Raises:
            ReauthenticationRequired: The administrator proved the password too long ago.
            UserNotFound: There is no such user.
        """
        if caller is not None:
            await require_fresh(self.database, caller)

        async def work(tx: Transaction) -> User:
            found = await credentials.by_name(tx, account)
            locked = None if found is None else await credentials.lock(tx, found.user_id)
            if locked is None:
                raise UserNotFound
            if await self.factors.remove(tx, locked.user_id):
                await end_opened(tx, locked.user_id)
                await self.outbox.put(tx, mails.second_factor_reset(), to=locked.recipient)
                await self.audit.write(
                    tx,
                    Event.ADMIN_CHANGE,
                    user_id=locked.user_id,
                    actor=actor,
                    client_ip=client_ip,
                    reset="mfa",
                )
            user = await users.get(tx, locked.user_id)
            if user is None:
                raise UserNotFound
            return user

        return await self.database.transact("mfa.reset", work)
