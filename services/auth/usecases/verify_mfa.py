"""End a login, or a Reauthenticate, with the second factor."""

from __future__ import annotations

from dataclasses import dataclass

from services.auth.domain import challenges
from services.auth.domain import email_templates as mails
from services.auth.domain.audit import Audit, Event
from services.auth.domain.login_throttle import LoginThrottle
from services.auth.domain.outbox import Outbox
from services.auth.domain.sessions import SessionIssuer, Tokens
from services.auth.domain.totp import Factor, SecondFactors
from services.auth.errors import OtpExhausted, OtpExpired, OtpInvalid
from services.auth.model import Status
from services.auth.store import codes, credentials, second_factors, sessions
from services.auth.store.codes import TRIES_MAX, Flow
from services.auth.store.credentials import Credentials
from services.auth.store.sessions import SessionClient
from services.kernel.db.database import Database, Transaction
from services.kernel.errors import DomainError, SessionEnded

OVER = "The sign-in is over, or there is none. Log in again."


@dataclass(frozen=True, slots=True)
class VerifyMfa:
    """Opens sessions of users who have proven the password and the second factor.

    A wrong code counts as a wrong password does: of a login for the account and the place,
    of a Reauthenticate for the session.
    """

    database: Database
    factors: SecondFactors
    throttle: LoginThrottle
    sessions: SessionIssuer
    outbox: Outbox
    audit: Audit

    async def __call__(self, token: str, factor: Factor, *, client_ip: str | None) -> Tokens:
        """Open the session that a challenge was issued for.

        Raises:
            OtpInvalid: The code is wrong, or the challenge has ended.
            OtpExpired: The challenge's time is over.
            OtpExhausted: The challenge has had too many wrong codes.
            SessionEnded: This was the tenth wrong one in the session to be replaced.
            TooManyRequests: The place must wait.
        """
        flow = await challenges.find(self.database, token)
        if flow is None:
            raise OtpInvalid(OVER)
        if flow.session_id is None:
            await self.throttle.ensure_allowed(flow.email, client_ip=client_ip)

        async def work(tx: Transaction) -> Tokens | DomainError:
            return await self._verify(tx, flow, factor, client_ip)

        result = await self.database.transact("mfa", work)
        if isinstance(result, Tokens):
            return result
        if isinstance(result, OtpInvalid) and flow.session_id is None:
            await self.throttle.fail(flow.email, user_id=flow.user_id, client_ip=client_ip)
        raise result

    async def _verify(
        self, tx: Transaction, flow: Flow, factor: Factor, client_ip: str | None
    ) -> Tokens | DomainError:
        """Return the tokens, or the refusal: what was counted must be committed."""
        assert flow.user_id is not None
        user = await credentials.lock(tx, flow.user_id)
        now = await codes.lock(tx, flow.id)
        if now is None or now.is_spent or user is None or user.status is not Status.ACTIVE:
            raise OtpInvalid(OVER)
        if user.credential_version != now.credential_version:
            raise OtpInvalid(OVER)
        if now.is_over:
            raise OtpExpired("The sign-in has expired. Log in again.")
        if now.tries >= TRIES_MAX:
            raise OtpExhausted("Too many wrong codes. Log in again.")
        tries = await self._take_try(tx, now)
        if not await self.factors.take(tx, user.user_id, factor):
            return await self._fail(tx, now, tries, client_ip)
        await self._note_recovery(tx, user, factor)
        return await self._open(tx, now, user, client_ip)

    async def _take_try(self, tx: Transaction, flow: Flow) -> int:
        """Take a try of the session that is to be replaced; a login has none."""
        if flow.session_id is None:
            return 0
        if not await sessions.hold(tx, flow.session_id):
            raise SessionEnded
        tries = await sessions.take_password_try(tx, flow.session_id)
        if tries is None:
            raise SessionEnded
        return tries

    async def _fail(
        self, tx: Transaction, flow: Flow, tries: int, client_ip: str | None
    ) -> DomainError:
        await codes.count_try(tx, flow.id)
        await self.audit.write(tx, Event.MFA_FAIL, user_id=flow.user_id, client_ip=client_ip)
        if flow.session_id is not None and tries >= sessions.PASSWORD_TRIES:
            await sessions.end(tx, flow.session_id)
            await self.audit.write(
                tx,
                Event.SESSION_REVOKED,
                user_id=flow.user_id,
                client_ip=client_ip,
                by="wrong codes",
            )
            return SessionEnded()
        return OtpInvalid("The code is wrong, or it was used before.")

    async def _note_recovery(self, tx: Transaction, user: Credentials, factor: Factor) -> None:
        if factor.recovery_code:
            left = await second_factors.count_recovery_codes(tx, user.user_id)
            await self.outbox.put(tx, mails.recovery_code_used(left), to=user.recipient)

    async def _open(
        self, tx: Transaction, flow: Flow, user: Credentials, client_ip: str | None
    ) -> Tokens:
        client = SessionClient(challenges.client_name(flow), client_ip)
        await codes.spend(tx, flow.id, saga_id=None)
        if flow.session_id is None:
            await self.throttle.succeed(tx, user.email, client_ip=client_ip)
            event = Event.LOGIN_SUCCESS
        else:
            await sessions.end(tx, flow.session_id)
            event = Event.REAUTHENTICATED
        await self.audit.write(
            tx, event, user_id=user.user_id, client_ip=client_ip, factor="second"
        )
        return await self.sessions.open(tx, user, client, has_second_factor=True)
