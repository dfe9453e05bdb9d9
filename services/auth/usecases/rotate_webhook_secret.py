"""Give a webhook a new secret."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from cryptography.fernet import InvalidToken

from services.auth.domain.audit import Audit
from services.auth.domain.webhook_secrets import WebhookSecrets, new_secret
from services.auth.domain.webhooks import note_change
from services.auth.errors import WebhookNotFound
from services.auth.store import webhooks
from services.auth.store.webhooks import WebhookRow
from services.kernel.db.database import Database, Transaction
from services.kernel.rpc.call import Caller

OVERLAP: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class RotateWebhookSecret:
    """Replaces secrets of webhooks."""

    database: Database
    audit: Audit
    secrets: WebhookSecrets

    async def __call__(
        self, webhook_id: UUID, *, ends_old: bool, caller: Caller, client_ip: str | None
    ) -> tuple[WebhookRow, str]:
        """Replace the secret, and return the webhook with the new one.

        Raises:
            WebhookNotFound: There is no such webhook.
            SessionEnded: The caller's account has gone meanwhile.
        """
        secret = new_secret()

        async def work(tx: Transaction) -> WebhookRow:
            sealed = await webhooks.lock_sealed(tx, webhook_id)
            if sealed is None:
                raise WebhookNotFound
            old = [] if ends_old else self._present(sealed)
            await note_change(
                self.audit, tx, webhook_id, "secret rotated", caller=caller, client_ip=client_ip
            )
            return await webhooks.rotate(
                tx,
                webhook_id,
                sealed=self.secrets.seal([secret, *old]),
                overlap=OVERLAP if old else None,
            )

        return await self.database.transact("webhook.rotate", work), secret

    def _present(self, sealed: bytes) -> list[str]:
        """Return the present secret; nothing when its key is lost."""
        try:
            return self.secrets.open(sealed)[:1]
        except InvalidToken:
            return []
