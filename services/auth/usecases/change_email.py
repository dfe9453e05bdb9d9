"""Mail the code that gives an account another e-mail address."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.auth.domain import email_templates as mails
from services.auth.domain.codes import CodeEmail, Codes
from services.auth.domain.endings import lock_proven
from services.auth.domain.reauthentication import Reauthentication
from services.auth.model import Email, Purpose, Recipient, Status
from services.auth.store import users
from services.auth.store.codes import FlowOwner
from services.kernel.db.database import Database, Transaction
from services.kernel.errors import InvalidField, Violation
from services.kernel.rpc import call


@dataclass(frozen=True, slots=True)
class ChangeEmail:
    """Mails codes to the e-mail addresses that accounts are to have."""

    database: Database
    reauthentication: Reauthentication
    codes: Codes

    async def __call__(
        self,
        *,
        caller: call.UserPrincipal,
        new_email: Email,
        password: str,
        end_other_sessions: bool,
        client_ip: str | None,
    ) -> UUID:
        """Mail a code to the new e-mail and return its flow.

        If that e-mail has an account, its owner gets a notice instead; the caller sees
        no difference.

        Raises:
            InvalidField: The account has this e-mail already.
            InvalidCredentials: The password is wrong, or was replaced meanwhile.
            SessionEnded: The session has ended meanwhile, perhaps by too many wrong passwords.
            TooManyRequests: There were too many codes, or this user has asked for too many
                changes, or too many passwords are being hashed.
        """
        user = await self.reauthentication.prove(caller, password, client_ip=client_ip)
        if new_email.canonical == user.email:
            raise InvalidField(Violation("new_email", "must differ from the present one"))

        payload = {"typed": new_email.typed, "end_other_sessions": end_other_sessions}
        owner = FlowOwner(user.user_id, user.credential_version, session_id=caller.session_id)

        async def work(tx: Transaction) -> UUID:
            await lock_proven(tx, user, session_id=caller.session_id)
            await self.codes.limits.count_change(tx, user.user_id, user.email)
            to = Recipient(new_email.mailbox, user.language)
            mail = await _mail(tx, owner, new_email, to, payload)
            return await self.codes.send(tx, mail, client_ip=client_ip, account=user.email)

        return await self.database.transact("email.change", work)


async def _mail(
    tx: Transaction, owner: FlowOwner, new: Email, to: Recipient, payload: dict[str, object]
) -> CodeEmail:
    status = await users.status_of_email(tx, new.canonical)
    has_account = status not in (None, Status.PENDING)
    return CodeEmail(
        purpose=Purpose.EMAIL_CHANGE,
        email=new.canonical,
        to=to,
        owner=owner,
        payload=payload,
        instead=mails.account_exists() if has_account else None,
    )
