"""Make an API key of the caller's account."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from services.auth.domain.api_keys import new_key, secret_hash
from services.auth.domain.audit import Audit, Event
from services.auth.domain.freshness import require_fresh
from services.auth.model import Status
from services.auth.store import api_keys, credentials, sessions
from services.auth.store.api_keys import KEYS_MAX, ListedKey, NewKey
from services.kernel.db.database import Database, Transaction
from services.kernel.errors import Forbidden, IllegalState, SessionEnded
from services.kernel.rpc.call import UserPrincipal


@dataclass(frozen=True, slots=True, repr=False)
class MadeKey:
    """A new API key; `text` is shown once."""

    listed: ListedKey
    text: str


@dataclass(frozen=True, slots=True)
class CreateApiKey:
    """Makes API keys. The database has only hashes of their secrets."""

    database: Database
    audit: Audit

    async def __call__(
        self,
        *,
        caller: UserPrincipal,
        user_id: UUID,
        name: str,
        scopes: list[str],
        life: timedelta,
        client_ip: str | None,
    ) -> MadeKey:
        """Make a key and return it.

        Raises:
            Forbidden: The id is another user's.
            ReauthenticationRequired: The caller proved the password too long ago.
            IllegalState: The account has many.
            SessionEnded: The session has ended meanwhile.
        """
        if user_id != caller.id:  # not even an administrator acts as somebody else
            raise Forbidden("Only its owner can make an API key.")
        await require_fresh(self.database, caller)
        key = new_key()
        new = NewKey(
            key_id=key.id,
            user_id=caller.id,
            session_id=caller.session_id,
            name=name,
            secret_hash=secret_hash(key),
            scopes=scopes,
            life=life,
        )

        async def work(tx: Transaction) -> ListedKey:
            await self._ensure_possible(tx, caller)
            await self.audit.write(
                tx,
                Event.API_KEY_CREATED,
                user_id=caller.id,
                client_ip=client_ip,
                api_key=str(key.id),
            )
            return await api_keys.insert_key(tx, new)

        listed = await self.database.transact("api_key.create", work)
        return MadeKey(listed, key.written())

    async def _ensure_possible(self, tx: Transaction, caller: UserPrincipal) -> None:
        # Under the user's lock: what ends the credentials ends this key, too.
        user = await credentials.lock(tx, caller.id)
        if user is None or user.status is not Status.ACTIVE:
            raise SessionEnded
        if not await sessions.hold(tx, caller.session_id):
            raise SessionEnded
        if await api_keys.count(tx, caller.id) >= KEYS_MAX:
            raise IllegalState(f"An account has {KEYS_MAX} API keys at most. End one first.")
