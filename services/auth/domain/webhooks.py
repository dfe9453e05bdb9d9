"""What webhooks need beside their use cases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from services.auth.domain.audit import Audit, Event
from services.auth.domain.callers import hold_caller
from services.auth.domain.public_addresses import Resolver
from services.auth.domain.webhook_secrets import WebhookSecrets
from services.kernel.db.database import Transaction
from services.kernel.rpc.call import Caller


@dataclass(frozen=True, slots=True)
class Webhooks:
    """What webhooks share.

    Attributes:
        secrets: Keeps their secrets.
        resolver: Checks the hosts of their URLs.
    """

    secrets: WebhookSecrets
    resolver: Resolver


async def note_change(
    audit: Audit,
    tx: Transaction,
    webhook_id: UUID,
    change: str,
    /,
    *,
    caller: Caller,
    client_ip: str | None,
    **facts: Any,
) -> None:
    """Write a change of a webhook down.

    Raises:
        SessionEnded: The caller's account has gone meanwhile.
    """
    await hold_caller(tx, caller)
    await audit.write(
        tx,
        Event.WEBHOOK_CHANGE,
        actor=caller.actor,
        client_ip=client_ip,
        webhook=str(webhook_id),
        change=change,
        **facts,
    )
