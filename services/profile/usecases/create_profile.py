"""Create the profile of a registration, with its wallet and brand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from pydantic import TypeAdapter

from services.common.errors import PhoneTaken
from services.kernel.db.database import Database, Transaction
from services.kernel.errors import ErrorRecord, RecordedError, SagaCancelled
from services.kernel.sagas import barrier
from services.profile.model import NewProfile, Profile
from services.profile.store import brands, profiles, wallets

BRANCH = "CreateProfile"


@dataclass(frozen=True, slots=True)
class CreatedProfile:
    """The reply that is kept when the profile was created."""

    profile: Profile


@dataclass(frozen=True, slots=True)
class RefusedProfile:
    """The reply that is kept when it was refused."""

    refusal: ErrorRecord


_REPLY: TypeAdapter[CreatedProfile | RefusedProfile] = TypeAdapter(CreatedProfile | RefusedProfile)


@dataclass(frozen=True, slots=True)
class CreateProfile:
    """Do the step of a registration once; a repeat gets the first answer."""

    database: Database

    async def __call__(self, *, saga_id: UUID, not_after: datetime, new: NewProfile) -> Profile:
        """Create profile, wallet and brand in one transaction.

        Raises:
            PhoneTaken: Another profile has the number. A repeat is refused, too, even
                when the number is free again.
            SagaCancelled: The saga was cancelled, came too late, or its user was forgotten.
            IllegalState: The user has a profile of another saga.
        """

        async def create(tx: Transaction) -> CreatedProfile | RefusedProfile:
            return await barrier.once(
                tx,
                saga_id=saga_id,
                branch=BRANCH,
                not_after=not_after,
                work=lambda: _created_or_refused(tx, saga_id, new),
                codec=_REPLY,
            )

        reply = await self.database.transact("CreateProfile", create)
        if isinstance(reply, RefusedProfile):
            raise RecordedError(reply.refusal)
        return reply.profile


async def _created_or_refused(
    tx: Transaction, saga_id: UUID, new: NewProfile
) -> CreatedProfile | RefusedProfile:
    """Return the reply to keep. A refusal is kept, too, in the same commit as its barrier."""
    try:
        profile = await _create(tx, saga_id, new)
    except PhoneTaken as refusal:
        return RefusedProfile(refusal.record())
    return CreatedProfile(profile)


async def _create(tx: Transaction, saga_id: UUID, new: NewProfile) -> Profile:
    if await profiles.is_forgotten(tx, new.user_id):
        raise SagaCancelled("The user of this saga was deleted.")
    profile = await profiles.insert_new(tx, new, saga_id=saga_id)
    await wallets.open_new(tx, new.user_id)
    if new.brand is not None:
        brand = await brands.insert_new(tx, new.brand, profile_id=profile.id)
        profile = replace(profile, brand=brand)
    return profile
