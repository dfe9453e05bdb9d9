"""Auth's lines in the audit log.

To write one down from a use case, add its event to `Event` and write it in the transaction that
makes it happen:

    await self.audit.write(tx, Event.KEY_CREATED, user_id=user_id, client_ip=client_ip, key=key_id)

`account` is an e-mail, of which the log keeps a pseudonym alone. Name an `actor` where somebody
other than the user acts. Of a request that is refused nothing is written here: the kernel writes
down what is refused with RESOURCE_EXHAUSTED or PERMISSION_DENIED (see `kernel.audit.refusals`).
A test calls each changing method that administrators may call, and wants a line with the actor.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from services.auth.model import CanonicalEmail
from services.kernel.audit import log
from services.kernel.db.database import Transaction
from services.kernel.errors import TooManyRequests
from services.kernel.secret import Secret


class Event(StrEnum):
    """The names of the OWASP Application Logging Vocabulary, where it has one."""

    LOGIN_SUCCESS = "authn_login_success"
    LOGIN_HALF = "authn_login_first_factor"
    LOGIN_FAIL = "authn_login_fail"
    LOGIN_FAIL_MAX = "authn_login_fail_max"
    CREDENTIALS_CHANGE = "authn_password_change"
    CREDENTIALS_CHANGE_FAIL = "authn_password_change_fail"
    MFA_CHANGE = "authn_mfa_change"
    MFA_FAIL = "authn_mfa_fail"
    REAUTHENTICATED = "authn_reauthentication"
    REFRESH_REUSE = "authn_token_reuse"
    SESSION_REVOKED = "authn_token_revoked"
    API_KEY_CREATED = "authn_token_created"
    API_KEY_ENDED = "authn_token_delete"
    ADMIN_CHANGE = "authz_admin"
    SESSION_RENEWED = "session_renewed"
    CODE_REQUESTED = "code_requested"
    CODE_ACCEPTED = "code_accepted"
    CODE_REFUSED = "code_refused"
    EMAIL_CHANGE_REQUESTED = "email_change_requested"
    EMAIL_CHANGED = "email_changed"
    INVITED = "user_invited"
    INVITATION_ENDED = "user_invitation_ended"
    REGISTRATION_REQUESTED = "user_registration_requested"
    USER_CREATED = "user_created"
    USER_UPDATED = "user_updated"
    USER_ARCHIVED = "user_archived"
    DELETION_REQUESTED = "user_deletion_requested"
    DELETION_REFUSED = "user_deletion_refused"
    USER_DELETED = "user_deleted"
    WEBHOOK_CHANGE = "webhook_changed"


@dataclass(frozen=True, slots=True)
class Audit:
    """Writes the audit log, in the transaction that makes the event happen."""

    pseudonyms: Secret

    async def write(
        self,
        tx: Transaction,
        event: Event,
        /,
        *,
        user_id: UUID | None = None,
        account: CanonicalEmail | None = None,
        actor: UUID | str | None = None,
        client_ip: str | None = None,
        **detail: str | int,
    ) -> None:
        """Write an event down.

        Args:
            tx: The transaction that makes it happen.
            event: Its kind.
            user_id: The user that it happened to.
            account: The e-mail of the account, when its user may be unknown.
            actor: The user or service that did it; the user itself by default.
            client_ip: The caller's.
            **detail: Facts about it: ids, numbers and words of our own.
        """
        await log.write(
            tx,
            event,
            detail,
            user_id=user_id,
            account=None if account is None else self.pseudonym(account),
            actor=actor,
            client_ip=client_ip,
        )

    async def begin(
        self,
        tx: Transaction,
        saga_id: UUID,
        event: Event,
        /,
        *,
        user_id: UUID,
        account: CanonicalEmail | None = None,
        actor: UUID | str | None = None,
        client_ip: str | None = None,
    ) -> None:
        """Write down, in T1, that a saga was asked for (see `kernel.audit.log`)."""
        await log.begin(
            tx,
            saga_id,
            event,
            user_id=user_id,
            account=None if account is None else self.pseudonym(account),
            actor=actor,
            client_ip=client_ip,
        )

    def pseudonym(self, account: CanonicalEmail) -> str:
        """Return the name that stands for an e-mail in the log.

        The e-mail itself must not be there: without an account it may be any text that
        a caller typed, even a password.
        """
        return self.pseudonyms.digest(b"audit\0" + account.encode()).hex()[:16]

    def too_many(self, account: CanonicalEmail, *, seconds: float) -> TooManyRequests:
        """Return the refusal of an account's limit, which the log names by its pseudonym."""
        refusal = TooManyRequests(retry_after_seconds=seconds)
        refusal.account = self.pseudonym(account)
        return refusal
