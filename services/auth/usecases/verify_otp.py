"""End a sign-up by mailed code: register the account that it was begun for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn
from uuid import UUID

from services.auth.domain.codes import Codes, SubmittedCode, malformed
from services.auth.domain.registration import read_sign_up
from services.auth.errors import OtpInvalid
from services.auth.model import Purpose
from services.auth.sagas.registration import REGISTRATION, Registered, RegistrationPayload
from services.auth.store import codes as store
from services.auth.usecases.register import Registrations
from services.kernel.db.database import Database, Reader, Transaction
from services.kernel.errors import DomainError
from services.kernel.sagas.idempotency import EarlierRequest
from services.kernel.sagas.model import NewSaga
from services.kernel.sagas.requests import Requests


@dataclass(frozen=True, slots=True)
class VerifyOtp:
    """Registers accounts whose mailbox is proven, through the saga of every registration."""

    requests: Requests
    registrations: Registrations
    codes: Codes

    async def __call__(self, code: SubmittedCode, *, client_ip: str | None) -> Registered:
        """Register, and return the new user, profile and brand.

        The same flow with the right code gets the same answer again.

        Raises:
            OtpInvalid, OtpExpired, OtpExhausted, TooManyRequests: See `Codes.verify`.
            EmailTaken, PhoneTaken, RegistrationInProgress: Nothing was written.
            RegistrationUnavailable: Nothing will be; the code works again.
            DeadlineExceeded: The outcome is not known yet; a repeat with the code gets it.
        """
        flow = await self.codes.verify(code, {Purpose.SIGNUP}, client_ip=client_ip)

        async def prepare() -> NewSaga[RegistrationPayload, Registered]:
            if flow.payload is None:
                raise OtpInvalid  # it was spent, and its flow was removed
            sign_up = read_sign_up(flow.payload)
            if sign_up is None:
                raise malformed(flow)
            await self.registrations.ensure_possible(sign_up.details)
            return await self.registrations.new(
                sign_up.details,
                password_hash=sign_up.password_hash,
                is_verified=True,
                client_ip=client_ip,
            )

        return await self.requests.run_once(REGISTRATION, MailedCode(flow.id), prepare)


@dataclass(frozen=True, slots=True)
class MailedCode:
    """The code of a flow: it is spent on one saga, and reinstated if that is undone.

    Attributes:
        lost: The error for a flow that was removed, or whose saga was cleaned up.
    """

    flow_id: UUID
    lost: type[DomainError] = OtpInvalid

    async def find(self, reader: Reader) -> EarlierRequest | None:
        """Return the saga that the code was spent on."""
        flow = await store.get(reader, self.flow_id)
        return (
            None if flow is None or flow.saga_id is None else EarlierRequest(saga_id=flow.saga_id)
        )

    async def take(self, tx: Transaction, saga_id: UUID) -> EarlierRequest | None:
        """Spend the code.

        Raises:
            DomainError: The flow was removed.
        """
        if await store.spend(tx, self.flow_id, saga_id=saga_id):
            return None
        earlier = await self.find(tx)
        if earlier is None:
            raise self.lost
        return earlier

    async def keep(self, database: Database, error: DomainError) -> EarlierRequest | None:  # noqa: ARG002 - it keeps none
        """Keep no refusal: the code is checked anew."""
        return await self.find(database)

    async def gone(self, reader: Reader) -> NoReturn:  # noqa: ARG002 - the code is spent
        """Refuse a code that was spent long ago."""
        raise self.lost
