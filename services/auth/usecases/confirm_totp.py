"""Confirm the seed of a second factor with a first code."""

from __future__ import annotations

from dataclasses import dataclass

from services.auth.domain import email_templates as mails
from services.auth.domain.audit import Audit, Event
from services.auth.domain.freshness import require_fresh
from services.auth.domain.outbox import Outbox
from services.auth.domain.totp import SecondFactors
from services.auth.errors import OtpInvalid
from services.auth.model import Status
from services.auth.store import credentials, second_factors, sessions
from services.kernel.db.database import Database, Transaction
from services.kernel.errors import IllegalState, SessionEnded
from services.kernel.rpc import call


@dataclass(frozen=True, slots=True)
class ConfirmTotp:
    """Switches second factors on."""

    database: Database
    factors: SecondFactors
    outbox: Outbox
    audit: Audit

    async def __call__(
        self, code: str, *, caller: call.UserPrincipal, client_ip: str | None
    ) -> list[str]:
        """Switch the second factor on; return the recovery codes, which nobody sees again.

        Raises:
            ReauthenticationRequired: The caller proved the password too long ago.
            IllegalState: There is no seed to confirm.
            OtpInvalid: The code is wrong.
        """
        await require_fresh(self.database, caller)

        async def work(tx: Transaction) -> list[str]:
            user = await credentials.lock(tx, caller.id)
            if user is None or user.status is not Status.ACTIVE:
                raise SessionEnded
            row = await second_factors.get(tx, user.user_id)
            if row is None or row.is_confirmed:
                raise IllegalState("There is no second factor to confirm. Call CreateTotp first.")
            codes = await self.factors.confirm(tx, user.user_id, row, code)
            if not codes:
                raise OtpInvalid("The code is wrong. Check the clock of the device with the app.")
            if not await sessions.note_second_factor(tx, caller.session_id):
                raise SessionEnded
            await self.outbox.put(tx, mails.second_factor_on(), to=user.recipient)
            await self.audit.write(
                tx, Event.MFA_CHANGE, user_id=user.user_id, client_ip=client_ip, by="confirm"
            )
            return codes

        return await self.database.transact("totp.confirm", work)
