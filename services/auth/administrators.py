"""There is always an administrator."""

from __future__ import annotations

from services.auth.errors import LastAdministrator
from services.auth.model import Role, User
from services.auth.store import accounts
from services.kernel.database import Transaction


async def keep_one(tx: Transaction, user: User) -> None:
    """Make sure that there is an administrator beside a user, if that is one.

    The administrators have to be locked (`accounts.lock_administrators`).

    Raises:
        LastAdministrator: There is none.
    """
    if user.role != Role.ADMIN:
        return
    if await accounts.count_other_administrators(tx, user.id) == 0:
        raise LastAdministrator
