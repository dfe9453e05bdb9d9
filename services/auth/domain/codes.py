"""Mailed codes: six digits that prove a mailbox.

A code belongs to a flow, and only the caller that began the flow knows its id. So an
attacker cannot begin a flow and have the mailbox's owner confirm it with the code. Limits
belong to an e-mail and a purpose, and hold whether or not there is an account.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog

from services.auth.domain import email_templates as mails
from services.auth.domain.email_templates import EmailContent
from services.auth.domain.outbox import Outbox
from services.auth.errors import OtpExhausted, OtpExpired, OtpInvalid
from services.auth.model import CanonicalEmail, Purpose
from services.auth.store import codes
from services.auth.store.codes import CodeLimits, Flow, FlowOwner
from services.kernel.db.database import Database, Transaction
from services.kernel.errors import DomainError, TooManyRequests
from services.kernel.ids import new_id
from services.kernel.secret import Secret

LIFE: Final = timedelta(minutes=10)
REINSTATED_LIFE: Final = timedelta(minutes=5)
TRIES_MAX: Final = 5
BETWEEN_SENDS: Final = timedelta(seconds=60)
SENDS_AN_HOUR: Final = 5
CHANGES_AN_HOUR: Final = 5
FAILURES_A_DAY: Final = 10
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)

log = structlog.get_logger("lockstep.codes")

_SPACES = re.compile(r"\s+")
_CODE = re.compile(r"[0-9]{6}")

CONTENTS: Final = {
    Purpose.SIGNUP: mails.sign_up,
    Purpose.VERIFICATION: mails.verification,
    Purpose.RESET: mails.password_reset,
    Purpose.EMAIL_CHANGE: mails.email_change,
}


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class CodeEmail:
    """A code to be mailed. Without a mailbox, or with other content, no code is right.

    Attributes:
        to: The mailbox; None sends no mail.
        owner: The user of the account; None when there is no account.
        payload: The facts that the flow needs when the code comes back.
        instead: The content of a mail that is sent instead of a code.
    """

    purpose: Purpose
    email: CanonicalEmail
    to: str | None
    owner: FlowOwner | None = None
    payload: dict[str, Any] | None = None
    instead: EmailContent | None = None


@dataclass(frozen=True, slots=True, repr=False)
class SubmittedCode:
    """A mailed code as a caller submits it, perhaps with spaces."""

    flow_id: UUID
    email: CanonicalEmail
    otp: str


@dataclass(frozen=True, slots=True)
class Codes:
    """Makes, mails and compares codes.

    The database has only HMACs of codes, each bound to its flow and e-mail.
    """

    database: Database
    secret: Secret
    outbox: Outbox

    async def send(self, tx: Transaction, mail: CodeEmail) -> UUID:
        """Mail a code, which replaces older ones, and return its flow.

        Raises:
            TooManyRequests: The last code was sent a moment ago, or many were.
        """
        limits = await codes.lock_limits(tx, self._key(mail))
        _ensure_sendable(limits)
        flow_id = new_id()
        await self._begin(tx, flow_id, mail, limits)
        return flow_id

    async def count_change(self, tx: Transaction, user_id: UUID) -> None:
        """Count a change of address that a user asks for, whichever the address is.

        Raises:
            TooManyRequests: One account would mail too many strangers.
        """
        message = b"\0".join((b"code limits", b"changes of a user", user_id.bytes))
        key = self.secret.lasting_digest(message)
        limits = await codes.lock_limits(tx, key)
        asked = _since(limits.sends, limits.now - HOUR)
        if len(asked) >= CHANGES_AN_HOUR:
            raise _too_many(until=asked[0] + HOUR, now=limits.now)
        await codes.store_limits(tx, key, sends=[*asked, limits.now], failures=limits.failures)

    async def issue_verification(
        self, tx: Transaction, *, flow_id: UUID, email: CanonicalEmail, to: str, user_id: UUID
    ) -> None:
        """Mail the code that confirms the e-mail of a new account, once for each flow.

        No limit applies: the registration has succeeded, and this must not fail.
        """
        owner = FlowOwner(user_id, credential_version=0)  # the account is new
        mail = CodeEmail(purpose=Purpose.VERIFICATION, email=email, to=to, owner=owner)
        limits = await codes.lock_limits(tx, self._key(mail))
        if await codes.get(tx, flow_id) is None:
            await self._begin(tx, flow_id, mail, limits)

    async def verify(self, submitted: SubmittedCode, purposes: Collection[Purpose]) -> Flow:
        """Return the flow of a right code, without spending the code.

        A wrong code is counted, and the count is committed before the caller gets an
        answer.

        Raises:
            OtpInvalid: The code is wrong, or the e-mail has no such flow.
            OtpExpired: The flow's time is over.
            OtpExhausted: The flow has had too many wrong codes.
            TooManyRequests: The e-mail has had too many wrong codes today.
        """

        async def work(tx: Transaction) -> Flow | DomainError:
            seen = await codes.get(tx, submitted.flow_id)
            if seen is None or seen.purpose not in purposes or seen.email != submitted.email:
                return OtpInvalid()
            limits = await codes.lock_limits(tx, self._key(seen))
            flow = await codes.lock(tx, submitted.flow_id)
            if flow is None:
                return OtpInvalid()
            return await self._compare(tx, flow, limits, submitted.otp)

        found = await self.database.transact("code", work)
        if isinstance(found, DomainError):
            raise found
        return found

    async def _compare(
        self, tx: Transaction, flow: Flow, limits: CodeLimits, code: str
    ) -> Flow | DomainError:
        failures = _since(limits.failures, limits.now - DAY)
        if flow.is_over and not flow.is_repeatable:
            return OtpExpired()
        if flow.tries >= TRIES_MAX:
            return OtpExhausted()
        if len(failures) >= FAILURES_A_DAY:
            return _too_many(until=failures[0] + DAY, now=limits.now)
        given = _message(flow.id, flow.email, _bare(code))
        if self.secret.verifies(given, flow.code_hmac or b""):
            return flow
        await codes.count_try(tx, flow.id)
        await codes.store_limits(
            tx, self._key(flow), sends=limits.sends, failures=[*failures, limits.now]
        )
        return OtpInvalid()

    async def _begin(
        self, tx: Transaction, flow_id: UUID, mail: CodeEmail, limits: CodeLimits
    ) -> None:
        code = f"{secrets.randbelow(1_000_000):06d}"
        is_real = mail.instead is None and mail.to is not None
        await codes.remove_unspent(tx, purpose=mail.purpose, email=mail.email)
        await codes.insert_flow(
            tx,
            flow_id=flow_id,
            purpose=mail.purpose,
            email=mail.email,
            owner=mail.owner,
            code_hmac=code_hmac(self.secret, flow_id, mail.email, code) if is_real else None,
            payload=mail.payload,
            life=LIFE,
        )
        content = mail.instead or CONTENTS[mail.purpose](code)
        await self.outbox.put(tx, content, to=mail.to, life=LIFE)
        await codes.store_limits(
            tx,
            self._key(mail),
            sends=[*_since(limits.sends, limits.now - HOUR), limits.now],
            failures=limits.failures,
        )

    def _key(self, about: Flow | CodeEmail) -> bytes:
        message = b"\0".join((b"code limits", about.purpose.encode(), about.email.encode()))
        return self.secret.lasting_digest(message)


def is_code(text: str) -> bool:
    """Say whether a text has the form of a code: a slip costs no try."""
    return _CODE.fullmatch(_bare(text)) is not None


def malformed(flow: Flow) -> OtpInvalid:
    """Refuse a flow whose payload cannot be read, and tell the operators which one it is."""
    log.error("the payload of a flow is malformed", flow=str(flow.id), purpose=flow.purpose)
    return OtpInvalid()


async def discard_payload(tx: Transaction, saga_id: UUID) -> None:
    """Remove the payload of a sign-up that has succeeded: it has a password's hash."""
    await codes.clear_payload(tx, saga_id)


async def reinstate(tx: Transaction, saga_id: UUID) -> None:
    """Make the code of a sign-up good again when its saga was undone."""
    await codes.reinstate(tx, saga_id, life=REINSTATED_LIFE)


def code_hmac(secret: Secret, flow_id: UUID, email: CanonicalEmail, code: str) -> bytes:
    """Return the HMAC that is stored instead of a code."""
    return secret.digest(_message(flow_id, email, code))


def _message(flow_id: UUID, email: CanonicalEmail, code: str) -> bytes:
    return b"\0".join((b"code", flow_id.bytes, email.encode(), code.encode()))


def _bare(text: str) -> str:
    return _SPACES.sub("", text)


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
