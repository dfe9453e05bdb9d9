"""Webhooks get the events of all services: readers queue them for the sender."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from lockstep.events.v1 import event_pb2 as event_pb

from services.auth.domain.webhook_sender import WebhookSender
from services.auth.readers.event_reader import EventReader, ListEvents
from services.auth.readers.webhook_bodies import queued
from services.auth.store import webhook_deliveries, webhooks
from services.auth.store.event_cursors import ReaderPlace
from services.kernel.db.database import Database, Transaction

READER: Final = "webhooks"


def webhook_readers(
    database: Database, sender: WebhookSender, sources: Mapping[str, ListEvents]
) -> Sequence[EventReader]:
    """Return the readers that queue events for webhooks.

    Args:
        database: Auth's database.
        sender: Sends what is queued.
        sources: ListEvents of each service.
    """
    return [
        EventReader(
            database,
            ReaderPlace(READER, source),
            list_events,
            partial(_queue_all, sender),
            is_wanted=partial(webhooks.is_any_enabled, database),
        )
        for source, list_events in sources.items()
    ]


async def _queue_all(
    sender: WebhookSender, tx: Transaction, page: Sequence[event_pb.Event]
) -> None:
    for event in page:
        await webhook_deliveries.queue(tx, queued(event))
    sender.wake()
