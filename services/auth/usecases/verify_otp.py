"""End a sign-up by mailed code: register the account that it was begun for."""

from __future__ import annotations

from services.auth.domain.codes import Codes, SubmittedCode
from services.auth.errors import EmailTaken, OtpInvalid, RegistrationInProgress
from services.auth.model import Purpose
from services.auth.store import codes as store
from services.auth.store.codes import Flow
from services.auth.usecases.register import REFUSALS, Register, begin
from services.auth.usecases.send_otp import DETAILS
from services.kernel.db.database import Database, Transaction
from services.kernel.errors import SagaNotFound
from services.kernel.ids import new_id
from services.kernel.sagas.engine import SagaEngine
from services.kernel.sagas.store import Json


class VerifyOtp:
    """Registers accounts whose mailbox is proven, through the saga of every registration.

    Args:
        database: Auth's.
        engine: Drives the saga.
        codes: Compares codes.
        register: Knows what a registration may not run into.
    """

    def __init__(
        self, database: Database, engine: SagaEngine, codes: Codes, register: Register
    ) -> None:
        """See the class."""
        self._database = database
        self._engine = engine
        self._codes = codes
        self._register = register

    async def __call__(self, code: SubmittedCode) -> Json:
        """Register, and return the new user, profile and brand as JSON.

        The same flow with the right code gets the same answer again.

        Raises:
            OtpInvalid, OtpExpired, OtpExhausted, TooManyRequests: See `Codes.verify`.
            EmailTaken, PhoneTaken, RegistrationInProgress: Nothing was written.
            ProfileUnavailable: Nothing will be; the code works again.
            DeadlineExceeded: Nobody knows yet; the same flow and code tell.
        """
        flow = await self._codes.verify(code, {Purpose.SIGNUP})
        try:
            result = await self._begin(flow)
        except (_SpentBefore, *REFUSALS) as error:
            # Perhaps because the same flow and code have gone through meanwhile.
            result = await self._attach(flow, error)
        return {name: value for name, value in result.items() if name != "verification_flow_id"}

    async def _begin(self, flow: Flow) -> Json:
        if flow.payload is None or flow.is_spent:
            raise _SpentBefore
        details = DETAILS.validate_python(flow.payload["details"])
        await self._register.ensure_possible(details)
        saga_id = new_id()

        async def spend(tx: Transaction) -> None:
            if not await store.spend(tx, flow.id, saga_id=saga_id):
                raise _SpentBefore

        try:
            outcome = await begin(
                self._database,
                self._engine,
                details,
                saga_id=saga_id,
                password_hash=flow.payload["password_hash"],
                is_verified=True,
                first=spend,
            )
        except EmailTaken:
            await self._register.ensure_possible(details)
            raise RegistrationInProgress from None  # it was PENDING, and has vanished since
        return outcome.unwrap()

    async def _attach(self, flow: Flow, error: Exception) -> Json:
        """Follow the saga that the flow began, perhaps a moment ago, or raise the error."""
        now = await store.get(self._database, flow.id)
        if now is None or now.saga_id is None:
            raise RegistrationInProgress if isinstance(error, _SpentBefore) else error
        try:
            return (await self._engine.attach(now.saga_id)).unwrap()
        except SagaNotFound:
            raise OtpInvalid from None  # long done, and cleaned up


class _SpentBefore(Exception):
    """The same flow and code came twice at once; internal to this module."""
