"""Let a user prove the password again, for a request that needs it."""

from __future__ import annotations

from dataclasses import dataclass

from services.auth.domain import challenges
from services.auth.domain.audit import Audit, Event
from services.auth.domain.challenges import Challenge
from services.auth.domain.endings import lock_proven
from services.auth.domain.reauthentication import Reauthentication
from services.auth.domain.sessions import SessionIssuer, Tokens
from services.auth.store import sessions as store
from services.auth.store.sessions import SessionClient
from services.kernel.db.database import Database, Transaction
from services.kernel.rpc import call


@dataclass(frozen=True, slots=True)
class Reauthenticate:
    """Replaces sessions by fresh ones (OWASP ASVS 5, 7.2.4)."""

    database: Database
    reauthentication: Reauthentication
    sessions: SessionIssuer
    audit: Audit

    async def __call__(
        self, *, caller: call.UserPrincipal, password: str, client_ip: str | None
    ) -> Tokens | Challenge:
        """Open a session in the place of the caller's, which ends.

        Where the account has a second factor, `VerifyMfa` does so.

        Raises:
            InvalidCredentials: The password is wrong, or was replaced meanwhile.
            SessionEnded: The session has ended meanwhile, perhaps by too many wrong passwords.
            TooManyRequests: Too many passwords are being hashed.
        """
        user = await self.reauthentication.prove(caller, password, client_ip=client_ip)

        async def work(tx: Transaction) -> Tokens | Challenge:
            now = await lock_proven(tx, user, session_id=caller.session_id)
            name = await store.client_name(tx, caller.session_id)
            client = SessionClient(name, client_ip)
            if now.has_second_factor:
                return await challenges.issue(tx, now, client, replaces=caller.session_id)
            await store.end(tx, caller.session_id)
            await self.audit.write(
                tx, Event.REAUTHENTICATED, user_id=user.user_id, client_ip=client_ip
            )
            return await self.sessions.open(tx, now, client)

        return await self.database.transact("reauthenticate", work)
