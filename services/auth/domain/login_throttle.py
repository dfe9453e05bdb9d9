"""The throttle of logins: an account must wait after too many wrong passwords."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from uuid import UUID

from services.auth.domain.audit import Audit, Event
from services.auth.model import CanonicalEmail
from services.auth.store import credentials
from services.kernel.db.database import Database, Transaction
from services.kernel.errors import TooManyRequests
from services.kernel.ids import new_id
from services.kernel.secret import Secret


@dataclass(frozen=True, slots=True)
class LoginThrottle:
    """Counts wrong passwords, in the same way for accounts that don't exist.

    A wrong password is counted, and the count is committed before the caller gets an
    answer. While an account must wait, every caller is told to wait. So only the free
    guesses get an answer, however many come at the same time. Right passwords are not
    counted: any number of logins may happen at the same time.
    """

    database: Database
    pseudonyms: Secret
    audit: Audit

    async def ensure_allowed(self, account: CanonicalEmail) -> None:
        """Refuse, before any other work, while the account must wait.

        Raises:
            TooManyRequests: The account must wait.
        """
        _refuse(await credentials.seconds_to_wait(self.database, self._named(account)))

    async def fail(
        self, account: CanonicalEmail, *, event: Event, user_id: UUID | None, client_ip: str | None
    ) -> None:
        """Count a wrong password, in a transaction of its own.

        Raises:
            TooManyRequests: The account must wait since a moment ago.
        """
        named = self._named(account)

        async def count(tx: Transaction) -> float:
            # Lock against a deletion, which takes IPs out of the log. An e-mail without an
            # account takes the same work.
            user = await credentials.hold(tx, user_id or new_id())
            failures = await credentials.count_failure(tx, named)
            if failures is None:
                return await credentials.seconds_to_wait(tx, named)
            known_id = None if user is None else user.user_id
            note = partial(
                self.audit.write, tx, user_id=known_id, account=account, client_ip=client_ip
            )
            await note(event, failures=failures)
            if failures == credentials.FREE_FAILURES + 1:
                await note(Event.LOGIN_FAIL_MAX)
            return 0.0

        _refuse(await self.database.transact("attempt", count))

    async def succeed(self, tx: Transaction, account: CanonicalEmail) -> None:
        """Forget the failures, in the transaction that the right password allows.

        Raises:
            TooManyRequests: The account must wait since a moment ago.
        """
        _refuse(await credentials.forgive(tx, self._named(account)))

    async def forgive(self, tx: Transaction, account: CanonicalEmail) -> None:
        """Forget the failures: the account's owner has proven the mailbox."""
        await credentials.forgive(tx, self._named(account))

    def _named(self, account: CanonicalEmail) -> bytes:
        return self.pseudonyms.lasting_digest(b"attempts\0" + account.encode())


def _refuse(seconds: float) -> None:
    if seconds > 0:
        raise TooManyRequests(retry_after_seconds=seconds)
