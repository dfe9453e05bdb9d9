"""The parts of webhooks, put together: readers of events, the sender, and the metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from lockstep.events.v1 import event_pb2 as event_pb

from services.auth.domain.webhook_client import WebhookClient
from services.auth.domain.webhook_metrics import webhook_surveys
from services.auth.domain.webhook_sender import WebhookSender
from services.auth.domain.webhooks import Webhooks
from services.auth.readers.event_reader import EventReader, ListEvents
from services.auth.readers.webhook_bodies import queued
from services.auth.store import webhook_deliveries, webhooks
from services.auth.store.event_cursors import ReaderPlace
from services.common.parts import ServiceParts, Worker
from services.kernel.db.database import Transaction

READER: Final = "webhooks"


def webhook_workers(
    hooks: Webhooks, parts: ServiceParts, sources: Mapping[str, ListEvents]
) -> Sequence[Worker]:
    """Return the tasks that read events and send them.

    Args:
        hooks: What webhooks share.
        parts: Auth's database and meter.
        sources: ListEvents of each service.
    """
    database = parts.background
    sender = WebhookSender(
        database, hooks.secrets, WebhookClient(hooks.resolver), meter=parts.meter
    )
    readers = [
        EventReader(
            database,
            ReaderPlace(READER, source),
            list_events,
            partial(_queue_all, sender),
            is_wanted=partial(webhooks.is_any_enabled, database),
            meter=parts.meter,
        )
        for source, list_events in sources.items()
    ]
    return [sender, *readers, *webhook_surveys(database, parts.meter)]


async def _queue_all(
    sender: WebhookSender, tx: Transaction, page: Sequence[event_pb.Event]
) -> None:
    for event in page:
        await webhook_deliveries.queue(tx, queued(event))
    sender.wake()
