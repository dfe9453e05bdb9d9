"""Make a user an administrator, or an administrator a customer."""

from __future__ import annotations

from dataclasses import dataclass, replace

from services.auth.domain.administrators import ensure_one_remains
from services.auth.domain.audit import Audit, Event
from services.auth.errors import UserNotFound
from services.auth.model import CanonicalEmail, User
from services.auth.store import accounts, credentials, users
from services.common.vocabulary import Role
from services.kernel.db.database import Database, Transaction


@dataclass(frozen=True, slots=True)
class ChangeRole:
    """Gives users the role of administrators, and takes it away."""

    database: Database
    audit: Audit

    async def __call__(self, email: CanonicalEmail, role: Role, *, actor: str) -> User:
        """Give a user a role; a repeat changes nothing.

        Raises:
            UserNotFound: There is no user with this e-mail.
            LastAdministrator: No administrator would remain.
        """

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
            await self.audit.write(tx, Event.ADMIN_CHANGE, user_id=user.id, actor=actor, role=role)
            return replace(user, role=role)

        return await self.database.transact("role", work)
