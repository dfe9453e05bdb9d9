"""The limits of mailed codes. They count by the place, so that strangers spend only their own.

What counts for all places together spares the places that the account knows.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from services.auth.domain.places import Places
from services.auth.model import CanonicalEmail, Purpose
from services.auth.store import code_limits as store
from services.auth.store import codes
from services.auth.store.code_limits import CodeLimits, LimitsKey
from services.kernel.db.database import Reader, Transaction
from services.kernel.errors import TooManyRequests
from services.kernel.secret import Secret

BETWEEN_SENDS: Final = timedelta(seconds=60)
SENDS_AN_HOUR: Final = 5
SENDS_AN_HOUR_EVERYWHERE: Final = 20
CHANGES_AN_HOUR: Final = 5
OPEN_FLOWS: Final = 2
OPEN_FLOWS_EVERYWHERE: Final = 20
FAILURES_A_DAY: Final = 100  # NIST SP 800-63B, 5.2.2
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)

# The others have a token, which nobody guesses.
MAILED: Final = tuple(each for each in Purpose if each not in (Purpose.MFA, Purpose.INVITATION))
INVITATIONS_AN_HOUR: Final = 100
_RESENT: Final = b"resent"  # stands for a place, whose HMACs are longer


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeRequest:
    """A request for a code.

    Attributes:
        client_ip: The caller's.
        account: The account that may know the place; by default the e-mail's.
    """

    purpose: Purpose
    email: CanonicalEmail
    client_ip: str | None
    account: CanonicalEmail | None = None


@dataclass(frozen=True, slots=True)
class CodeCounter:
    """The codes of one purpose: those sent within an hour, and the wrong ones of a day."""

    purpose: Purpose
    sent: int
    wrong: int


@dataclass(frozen=True, slots=True)
class CodeLimiter:
    """Counts codes that are sent, and wrong ones, with and without an account."""

    secret: Secret
    places: Places

    async def take_send(self, tx: Transaction, asked: CodeRequest) -> None:
        """Count a code to be sent.

        Raises:
            TooManyRequests: The place has asked for many, or for one a moment ago; or all
                unknown places together have.
        """
        key = self._key(asked.purpose, asked.email)
        key_here = self._key(asked.purpose, asked.email, self.places.place(asked.client_ip))
        everywhere, here = await store.lock(tx, key), await store.lock(tx, key_here)
        _ensure_sendable(here)
        is_known = await self._is_known(tx, asked)
        sends = _since(everywhere.sends, everywhere.now - HOUR)
        if len(sends) >= SENDS_AN_HOUR_EVERYWHERE and not is_known:
            raise _too_many(until=sends[-SENDS_AN_HOUR_EVERYWHERE] + HOUR, now=everywhere.now)
        await self._ensure_few_open(tx, asked, here.now, is_known=is_known)
        for each, limits in ((key, everywhere), (key_here, here)):
            await _note_send(tx, each, limits)

    async def count_change(self, tx: Transaction, user_id: UUID, email: CanonicalEmail) -> None:
        """Count a change of address that a user asks for, whichever the address is.

        Raises:
            TooManyRequests: One account would mail too many strangers.
        """
        message = b"\0".join((b"code limits", b"changes of a user", user_id.bytes))
        key = LimitsKey(self.secret.lasting_digest(message), self.places.account(email))
        await _count(tx, key, an_hour=CHANGES_AN_HOUR)

    async def count_invitation(self, tx: Transaction, user_id: UUID, email: CanonicalEmail) -> None:
        """Count an invitation of an administrator, whichever the invited address is.

        Raises:
            TooManyRequests: One account would mail too many strangers.
        """
        message = b"\0".join((b"code limits", b"invitations of a user", user_id.bytes))
        key = LimitsKey(self.secret.lasting_digest(message), self.places.account(email))
        await _count(tx, key, an_hour=INVITATIONS_AN_HOUR)

    async def take_resend(self, tx: Transaction, purpose: Purpose, email: CanonicalEmail) -> None:
        """Count what an administrator has mailed; strangers spend nothing of that.

        Raises:
            TooManyRequests: There were many, or there was one a moment ago.
        """
        key = self._key(purpose, email, _RESENT)
        limits = await store.lock(tx, key)
        _ensure_sendable(limits)
        await _note_send(tx, key, limits)

    async def note_send(self, tx: Transaction, purpose: Purpose, email: CanonicalEmail) -> None:
        """Count a code that is sent in any case."""
        key = self._key(purpose, email)
        await _note_send(tx, key, await store.lock(tx, key))

    async def lock(self, tx: Transaction, purpose: Purpose, email: CanonicalEmail) -> CodeLimits:
        """Lock the limits of an e-mail and purpose until the transaction ends."""
        return await store.lock(tx, self._key(purpose, email))

    async def ensure_tries_left(
        self, tx: Transaction, limits: CodeLimits, asked: CodeRequest
    ) -> TooManyRequests | None:
        """Return a refusal when there were too many wrong codes, unless the place is known."""
        failures = _since(limits.failures, limits.now - DAY)
        is_known = await self._is_known(tx, asked)
        if len(failures) < FAILURES_A_DAY or is_known:
            return None
        return _too_many(until=failures[-FAILURES_A_DAY] + DAY, now=limits.now)

    async def count_failure(
        self, tx: Transaction, purpose: Purpose, email: CanonicalEmail, limits: CodeLimits
    ) -> bool:
        """Count a wrong code; True when it is the one with which the day's are used up."""
        failures = [*_since(limits.failures, limits.now - DAY), limits.now]
        key = self._key(purpose, email)
        kept = failures[-FAILURES_A_DAY:]
        await store.store(tx, key, sends=limits.sends, failures=kept)
        return len(failures) == FAILURES_A_DAY

    async def counters(self, reader: Reader, email: CanonicalEmail) -> list[CodeCounter]:
        """Return what was counted for an account, without the purposes that have nothing."""
        found: list[CodeCounter] = []
        for purpose in MAILED:
            limits = await store.read(reader, self._key(purpose, email))
            if limits is None:
                continue
            sent = _since(limits.sends, limits.now - HOUR)
            wrong = _since(limits.failures, limits.now - DAY)
            if sent or wrong:
                found.append(CodeCounter(purpose, len(sent), len(wrong)))
        return found

    async def clear(self, tx: Transaction, email: CanonicalEmail) -> None:
        """Forget what was counted for an account."""
        await store.clear(tx, self.places.account(email))

    async def _ensure_few_open(
        self, tx: Transaction, asked: CodeRequest, now: datetime, *, is_known: bool
    ) -> None:
        """A new flow neither replaces nor blocks an open one, which may be the owner's."""
        found = await codes.count_open(
            tx,
            purpose=asked.purpose,
            email=asked.email,
            place_hmac=self.places.place(asked.client_ip),
        )
        if found.here >= OPEN_FLOWS:
            raise _too_many(until=found.until_here or now, now=now)
        if found.everywhere >= OPEN_FLOWS_EVERYWHERE and not is_known:
            raise _too_many(until=found.until or now, now=now)

    async def _is_known(self, tx: Transaction, asked: CodeRequest) -> bool:
        account = asked.account or asked.email
        return await self.places.is_known(tx, account, asked.client_ip)

    def _key(
        self, purpose: Purpose, email: CanonicalEmail, place: bytes | None = None
    ) -> LimitsKey:
        parts = [b"code limits", purpose.encode(), email.encode()]
        message = b"\0".join(parts if place is None else [*parts, place])
        return LimitsKey(self.secret.lasting_digest(message), self.places.account(email))


