"""Mail the code that allows a new password."""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID

from services.auth.domain.codes import CodeEmail, Codes
from services.auth.model import CanonicalEmail, Purpose, Status
from services.auth.store import credentials
from services.auth.store.codes import FlowOwner
from services.auth.store.credentials import Credentials
from services.kernel.db.database import Database, Transaction
from services.kernel.ids import new_id


@dataclass(frozen=True, slots=True)
class RequestPasswordReset:
    """Mails codes to users who have forgotten their passwords."""

    database: Database
    codes: Codes

    async def __call__(
        self, email: CanonicalEmail, *, language: str | None, client_ip: str | None
    ) -> UUID:
        """Mail a code if the e-mail has an ACTIVE account, and return a flow in any case.

        Args:
            email: The e-mail.
            language: That of the caller; it counts when the account has none.
            client_ip: The caller's.

        Raises:
            TooManyRequests: The e-mail got a code a moment ago, or too many.
        """

        async def work(tx: Transaction) -> UUID:
            found = await credentials.by_email(tx, email)
            # Lock against endings. An e-mail without an account takes the same work.
            user = await credentials.hold(tx, found.user_id if found else new_id())
            return await self.codes.send(tx, _mail(email, user, language), client_ip=client_ip)

        return await self.database.transact("reset.send", work)


def _mail(email: CanonicalEmail, user: Credentials | None, language: str | None) -> CodeEmail:
    if user is None or user.status is not Status.ACTIVE or user.email != email:
        return CodeEmail(purpose=Purpose.RESET, email=email, to=None)
    owner = FlowOwner(user.user_id, user.credential_version)
    to = replace(user.recipient, language=user.language or language)
    return CodeEmail(purpose=Purpose.RESET, email=email, to=to, owner=owner)
