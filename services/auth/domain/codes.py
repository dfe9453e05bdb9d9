"""Mailed codes: six digits that prove a mailbox.

A code belongs to a flow, and only the caller that began the flow knows its id. So an
attacker cannot begin a flow and have the mailbox's owner confirm it with the code. Limits
hold whether or not there is an account (see `code_limits`).
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar
from uuid import UUID

import structlog

from services.auth.domain import email_templates as mails
from services.auth.domain.audit import Audit, Event
from services.auth.domain.code_limits import CodeLimiter, CodeRequest
from services.auth.domain.email_templates import Mail
from services.auth.domain.outbox import Outbox
from services.auth.errors import OtpExhausted, OtpExpired, OtpInvalid
from services.auth.model import CanonicalEmail, Purpose, Recipient
from services.auth.store import codes, credentials
from services.auth.store.code_limits import CodeLimits
from services.auth.store.codes import TRIES_MAX, Flow, FlowOwner
from services.kernel.db.database import Database, Transaction
from services.kernel.errors import DomainError, TooManyRequests
from services.kernel.ids import new_id
from services.kernel.secret import Secret

LIFE: Final = timedelta(minutes=10)
REINSTATED_LIFE: Final = timedelta(minutes=5)

R = TypeVar("R", bound=DomainError | None)

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
        to: The reader; None sends no mail.
        owner: The user of the account; None when there is no account.
        payload: The facts that the flow needs when the code comes back.
        instead: The content of a mail that is sent instead of a code.
    """

    purpose: Purpose
    email: CanonicalEmail
    to: Recipient | None
    owner: FlowOwner | None = None
    payload: dict[str, Any] | None = None
    instead: Mail | None = None


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
    limits: CodeLimiter
    audit: Audit

    async def send(
        self,
        tx: Transaction,
        mail: CodeEmail,
        *,
        client_ip: str | None,
        account: CanonicalEmail | None = None,
    ) -> UUID:
        """Mail a code, and return its flow. Older ones stay good.

        Args:
            tx: The transaction.
            mail: The code's mail.
            client_ip: The caller's.
            account: The account that may know the place; by default the e-mail's.

        Raises:
            TooManyRequests: See `CodeLimiter.take_send`.
        """
        asked = CodeRequest(
            purpose=mail.purpose, email=mail.email, client_ip=client_ip, account=account
        )
        try:
            await self.limits.take_send(tx, asked)
        except TooManyRequests as refusal:
            refusal.account = self.audit.pseudonym(account or mail.email)
            raise
        flow_id = new_id()
        await self._begin(tx, flow_id, mail, self.limits.places.place(client_ip))
        await self._note_request(tx, flow_id, mail, account or mail.email, client_ip)
        return flow_id

    async def issue_verification(
        self, tx: Transaction, *, flow_id: UUID, email: CanonicalEmail, to: Recipient, user_id: UUID
    ) -> None:
        """Mail the code that confirms the e-mail of a new account, once for each flow.

        No limit applies: the registration has succeeded, and this must not fail.
        """
        owner = FlowOwner(user_id, credential_version=0)  # the account is new
        mail = CodeEmail(purpose=Purpose.VERIFICATION, email=email, to=to, owner=owner)
        await self.limits.note_send(tx, mail.purpose, email)
        if await codes.get(tx, flow_id) is None:
            await self._begin(tx, flow_id, mail, None)
            await self._note_request(tx, flow_id, mail, email, None)

    async def resend(self, tx: Transaction, flow: Flow, *, to: Recipient) -> datetime | None:
        """Mail another code of an open flow, and return when it ends.

        Returns None when the flow has ended meanwhile.

        Raises:
            TooManyRequests: See `CodeLimiter.take_resend`.
        """
        try:
            await self.limits.take_resend(tx, flow.purpose, flow.email)
        except TooManyRequests as refusal:
            refusal.account = self.audit.pseudonym(flow.email)
            raise
        code = _new_code()
        stored = code_hmac(self.secret, flow.id, flow.email, code)
        expire_time = await codes.renew(tx, flow.id, code_hmac=stored, life=LIFE)
        if expire_time is not None:
            await self.outbox.put(tx, CONTENTS[flow.purpose](code), to=to, life=LIFE)
        return expire_time

    async def verify(
        self, submitted: SubmittedCode, purposes: Collection[Purpose], *, client_ip: str | None
    ) -> Flow:
        """Return the flow of a right code, without spending the code.

        A wrong code is counted, and the count is committed before the caller gets an
        answer.

        Raises:
            OtpInvalid: The code is wrong, or the e-mail has no such flow.
            OtpExpired: The flow's time is over.
            OtpExhausted: The flow has had too many wrong codes.
            TooManyRequests: The e-mail has had too many wrong codes today, and does not know
                the place.
        """

        async def work(tx: Transaction) -> Flow | DomainError:
            seen = await codes.get(tx, submitted.flow_id)
            if seen is None or seen.purpose not in purposes or seen.email != submitted.email:
                return await self._noted(tx, submitted, None, OtpInvalid(), client_ip)
            limits = await self.limits.lock(tx, seen.purpose, seen.email)
            flow = await codes.lock(tx, submitted.flow_id)
            if flow is None:
                return await self._noted(tx, submitted, None, OtpInvalid(), client_ip)
            refusal = await self._compare(tx, flow, limits, submitted.otp, client_ip)
            return await self._noted(tx, submitted, flow, refusal, client_ip) or flow

        found = await self.database.transact("code", work)
        if isinstance(found, TooManyRequests):
            found.account = self.audit.pseudonym(submitted.email)
        if isinstance(found, DomainError):
            raise found
        return found

    async def clear(self, tx: Transaction, email: CanonicalEmail) -> None:
        """Forget what was counted for an account."""
        await self.limits.clear(tx, email)

    async def _compare(
        self, tx: Transaction, flow: Flow, limits: CodeLimits, code: str, client_ip: str | None
    ) -> DomainError | None:
        """Return why the code is refused; None when it is right."""
        if flow.is_over and not flow.is_repeatable:
            return OtpExpired()
        if flow.tries >= TRIES_MAX:
            return OtpExhausted()
        owner = None if flow.user_id is None else await credentials.by_id(tx, flow.user_id)
        asked = CodeRequest(
            purpose=flow.purpose,
            email=flow.email,
            client_ip=client_ip,
            account=None if owner is None else owner.email,
        )
        if refusal := await self.limits.ensure_tries_left(tx, limits, asked):
            return refusal
        given = _message(flow.id, flow.email, _bare(code))
        if self.secret.verifies(given, flow.code_hmac or b""):
            return None
        await codes.count_try(tx, flow.id)
        if await self.limits.count_failure(tx, flow.purpose, flow.email, limits):
            to = None if owner is None else owner.recipient
            await self.outbox.put(tx, mails.many_attempts(), to=to)
        return OtpInvalid()

    async def _note_request(
        self,
        tx: Transaction,
        flow_id: UUID,
        mail: CodeEmail,
        account: CanonicalEmail,
        client_ip: str | None,
    ) -> None:
        is_change = mail.purpose is Purpose.EMAIL_CHANGE
        facts = {"new_account": self.audit.pseudonym(mail.email)} if is_change else {}
        await self.audit.write(
            tx,
            Event.EMAIL_CHANGE_REQUESTED if is_change else Event.CODE_REQUESTED,
            user_id=None if mail.owner is None else mail.owner.user_id,
            account=account,
            client_ip=client_ip,
            purpose=mail.purpose,
            flow=str(flow_id),
            **facts,
        )

    async def _noted(
        self,
        tx: Transaction,
        submitted: SubmittedCode,
        flow: Flow | None,
        refusal: R,
        client_ip: str | None,
    ) -> R:
        """Write a try down, and return its refusal. The kernel writes limits down."""
        if not isinstance(refusal, TooManyRequests):
            await self.audit.write(
                tx,
                Event.CODE_ACCEPTED if refusal is None else Event.CODE_REFUSED,
                # The row of a flow is locked, so its user is not deleted before the line is there.
                user_id=None if flow is None else flow.user_id,
                account=submitted.email,
                client_ip=client_ip,
                purpose="unknown" if flow is None else flow.purpose,
                flow=str(submitted.flow_id),
                **({} if refusal is None else {"reason": refusal.reason}),
            )
        return refusal

    async def _begin(
        self, tx: Transaction, flow_id: UUID, mail: CodeEmail, place_hmac: bytes | None
    ) -> None:
        code = _new_code()
        is_real = mail.instead is None and mail.to is not None
        await codes.insert_flow(
            tx,
            flow_id=flow_id,
            purpose=mail.purpose,
            email=mail.email,
            owner=mail.owner,
            place_hmac=place_hmac,
            code_hmac=code_hmac(self.secret, flow_id, mail.email, code) if is_real else None,
            payload=mail.payload,
            life=LIFE,
        )
        content = mail.instead or CONTENTS[mail.purpose](code)
        await self.outbox.put(tx, content, to=mail.to, life=LIFE)


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


def _new_code() -> str:
    return f"{secrets.randbelow(1_000_000):06d}"


def _bare(text: str) -> str:
    return _SPACES.sub("", text)
