"""The throttle of logins: a place must wait after too many wrong passwords."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final
from uuid import UUID

from services.auth.domain import email_templates as mails
from services.auth.domain.audit import Audit, Event
from services.auth.domain.outbox import Outbox
from services.auth.domain.places import Places
from services.auth.model import CanonicalEmail
from services.auth.store import credentials
from services.auth.store import places as store
from services.auth.store.places import PlaceCounter
from services.kernel.db.database import Database, Reader, Transaction
from services.kernel.ids import new_id

PLACES_SHOWN_MAX: Final = 20


@dataclass(frozen=True, slots=True)
class LoginCounters:
    """What was counted for an account: the wrong passwords of a day, and those of places."""

    wrong_passwords: int
    places: list[PlaceCounter]


@dataclass(frozen=True, slots=True)
class LoginThrottle:
    """Counts wrong passwords, in the same way for accounts that don't exist.

    A wrong password is counted for the account and the place, and the count is committed
    before the caller gets an answer. While a place must wait, every caller there is told to
    wait. So only the free guesses get an answer, however many come at the same time. From a
    hundred a day on, all places that the account does not know have one try a minute
    together. Right passwords are not counted: any number of logins may happen at once.
    """

    database: Database
    places: Places
    outbox: Outbox
    audit: Audit

    async def ensure_allowed(self, account: CanonicalEmail, *, client_ip: str | None) -> None:
        """Refuse, before any other work, while the place must wait.

        Raises:
            TooManyRequests: The place must wait, or all unknown places must.
        """
        pair = self.places.pair(account, client_ip)
        standing = await store.standing(self.database, pair)
        self._refuse(account, standing.seconds_left)
        if standing.is_capped and not standing.is_known:
            take = partial(store.take_try, account_hmac=pair.account_hmac)
            self._refuse(account, await self.database.transact("attempt.take", take))

    async def fail(
        self, account: CanonicalEmail, *, user_id: UUID | None, client_ip: str | None
    ) -> None:
        """Count a wrong password, in a transaction of its own.

        Raises:
            TooManyRequests: The place must wait since a moment ago.
        """
        pair = self.places.pair(account, client_ip)

        async def count(tx: Transaction) -> float:
            # Lock against a deletion, which takes IPs out of the log. An e-mail without an
            # account takes the same work.
            user = await credentials.hold(tx, user_id or new_id())
            failures = await store.count_failure(tx, pair)
            if failures is None:
                return (await store.standing(tx, pair)).seconds_left
            known_id = None if user is None else user.user_id
            note = partial(
                self.audit.write, tx, user_id=known_id, account=account, client_ip=client_ip
            )
            await note(Event.LOGIN_FAIL, failures=failures)
            if failures == store.FREE_FAILURES + 1:
                await note(Event.LOGIN_FAIL_MAX)
            if await store.count_account_failure(tx, pair.account_hmac) == store.FAILURES_A_DAY:
                await note(Event.LOGIN_FAIL_MAX, places="unknown")
                to = None if user is None else user.recipient
                await self.outbox.put(tx, mails.many_attempts(), to=to)
            return 0.0

        self._refuse(account, await self.database.transact("attempt", count))

    async def ensure_no_wait(
        self, tx: Transaction, account: CanonicalEmail, *, client_ip: str | None
    ) -> None:
        """Refuse when the place must wait since a moment ago, and forget nothing.

        Raises:
            TooManyRequests: The place must wait.
        """
        pair = self.places.pair(account, client_ip)
        self._refuse(account, (await store.standing(tx, pair)).seconds_left)

    async def succeed(
        self, tx: Transaction, account: CanonicalEmail, *, client_ip: str | None
    ) -> None:
        """Forget the failures of a place, and know it, in the transaction that opens a session.

        Raises:
            TooManyRequests: The place must wait since a moment ago.
        """
        pair = self.places.pair(account, client_ip)
        self._refuse(account, await store.forgive(tx, pair))
        await store.remember(tx, pair)

    async def forgive(
        self, tx: Transaction, account: CanonicalEmail, *, client_ip: str | None
    ) -> None:
        """Forget the failures of a place, and know it: the owner has proven the mailbox there."""
        pair = self.places.pair(account, client_ip)
        await store.forgive(tx, pair)
        await store.remember(tx, pair)

    async def counters(self, reader: Reader, account: CanonicalEmail) -> LoginCounters:
        """Return what was counted for an account."""
        account_hmac = self.places.account(account)
        return LoginCounters(
            wrong_passwords=await store.count_of_today(reader, account_hmac),
            places=await store.counters(reader, account_hmac, limit=PLACES_SHOWN_MAX),
        )

    async def clear(self, tx: Transaction, account: CanonicalEmail) -> None:
        """Forget the failures of all places."""
        await store.clear(tx, self.places.account(account))

    async def forget(self, tx: Transaction, account: CanonicalEmail) -> None:
        """Forget an account that no longer has this e-mail: its failures and its places."""
        await store.clear(tx, self.places.account(account))
        await store.forget(tx, self.places.account(account))

    def _refuse(self, account: CanonicalEmail, seconds: float) -> None:
        if seconds > 0:
            raise self.audit.too_many(account, seconds=seconds)
