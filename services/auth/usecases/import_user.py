"""Bring an account of another system here, with the hash of its password."""

from __future__ import annotations

from dataclasses import dataclass

from services.auth.domain.registration import Details
from services.auth.errors import RegistrationInProgress
from services.auth.sagas.registration import REGISTRATION, Registered, RegistrationPayload
from services.auth.usecases.register import Registrations
from services.kernel.sagas.model import NewSaga
from services.kernel.sagas.requests import IdempotencyKey, Requests


@dataclass(frozen=True, slots=True)
class ImportUser:
    """Registers accounts of other systems, through the saga of every registration."""

    requests: Requests
    registrations: Registrations

    async def __call__(
        self, details: Details, *, password_hash: str, is_verified: bool, actor: str
    ) -> Registered:
        """Import, and return the new user, profile and brand.

        Args:
            details: The account.
            password_hash: Its bcrypt hash, which the next login renews.
            is_verified: Whether the other system has proven the e-mail.
            actor: The name of the caller in the audit log.

        Raises:
            EmailTaken, PhoneTaken, RegistrationInProgress: Nothing was written.
            RegistrationUnavailable: Nothing was written, or nothing will be.
            DeadlineExceeded: The outcome is not known yet.
        """

        async def prepare() -> NewSaga[RegistrationPayload, Registered]:
            await self.registrations.ensure_possible(details)
            return await self.registrations.new(
                details, password_hash=password_hash, is_verified=is_verified, actor=actor
            )

        # The address makes two imports the same one: a repeat gets EMAIL_TAKEN.
        key = IdempotencyKey(None, unknown=RegistrationInProgress)
        return await self.requests.run_once(REGISTRATION, key, prepare)
