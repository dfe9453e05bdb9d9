"""Register an account: a user and a profile, both or neither."""

from __future__ import annotations

from dataclasses import dataclass

from services.auth.domain.audit import Audit
from services.auth.domain.passwords import Hasher
from services.auth.domain.registration import Details
from services.auth.errors import RegistrationInProgress
from services.auth.sagas.profiles import RemoteProfiles
from services.auth.sagas.registration import (
    REGISTRATION,
    Registered,
    RegistrationPayload,
    new_registration,
    taken,
)
from services.auth.store import users
from services.common.errors import PhoneTaken
from services.common.vocabulary import Role
from services.kernel.db.database import Database, Transaction
from services.kernel.sagas.idempotency import RequestKey
from services.kernel.sagas.model import NewSaga
from services.kernel.sagas.requests import IdempotencyKey, Requests


@dataclass(frozen=True, slots=True)
class Register:
    """Registers accounts."""

    requests: Requests
    registrations: Registrations
    hasher: Hasher

    async def __call__(
        self, details: Details, *, password: str, key: RequestKey | None, client_ip: str | None
    ) -> Registered:
        """Register, and return the new user, profile and brand.

        Raises:
            EmailTaken, PhoneTaken, RegistrationInProgress: Nothing was written.
            RegistrationUnavailable: Nothing was written, or nothing will be.
            DeadlineExceeded: The outcome is not known yet; a repeat with the key gets it.
        """

        async def prepare() -> NewSaga[RegistrationPayload, Registered]:
            await self.registrations.ensure_possible(details)
            password_hash = await self.hasher.hash(password)
            return await self.registrations.new(
                details,
                password_hash=password_hash,
                is_verified=False,
                has_code=True,
                client_ip=client_ip,
            )

        dedup_key = IdempotencyKey(key, unknown=RegistrationInProgress)
        return await self.requests.run_once(REGISTRATION, dedup_key, prepare)


@dataclass(frozen=True, slots=True)
class Registrations:
    """Makes the sagas of registrations that are possible."""

    database: Database
    profiles: RemoteProfiles
    audit: Audit

    async def ensure_possible(self, details: Details) -> None:
        """Check the constraints before the work of hashing.

        Raises:
            EmailTaken, PhoneTaken: Another account has the address or the number.
            RegistrationInProgress: The address is being registered.
            RegistrationUnavailable: Profile cannot work.
        """
        status = await users.status_of_email(self.database, details.email.canonical)
        if status is not None:
            raise taken(status)
        if details.phone_number is None:
            await self.profiles.ensure_serving()
        elif await self.profiles.phone_exists(details.phone_number):
            raise PhoneTaken

    async def new(
        self,
        details: Details,
        *,
        password_hash: str,
        is_verified: bool,
        has_code: bool = False,
        actor: str | None = None,
        client_ip: str | None = None,
    ) -> NewSaga[RegistrationPayload, Registered]:
        """Return the saga of a registration that was found possible.

        See `new_registration` for the arguments.
        """
        await self._ensure_role(details.role)
        return new_registration(
            details,
            password_hash=password_hash,
            is_verified=is_verified,
            has_code=has_code,
            audit=self.audit,
            actor=actor,
            client_ip=client_ip,
        )

    async def _ensure_role(self, role: Role) -> None:
        # In a transaction of its own: a lock on the role's row would make all
        # registrations queue behind one another.
        async def ensure(tx: Transaction) -> None:
            await users.ensure_role(tx, role)

        if not await users.role_exists(self.database, role):
            await self.database.transact("role", ensure)
