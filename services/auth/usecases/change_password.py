"""Change the caller's password."""

from __future__ import annotations

from dataclasses import dataclass

from services.auth.domain import email_templates as mails
from services.auth.domain import passwords
from services.auth.domain.audit import Audit, Event
from services.auth.domain.endings import end_opened, lock_proven
from services.auth.domain.outbox import Outbox
from services.auth.domain.passwords import Hasher
from services.auth.domain.reauthentication import Reauthentication
from services.auth.store import accounts, users
from services.auth.store.credentials import Credentials
from services.kernel.db.database import Database, Transaction
from services.kernel.errors import InvalidField, Violation
from services.kernel.rpc import call


@dataclass(frozen=True, slots=True)
class ChangePassword:
    """Changes passwords of users who know the current one."""

    database: Database
    hasher: Hasher
    reauthentication: Reauthentication
    outbox: Outbox
    audit: Audit

    async def __call__(
        self,
        *,
        caller: call.UserPrincipal,
        current: str,
        new: str,
        keep_api_keys: bool,
        client_ip: str | None,
    ) -> None:
        """Change the password; the caller's other sessions end, and perhaps the API keys.

        Raises:
            InvalidField: The new password is made of words of the account.
            InvalidCredentials: The current password is wrong, or was replaced meanwhile.
            SessionEnded: The session has ended meanwhile, perhaps by too many wrong passwords.
            TooManyRequests: Too many passwords are being hashed.
        """
        user = await self.reauthentication.prove(caller, current, client_ip=client_ip)
        # The password must not be made of the owner's own words, which are known only now.
        person = await users.get(self.database, caller.id)
        names = () if person is None else (person.full_name,)
        if found := passwords.faults(new, email=user.email, names=names):
            raise InvalidField(*(Violation("new_password", fault) for fault in found))
        new_hash = await self.hasher.hash(new)

        async def work(tx: Transaction) -> None:
            session_id = caller.session_id
            await lock_proven(tx, user, session_id=session_id)
            await accounts.set_password(tx, user.user_id, new_hash)
            await end_opened(tx, user.user_id, keep_session=session_id, keep_api_keys=keep_api_keys)
            await self._tell(tx, user, client_ip)

        await self.database.transact("password.change", work)

    async def _tell(self, tx: Transaction, user: Credentials, client_ip: str | None) -> None:
        await self.outbox.put(tx, mails.password_changed(), to=user.recipient)
        await self.audit.write(
            tx, Event.CREDENTIALS_CHANGE, user_id=user.user_id, client_ip=client_ip, by="change"
        )
