"""The audit log: events, their users, actors and client IPs, and never a secret."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from services.auth.model import CanonicalEmail
from services.auth.store import audit
from services.kernel.db.database import Transaction
from services.kernel.secret import Secret


class Event(StrEnum):
    """The names of the OWASP Application Logging Vocabulary."""

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
    USER_CREATED = "user_created"
    USER_UPDATED = "user_updated"
    USER_ARCHIVED = "user_archived"
    USER_DELETED = "user_deleted"


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
            actor: The user or operator that did it; the user itself by default.
            client_ip: The caller's.
            **detail: Facts about it.
        """
        await audit.insert_event(
            tx,
            event=event,
            user_id=user_id,
            account=None if account is None else self.pseudonym(account),
            actor=None if actor is None else str(actor),
            client_ip=client_ip,
            detail=detail,
        )

    def pseudonym(self, account: CanonicalEmail) -> str:
        """Return the name that stands for an e-mail in the log.

        The e-mail itself must not be there: without an account it may be any text that
        a caller typed, even a password.
        """
        return self.pseudonyms.digest(b"audit\0" + account.encode()).hex()[:16]


async def note_registration(tx: Transaction, *, user_id: UUID, saga_id: UUID) -> None:
    """Write down that a registration has succeeded; repeats write nothing."""
    await audit.insert_event(tx, event=Event.USER_CREATED, user_id=user_id, entry_id=saga_id)
