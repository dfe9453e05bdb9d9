"""Administrators: operators appoint them, and one always remains."""

from __future__ import annotations

from dataclasses import dataclass

from services.auth.domain.audit import Audit, Event
from services.auth.errors import LastAdministrator, UserNotFound
from services.auth.model import CanonicalEmail, User
from services.auth.store import accounts, credentials, users
from services.common.vocabulary import Role
from services.kernel.db.database import Database, Transaction

OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Administrators:
    """Gives the role of administrators and takes it away.

    Auth heeds it from the next request on, every other service within a minute.
    """

    database: Database
    audit: Audit

    async def promote(self, email: CanonicalEmail) -> User:
        """Make the user with this e-mail an administrator.

        Raises:
            UserNotFound: There is no user with this e-mail.
        """
        return await self._give(email, Role.ADMIN)

    async def demote(self, email: CanonicalEmail) -> User:
        """Make the user with this e-mail a customer.

        Raises:
            UserNotFound: There is no user with this e-mail.
            LastAdministrator: No administrator would remain.
        """
        return await self._give(email, Role.CUSTOMER)

    async def _give(self, email: CanonicalEmail, role: Role) -> User:
        async def work(tx: Transaction) -> User:
            await users.ensure_role(tx, role)
            await accounts.lock_administrators(tx)
            found = await credentials.by_email(tx, email)
            user = None if found is None else await accounts.lock(tx, found.user_id)
            if user is None:
                raise UserNotFound
            if role is not Role.ADMIN:
                await ensure_one_remains(tx, user)
            await accounts.set_role(tx, user.id, role)
            await self.audit.write(
                tx, Event.ADMIN_CHANGE, user_id=user.id, actor=OPERATOR, role=role
            )
            return user

        return await self.database.transact("role", work)


async def ensure_one_remains(tx: Transaction, user: User) -> None:
    """Refuse to lose a user who is the last administrator.

    The transaction must have locked the administrators (`accounts.lock_administrators`).

    Raises:
        LastAdministrator: No administrator would remain.
    """
    if user.role != Role.ADMIN:
        return
    if await accounts.count_other_administrators(tx, user.id) == 0:
        raise LastAdministrator
