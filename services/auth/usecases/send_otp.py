"""Start a sign-up by mailed code."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.auth.domain import email_templates as mails
from services.auth.domain.codes import CodeEmail, Codes
from services.auth.domain.passwords import Hasher
from services.auth.domain.registration import SIGN_UPS, Details, SignUp
from services.auth.model import Purpose, Recipient, Status
from services.auth.store import users
from services.kernel.db.database import Database, Transaction


@dataclass(frozen=True, slots=True)
class SendOtp:
    """Keeps the details of a sign-up, and mails its code."""

    database: Database
    hasher: Hasher
    codes: Codes

    async def __call__(self, details: Details, *, password: str, client_ip: str | None) -> UUID:
        """Mail a code and return its flow.

        If the e-mail has an account, its owner gets a notice instead; the caller sees no
        difference.

        Raises:
            TooManyRequests: The e-mail got a code a moment ago, or too many, or too many
                passwords are being hashed.
        """
        sign_up = SignUp(details=details, password_hash=await self.hasher.hash(password))

        async def work(tx: Transaction) -> UUID:
            status = await users.status_of_email(tx, details.email.canonical)
            has_account = status not in (None, Status.PENDING)
            mail = CodeEmail(
                purpose=Purpose.SIGNUP,
                email=details.email.canonical,
                to=Recipient(details.email.mailbox, details.language),
                payload=SIGN_UPS.dump_python(sign_up, mode="json"),
                instead=mails.account_exists() if has_account else None,
            )
            return await self.codes.send(tx, mail, client_ip=client_ip)

        return await self.database.transact("otp.send", work)
