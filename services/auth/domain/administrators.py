"""Administrators: operators appoint them, and one always remains."""

from __future__ import annotations

from dataclasses import replace

from services.auth.domain.audit import Audit, Event
from services.auth.errors import LastAdministrator, UserNotFound
from services.auth.model import CanonicalEmail, User
from services.auth.store import accounts, credentials, users
from services.common.vocabulary import Role
from services.kernel.db.database import Database, Transaction


async def give_role(
    database: Database, audit: Audit, email: CanonicalEmail, role: Role, *, actor: str
) -> User:
    """Give a user the role of administrators, or take it away.

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
        await audit.write(tx, Event.ADMIN_CHANGE, user_id=user.id, actor=actor, role=role)
        return replace(user, role=role)

    return await database.transact("role", work)


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
