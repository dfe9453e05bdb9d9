"""Mends what the services do not agree on, where it may be mended.

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
from typing import Final
from uuid import UUID

from services.auth.sagas.registration import REGISTRATION, ProfilePayload
from services.auth.store import accounts
from services.cli.comparison import AGE, Finding, Kind, differences
from services.kernel.db.database import Database
from services.kernel.errors import DomainError
from services.kernel.rpc.call import Origin
from services.kernel.sagas import store as saga_store
from services.kernel.sagas.model import SagaState
from services.profile.model import NewBrand, NewProfile
from services.profile.usecases.cancel_profile import CancelProfile
from services.profile.usecases.create_profile import CreateProfile
from services.profile.usecases.set_profile_status import SetProfileStatus
from services.profile.usecases.void_transfer import VoidTransfer

MENDED_AT_ONCE: Final = 20
NOT_AFTER: Final = timedelta(minutes=1)
RECONCILER: Final = Origin(actor="reconcile", client_ip=None)
ACTOR: Final = f"service:{RECONCILER.actor}"  # in the ledger


MENDABLE: Final = frozenset({Kind.ORPHAN_PROFILE, Kind.MISSING_PROFILE, Kind.ORPHAN_DEBIT})


class TooManyError(Exception):
    """More is wrong than lost commits explain."""


def compare(urls: Mapping[str, str], *, min_age: timedelta = AGE) -> list[Finding]:
    """Return all that the services do not agree on; see `differences`."""
    return list(differences(urls, min_age=min_age))


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
                    await CancelProfile(self.profile)(saga_id=finding.saga_id, actor=ACTOR)
                case Kind.ORPHAN_DEBIT:
                    await VoidTransfer(self.profile)(
                        transfer_id=finding.id, actor=ACTOR, origin=RECONCILER
                    )
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
