"""The secrets of webhooks, and what they sign: the rules of Standard Webhooks."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cryptography.fernet import MultiFernet
from standardwebhooks.webhooks import Webhook

from services.auth.domain.seals import seal_of
from services.kernel.secret import Secret

PREFIX: Final = "whsec_"
SECRET_BYTES: Final = 32


def new_secret() -> str:
    """Return a new secret."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


@dataclass(frozen=True, slots=True)
class WebhookSecrets:
    """Keeps the secrets of webhooks encrypted.

    Attributes:
        secret: The source of the keys, the same for every replica.
    """

    secret: Secret

    def seal(self, each: Sequence[str]) -> bytes:
        """Encrypt the secrets of a webhook: the present one, and perhaps the one before it."""
        return self._seal().encrypt(json.dumps(each).encode())

    def open(self, sealed: bytes) -> list[str]:
        """Decrypt the secrets of a webhook.

        Raises:
            InvalidToken: They were sealed with a key that is lost.
        """
        opened: list[str] = json.loads(self._seal().decrypt(sealed))
        return opened

    def _seal(self) -> MultiFernet:
        return seal_of(self.secret, "webhooks")


def signed_headers(signers: Sequence[str], *, message_id: str, body: str) -> dict[str, str]:
    """Return the headers of an attempt: the id, the time, and a signature by each secret."""
    now = datetime.now(UTC)
    signatures = [Webhook(each).sign(message_id, now, body) for each in signers]
    return {
        "content-type": "application/json",
        "user-agent": "Lockstep-Webhooks/1",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
