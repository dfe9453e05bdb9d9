"""Clear the counters of an account."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.auth.domain.audit import Audit, Event
from services.auth.domain.codes import Codes
from services.auth.domain.login_throttle import LoginThrottle
from services.auth.errors import UserNotFound
from services.auth.model import CanonicalEmail, User
from services.auth.store import credentials, users
from services.kernel.db.database import Database, Transaction


@dataclass(frozen=True, slots=True)
class UnlockUser:
    """Clears the counters of accounts: wrong passwords, wrong codes, codes sent."""

    database: Database
    throttle: LoginThrottle
    codes: Codes
    audit: Audit

    async def __call__(
        self, account: UUID | CanonicalEmail, *, actor: str, client_ip: str | None
    ) -> User:
        """Clear the counters of a user, named by the id or the e-mail; return the user.

        Raises:
            UserNotFound: There is no such user.
        """

        async def work(tx: Transaction) -> User:
            found = await credentials.by_name(tx, account)
            held = None if found is None else await credentials.hold(tx, found.user_id)
            user = None if held is None else await users.get(tx, held.user_id)
            if held is None or user is None:
                raise UserNotFound
            await self.throttle.clear(tx, held.email)
            await self.codes.clear(tx, held.email)
            await self.audit.write(
                tx,
                Event.ADMIN_CHANGE,
                user_id=user.id,
                actor=actor,
                client_ip=client_ip,
                cleared="counters",
            )
            return user

        return await self.database.transact("unlock", work)
