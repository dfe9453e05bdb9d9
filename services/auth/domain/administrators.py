"""Administrators: operators appoint them, and one always remains."""

from __future__ import annotations

from services.auth.errors import LastAdministrator
from services.auth.model import User
from services.auth.store import accounts
from services.common.vocabulary import Role
from services.kernel.db.database import Transaction


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
