"""Make an administrator a customer."""

from __future__ import annotations

from dataclasses import dataclass

from services.auth.domain.administrators import give_role
from services.auth.domain.audit import Audit
from services.auth.model import CanonicalEmail, User
from services.common.vocabulary import Role
from services.kernel.db.database import Database


@dataclass(frozen=True, slots=True)
class DemoteUser:
    """Makes administrators customers."""

    database: Database
    audit: Audit

    async def __call__(self, email: CanonicalEmail, *, actor: str) -> User:
        """Make an administrator a customer; a repeat changes nothing.

        Raises:
            UserNotFound: There is no user with this e-mail.
            LastAdministrator: No administrator would remain.
        """
        return await give_role(self.database, self.audit, email, Role.CUSTOMER, actor=actor)
