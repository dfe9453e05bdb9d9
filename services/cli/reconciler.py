"""Compares what the services know of each other, and mends what may be mended.

Sagas keep the services in agreement, and need nobody to look. This is for what no saga
can see: a database that has failed over to a standby, or was restored, and has lost
commits that others remember. Nothing is mended that a wrong guess would make worse:

    a profile whose user Auth does not know       its registration was lost: cancel it
    an ACTIVE user without a profile              Profile lost it: create it again, if the
                                                  saga is DONE and still says what was in it
    a debit whose order Commerce does not know    its checkout was lost: void it
    everything else                               only told; it needs a person

A database that was restored from an old backup looks as if thousands of registrations
had been lost. So more than a few at once are taken for that, and nothing is mended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from services.auth.sagas.registration import REGISTRATION, ProfilePayload
from services.auth.store import accounts
from services.cli.databases import connect
from services.kernel.db.database import Database
from services.kernel.errors import DomainError
from services.kernel.sagas import store as saga_store
from services.kernel.sagas.model import SagaState
from services.profile.model import NewBrand, NewProfile
from services.profile.usecases.cancel_profile import CancelProfile
from services.profile.usecases.create_profile import CreateProfile
from services.profile.usecases.set_profile_status import SetProfileStatus
from services.profile.usecases.void_transfer import VoidTransfer

MENDED_AT_ONCE: Final = 20
# Whatever is younger may have a saga that is still at work.
AGE: Final = timedelta(hours=1)
NOT_AFTER: Final = timedelta(minutes=1)
EVER: Final = datetime.max.replace(tzinfo=UTC)


class Kind(StrEnum):
    """What is wrong."""

    ORPHAN_PROFILE = "profile without a user"
    MISSING_PROFILE = "user without a profile"
    ORPHAN_DEBIT = "debit without an order"
    UNPAID_ORDER = "paid order without a debit"
    UNREFUNDED_ORDER = "cancelled or failed order whose debit stands"
    STUCK_ORDER = "order in flight for more than an hour"
    WRONG_BALANCE = "balance that does not follow from the transfers"


MENDABLE: Final = frozenset({Kind.ORPHAN_PROFILE, Kind.MISSING_PROFILE, Kind.ORPHAN_DEBIT})


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that the services do not agree on.

    Attributes:
        id: Of the user, the transfer, the order or the account.
        saga_id: Of the saga that it comes from, where one is known.
    """

    kind: Kind
    id: UUID
    saga_id: UUID | None = None


class TooManyError(Exception):
    """More is wrong than lost commits explain."""


_PROFILES = b"SELECT user_id, saga_id FROM profiles WHERE create_time < %s"
_USERS = b"SELECT id, saga_id, status FROM users"
_DEBITS = b"""
  SELECT t.id, t.create_time < %s AS is_old, coalesce(sum(b.amount), 0) >= t.amount AS is_back
    FROM transfers t LEFT JOIN transfers b ON b.original_id = t.id AND b.state = 'posted'
   WHERE t.kind = 'debit' AND t.state = 'posted' GROUP BY t.id
"""
_ORDERS = b"SELECT id, debit_id, state FROM orders WHERE total > 0"
_STUCK_ORDERS = b"""
  SELECT id, coalesce(refund_id, debit_id) FROM orders
   WHERE state IN ('PENDING', 'CANCELLING') AND update_time < %s
"""
_SAGAS = b"SELECT id FROM sagas WHERE state IN ('RUNNING', 'COMPENSATING')"
_WRONG_BALANCES = b"""
  SELECT a.id FROM accounts a WHERE a.kind = 'wallet' AND a.balance <>
    coalesce((SELECT sum(amount) FROM transfers
               WHERE state = 'posted' AND credit_account_id = a.id), 0)
  - coalesce((SELECT sum(amount) FROM transfers
               WHERE state = 'posted' AND debit_account_id = a.id), 0)
"""


def compare(urls: Mapping[str, str]) -> list[Finding]:
    """Return what the services do not agree on.

    They are read one after the other while they work, so only what is seen twice counts.

    Args:
        urls: The databases of auth, profile and commerce.
    """
    first = _compare(urls)
    again = set(_compare(urls)) if first else set()
    return [finding for finding in first if finding in again]


