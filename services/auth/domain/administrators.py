"""There is always an administrator; who is one, operators decide."""

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
    """Gives and takes the role of administrators; it counts from the next request on at
    Auth, and within a minute everywhere.
    """

    database: Database
    audit: Audit

    async def promote(self, email: CanonicalEmail) -> User:
        """Make the user with an e-mail an administrator.

        Raises:
            UserNotFound: There is none.
        """
        return await self._give(email, Role.ADMIN)

    async def demote(self, email: CanonicalEmail) -> User:
        """Make an administrator a customer.

        Raises:
            UserNotFound: There is no user with this e-mail.
            LastAdministrator: There would be none left.
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
    """Make sure that there is an administrator beside a user, if that is one.

    The administrators have to be locked (`accounts.lock_administrators`).

    Raises:
        LastAdministrator: There is none.
    """
    if user.role != Role.ADMIN:
        return
    if await accounts.count_other_administrators(tx, user.id) == 0:
        raise LastAdministrator
