"""What webhooks need beside their use cases."""

from __future__ import annotations

from dataclasses import dataclass

from services.auth.domain.public_addresses import Resolver
from services.auth.domain.webhook_secrets import WebhookSecrets


@dataclass(frozen=True, slots=True)
class Webhooks:
    """What webhooks share.

    Attributes:
        secrets: Keeps their secrets.
        resolver: Checks the hosts of their URLs.
    """

    secrets: WebhookSecrets
    resolver: Resolver
