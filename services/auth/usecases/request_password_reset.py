"""Mail a code with which a password can be set anew."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.auth.domain.codes import CodeEmail, Codes
from services.auth.model import CanonicalEmail, Purpose
from services.auth.store import credentials
from services.kernel.db.database import Database, Transaction
from services.kernel.ids import new_id


@dataclass(frozen=True, slots=True)
class RequestPasswordReset:
    """Mails codes to those who have forgotten."""

    database: Database
    codes: Codes

    async def __call__(self, email: CanonicalEmail) -> UUID:
        """Mail a code, if there is such an account, and return its flow in any case.

        Raises:
            TooManyRequests: Too soon or too often for this address.
        """

        async def work(tx: Transaction) -> UUID:
            found = await credentials.by_email(tx, email)
            # Held against a deletion; as much work for an address without an account.
            user = await credentials.hold(tx, found.user_id if found else new_id())
            mailing = CodeEmail(
                purpose=Purpose.RESET,
                email=email,
                to=user.mailbox if user else None,
                user_id=user.user_id if user else None,
            )
            return await self.codes.send(tx, mailing)

        return await self.database.transact("reset.send", work)
