"""Mail a new code that confirms the caller's e-mail address."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.auth.domain.codes import CodeEmail, Codes
from services.auth.model import Purpose, Status
from services.auth.store import credentials, sessions
from services.auth.store.codes import FlowOwner
from services.kernel.db.database import Database, Transaction
from services.kernel.errors import IllegalState, SessionEnded
from services.kernel.rpc import call


@dataclass(frozen=True, slots=True)
class SendEmailVerification:
    """Mails codes that confirm e-mail addresses."""

    database: Database
    codes: Codes

    async def __call__(self, *, caller: call.UserPrincipal, client_ip: str | None) -> UUID:
        """Mail a code and return its flow.

        Raises:
            SessionEnded: The session has ended since the call began.
            IllegalState: The e-mail address is confirmed already.
            TooManyRequests: The e-mail got a code a moment ago, or too many.
        """

        async def work(tx: Transaction) -> UUID:
            user = await credentials.hold(tx, caller.id)
            if user is None or user.status is not Status.ACTIVE:
                raise SessionEnded
            if not await sessions.hold(tx, caller.session_id):
                raise SessionEnded
            if user.is_verified:
                raise IllegalState("The e-mail address is confirmed already.")
            mail = CodeEmail(
                purpose=Purpose.VERIFICATION,
                email=user.email,
                to=user.recipient,
                owner=FlowOwner(user.user_id, user.credential_version),
            )
            return await self.codes.send(tx, mail, client_ip=client_ip)

        return await self.database.transact("verification.send", work)