async def _count(tx: Transaction, key: LimitsKey, *, an_hour: int) -> None:
    limits = await store.lock(tx, key)
    counted = _since(limits.sends, limits.now - HOUR)
    if len(counted) >= an_hour:
        raise _too_many(until=counted[0] + HOUR, now=limits.now)
    await _note_send(tx, key, limits)


async def _note_send(tx: Transaction, key: LimitsKey, limits: CodeLimits) -> None:
    sends = [*_since(limits.sends, limits.now - HOUR), limits.now]
    await store.store(tx, key, sends=sends, failures=limits.failures)


def _ensure_sendable(limits: CodeLimits) -> None:
    sends = _since(limits.sends, limits.now - HOUR)
    if sends and limits.now - sends[-1] < BETWEEN_SENDS:
        raise _too_many(until=sends[-1] + BETWEEN_SENDS, now=limits.now)
    if len(sends) >= SENDS_AN_HOUR:
        raise _too_many(until=sends[0] + HOUR, now=limits.now)


def _since(moments: Collection[datetime], earliest: datetime) -> list[datetime]:
    return sorted(moment for moment in moments if moment > earliest)


def _too_many(*, until: datetime, now: datetime) -> TooManyRequests:
    return TooManyRequests(retry_after_seconds=max(1.0, (until - now).total_seconds()))