def _compare(urls: Mapping[str, str]) -> list[Finding]:
    before = datetime.now(UTC) - AGE
    profiles = {row[0]: row[1] for row in _rows(urls["profile"], _PROFILES, before)}
    users = {row[0]: row for row in _rows(urls["auth"], _USERS)}
    everybody = {row[0] for row in _rows(urls["profile"], _PROFILES, EVER)}
    return [
        *(
            Finding(Kind.ORPHAN_PROFILE, user_id, saga_id)
            for user_id, saga_id in profiles.items()
            if user_id not in users
        ),
        *(
            Finding(Kind.MISSING_PROFILE, user_id, saga_id)
            for user_id, saga_id, status in users.values()
            if status == "ACTIVE" and user_id not in everybody
        ),
        *_compare_orders(urls, before),
        *(
            Finding(Kind.WRONG_BALANCE, account_id)
            for (account_id,) in _rows(urls["profile"], _WRONG_BALANCES)
        ),
    ]


def _compare_orders(urls: Mapping[str, str], before: datetime) -> list[Finding]:
    debits = {row[0]: row for row in _rows(urls["profile"], _DEBITS, before)}
    orders = {row[1]: row for row in _rows(urls["commerce"], _ORDERS)}
    unfinished = {row[0] for row in _rows(urls["commerce"], _SAGAS)}
    found = []
    for debit_id, is_old, is_back in debits.values():
        order = orders.get(debit_id)
        if order is None and is_old and not is_back and debit_id not in unfinished:
            found.append(Finding(Kind.ORPHAN_DEBIT, debit_id, debit_id))
        if order is not None and order[2] in ("FAILED", "CANCELLED") and not is_back:
            found.append(Finding(Kind.UNREFUNDED_ORDER, order[0], debit_id))
    for order_id, debit_id, state in orders.values():
        if state == "PAID" and (debit_id not in debits or debits[debit_id][2]):
            found.append(Finding(Kind.UNPAID_ORDER, order_id, debit_id))
    stuck = _rows(urls["commerce"], _STUCK_ORDERS, before)
    return [*found, *(Finding(Kind.STUCK_ORDER, order_id, saga_id) for order_id, saga_id in stuck)]


def _rows(url: str, sql: bytes, *parameters: object) -> Sequence[tuple[Any, ...]]:
    with connect(url, autocommit=False) as connection:
        connection.read_only = True
        return connection.execute(sql, parameters or None).fetchall()


@dataclass(frozen=True, slots=True)
class Mender:
    """Mends what may be mended, in the databases of Auth and Profile."""

    auth: Database
    profile: Database

    async def mend(self, findings: Sequence[Finding]) -> list[Finding]:
        """Mend, and return what is mended.

        Raises:
            TooManyError: Nothing was mended, because it is more than can have been lost.
        """
        mendable = [finding for finding in findings if finding.kind in MENDABLE]
        if len(mendable) > MENDED_AT_ONCE:
            raise TooManyError(
                f"{len(mendable)} are too many to have been lost: was a database restored "
                "from an old backup? Nothing was mended."
            )
        return [finding for finding in mendable if await self._mend(finding)]

    async def _mend(self, finding: Finding) -> bool:
        if finding.saga_id is None:
            return False
        try:
            match finding.kind:
                case Kind.ORPHAN_PROFILE:
                    await CancelProfile(self.profile)(saga_id=finding.saga_id)
                case Kind.ORPHAN_DEBIT:
                    await VoidTransfer(self.profile)(transfer_id=finding.id)
                case _:
                    return await self._create(finding.id, finding.saga_id)
        except DomainError:
            return False
        return True

    async def _create(self, user_id: UUID, saga_id: UUID) -> bool:
        saga = await saga_store.get(self.auth, saga_id)
        account = await accounts.status(self.auth, user_id)
        if saga is None or saga.state is not SagaState.DONE:
            return False
        registration = REGISTRATION.payload_of(saga)
        if registration is None:  # forgotten
            return False
        assert account is not None
        new = _profile_of(user_id, registration.profile)
        not_after = datetime.now(UTC) + NOT_AFTER
        await CreateProfile(self.profile)(saga_id=saga_id, not_after=not_after, new=new)
        if account.version:
            await SetProfileStatus(self.profile)(
                user_id=user_id, status=account.profile_status, version=account.version
            )
        return True


def _profile_of(user_id: UUID, profile: ProfilePayload) -> NewProfile:
    brand = None
    if profile.company is not None:
        brand = NewBrand(
            name=profile.company, company_size=profile.company_size, user_role=profile.user_role
        )
    return NewProfile(
        user_id=user_id,
        status=profile.initial_status,
        first_name=profile.first_name,
        last_name=profile.last_name,
        phone_number=profile.phone_number,
        address=profile.address,
        course=profile.course,
        brand=brand,
    )
