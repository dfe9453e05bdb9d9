"""End an API key: of the caller's account, or of any for administrators."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.auth.domain.audit import Audit, Event
from services.auth.errors import ApiKeyNotFound
from services.auth.store import api_keys, credentials
from services.kernel.db.database import Database, Transaction
from services.kernel.rpc.access import require_own
from services.kernel.rpc.call import Caller


@dataclass(frozen=True, slots=True)
class EndApiKey:
    """Ends API keys."""

    database: Database
    audit: Audit

    async def __call__(
        self, *, caller: Caller, user_id: UUID, key_id: UUID, client_ip: str | None
    ) -> None:
        """End a key.

        Raises:
            Forbidden: The id is another user's, and the caller is not an administrator.
            ApiKeyNotFound: The user has no such key.
        """
        require_own(user_id, caller)

        async def work(tx: Transaction) -> None:
            # Lock against a deletion, which takes IPs out of the log.
            await credentials.hold(tx, user_id)
            if not await api_keys.end(tx, key_id, user_id=user_id):
                raise ApiKeyNotFound
            await self.audit.write(
                tx,
                Event.API_KEY_ENDED,
                user_id=user_id,
                actor=caller.actor,
                client_ip=client_ip,
                api_key=str(key_id),
            )

        await self.database.transact("api_key.end", work)
