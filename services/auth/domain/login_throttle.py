"""Attempts at passwords: each account has to wait after too many wrong ones."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

from services.auth.domain.audit import Audit, Event
from services.auth.model import CanonicalEmail
from services.auth.store import credentials
from services.kernel.db.database import Database, Transaction
from services.kernel.errors import TooManyRequests


@dataclass(frozen=True, slots=True)
class LoginThrottle:
    """Counts wrong passwords, the same for accounts that don't exist.

    The password is compared first and counted next, but nobody is told how it was
    before the count is committed, and while the account waits everybody is told to
    wait: of any number of guesses at the same time, no more than the free ones get an
    answer. Right ones are not counted, so an account may be logged in to as often as
    it pleases, at the same time too.
    """

    database: Database
    secret: bytes = field(repr=False)
    audit: Audit

    async def ensure_allowed(self, account: CanonicalEmail) -> None:
        """Refuse without any work while an account has to wait.

        Raises:
            TooManyRequests: With the time to wait.
        """
        _refuse(await credentials.seconds_to_wait(self.database, self._named(account)))

    async def fail(
        self, account: CanonicalEmail, *, event: Event, user_id: UUID | None, client_ip: str | None
    ) -> None:
        """Count a wrong password, in a transaction of its own.

        Raises:
            TooManyRequests: The account has come to have to wait in the meantime.
        """
        named = self._named(account)

        async def count(tx: Transaction) -> float:
            failures = await credentials.count_failure(tx, named)
            if failures is None:
                return await credentials.seconds_to_wait(tx, named)
            note = partial(
                self.audit.write, tx, user_id=user_id, account=account, client_ip=client_ip
            )
            await note(event, failures=failures)
            if failures == credentials.FREE_FAILURES + 1:
                await note(Event.LOGIN_FAIL_MAX)
            return 0.0

        _refuse(await self.database.transact("attempt", count))

    async def succeed(self, tx: Transaction, account: CanonicalEmail) -> None:
        """Forget the failures, in the transaction of what the password allows.

        Raises:
            TooManyRequests: The account has come to have to wait in the meantime.
        """
        _refuse(await credentials.forgive(tx, self._named(account)))

    async def forgive(self, tx: Transaction, account: CanonicalEmail) -> None:
        """Forget the failures of an account whose owner has proven the mailbox."""
        await credentials.forgive(tx, self._named(account))

    def _named(self, account: CanonicalEmail) -> bytes:
        return hmac.digest(self.secret, b"attempts\0" + account.encode(), hashlib.sha256)


def _refuse(seconds: float) -> None:
    if seconds > 0:
        raise TooManyRequests(retry_after_seconds=seconds)
