"""The tasks that work with events, put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services.auth.domain.collaborators import Collaborators
from services.auth.domain.webhook_client import WebhookClient
from services.auth.domain.webhook_metrics import webhook_surveys
from services.auth.domain.webhook_sender import WebhookSender
from services.auth.readers.event_reader import ListEvents, measure
from services.auth.readers.order_mails import order_mail_reader
from services.auth.readers.webhooks import webhook_readers
from services.common.parts import ServiceParts, Worker


def event_workers(
    parts: ServiceParts,
    shared: Collaborators,
    sources: Mapping[str, ListEvents],
    *,
    mails_about_orders: bool,
) -> Sequence[Worker]:
    """Return the tasks that read events and send what comes of them.

    Args:
        parts: Auth's database and meter.
        shared: The parts of Auth.
        sources: ListEvents of each service.
        mails_about_orders: Whether buyers get mails about their orders.
    """
    database, hooks = parts.background, shared.webhooks
    sender = WebhookSender(
        database, hooks.secrets, WebhookClient(hooks.resolver), meter=parts.meter
    )
    readers = [
        *webhook_readers(database, sender, sources),
        order_mail_reader(database, shared.outbox, sources["commerce"], is_on=mails_about_orders),
    ]
    measure(readers, parts.meter)
    return [sender, *readers, *webhook_surveys(database, parts.meter)]
