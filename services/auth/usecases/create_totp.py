"""Make the seed of a second factor for the caller."""

from __future__ import annotations

from dataclasses import dataclass

from services.auth.domain.freshness import require_fresh
from services.auth.domain.totp import Enrolment, SecondFactors
from services.auth.model import Status
from services.auth.store import credentials
from services.kernel.db.database import Database, Transaction
from services.kernel.errors import IllegalState, SessionEnded
from services.kernel.rpc import call


@dataclass(frozen=True, slots=True)
class CreateTotp:
    """Makes seeds; each counts once a first code has confirmed it."""

    database: Database
    factors: SecondFactors

    async def __call__(self, *, caller: call.UserPrincipal) -> Enrolment:
        """Make a seed, in the place of one that was never confirmed.

        Raises:
            ReauthenticationRequired: The caller proved the password too long ago.
            IllegalState: The account has a second factor.
        """
        await require_fresh(self.database, caller)

        async def work(tx: Transaction) -> Enrolment:
            user = await credentials.lock(tx, caller.id)
            if user is None or user.status is not Status.ACTIVE:
                raise SessionEnded
            if user.has_second_factor:
                raise IllegalState("This account has a second factor. Delete it first.")
            return await self.factors.begin(tx, user.user_id, user.email_display)

        return await self.database.transact("totp.create", work)
