"""WebhookService on the wire: each method reads a request, runs a use case and answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Self

from lockstep.auth.v1 import webhook_service_pb2 as webhook_pb

from services.auth.domain.audit import Audit
from services.auth.domain.ip_limits import client_ip_of
from services.auth.domain.webhooks import Webhooks
from services.auth.servicers.webhook_messages import (
    delivery_message,
    read_state,
    read_types,
    read_url,
    webhook_message,
)
from services.auth.usecases.create_webhook import CreateWebhook
from services.auth.usecases.delete_webhook import DeleteWebhook
from services.auth.usecases.get_webhook import GetWebhook
from services.auth.usecases.list_webhook_deliveries import ListWebhookDeliveries
from services.auth.usecases.list_webhooks import ListWebhooks
from services.auth.usecases.rotate_webhook_secret import RotateWebhookSecret
from services.auth.usecases.send_webhook_again import SendWebhookAgain
from services.auth.usecases.update_webhook import UpdateWebhook, WebhookChanges
from services.common.parts import ServiceParts
from services.kernel.paging import page_size
from services.kernel.rpc.call import Call
from services.kernel.rpc.masks import named_fields
from services.kernel.validation import Violations

WEBHOOKS = webhook_pb.DESCRIPTOR.services_by_name["WebhookService"]
DESCRIPTION_MAX: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookServicer:
    """Serves WebhookService.

    Attributes:
        allows_private: Whether URLs may be plain http, and lead to private addresses.
    """

    allows_private: bool
    create_webhook: CreateWebhook
    list_webhooks: ListWebhooks
    get_webhook: GetWebhook
    update_webhook: UpdateWebhook
    delete_webhook: DeleteWebhook
    rotate_webhook_secret: RotateWebhookSecret
    list_webhook_deliveries: ListWebhookDeliveries
    send_webhook_again: SendWebhookAgain

    @classmethod
    def of(cls, parts: ServiceParts, audit: Audit, hooks: Webhooks) -> Self:
        """Put the use cases of WebhookService together."""
        database = parts.database
        return cls(
            allows_private=hooks.resolver.allows_private,
            create_webhook=CreateWebhook(database, audit, hooks.secrets),
            list_webhooks=ListWebhooks(database),
            get_webhook=GetWebhook(database),
            update_webhook=UpdateWebhook(database, audit),
            delete_webhook=DeleteWebhook(database, audit),
            rotate_webhook_secret=RotateWebhookSecret(database, audit, hooks.secrets),
            list_webhook_deliveries=ListWebhookDeliveries(database, parts.page_tokens),
            send_webhook_again=SendWebhookAgain(database, audit),
        )

    async def CreateWebhook(
        self, request: webhook_pb.CreateWebhookRequest, call: Call
    ) -> webhook_pb.CreateWebhookResponse:
        """Make a webhook."""
        with Violations() as v:
            url = read_url(v, request.webhook.url, allows_private=self.allows_private)
            description = _description(v, request.webhook)
            types = read_types(v, request.webhook.types)
        row, secret = await self.create_webhook(
            url=url,
            description=description,
            types=types,
            disabled=request.webhook.disabled,
            caller=call.caller,
            client_ip=client_ip_of(call),
        )
        return webhook_pb.CreateWebhookResponse(webhook=webhook_message(row), secret=secret)

    async def ListWebhooks(
        self, request: webhook_pb.ListWebhooksRequest, call: Call
    ) -> webhook_pb.ListWebhooksResponse:
        """List all webhooks."""
        return webhook_pb.ListWebhooksResponse(
            webhooks=map(webhook_message, await self.list_webhooks())
        )

    async def GetWebhook(
        self, request: webhook_pb.GetWebhookRequest, call: Call
    ) -> webhook_pb.Webhook:
        """Get a webhook."""
        with Violations() as v:
            webhook_id = v.uuid(request.webhook_id, "webhook_id")
        return webhook_message(await self.get_webhook(webhook_id))

    async def UpdateWebhook(
        self, request: webhook_pb.UpdateWebhookRequest, call: Call
    ) -> webhook_pb.Webhook:
        """Change a webhook."""
        with Violations() as v:
            webhook_id = v.uuid(request.webhook.id, "webhook.id")
            changes = self._changes(v, request)
        return webhook_message(
            await self.update_webhook(
                webhook_id, changes, caller=call.caller, client_ip=client_ip_of(call)
            )
        )

    async def DeleteWebhook(
        self, request: webhook_pb.DeleteWebhookRequest, call: Call
    ) -> webhook_pb.DeleteWebhookResponse:
        """Delete a webhook."""
        with Violations() as v:
            webhook_id = v.uuid(request.webhook_id, "webhook_id")
        await self.delete_webhook(webhook_id, caller=call.caller, client_ip=client_ip_of(call))
        return webhook_pb.DeleteWebhookResponse()

    async def RotateWebhookSecret(
        self, request: webhook_pb.RotateWebhookSecretRequest, call: Call
    ) -> webhook_pb.RotateWebhookSecretResponse:
        """Give a webhook a new secret."""
        with Violations() as v:
            webhook_id = v.uuid(request.webhook_id, "webhook_id")
        row, secret = await self.rotate_webhook_secret(
            webhook_id,
            ends_old=request.ends_old_secret,
            caller=call.caller,
            client_ip=client_ip_of(call),
        )
        return webhook_pb.RotateWebhookSecretResponse(webhook=webhook_message(row), secret=secret)

    async def ListWebhookDeliveries(
        self, request: webhook_pb.ListWebhookDeliveriesRequest, call: Call
    ) -> webhook_pb.ListWebhookDeliveriesResponse:
        """List the deliveries of a webhook."""
        with Violations() as v:
            webhook_id = v.uuid(request.webhook_id, "webhook_id")
            state = read_state(v, request.state)
            size = page_size(request.page_size)
        rows, token = await self.list_webhook_deliveries(
            webhook_id, state=state, size=size, page_token=request.page_token
        )
        return webhook_pb.ListWebhookDeliveriesResponse(
            deliveries=map(delivery_message, rows), next_page_token=token
        )

    async def SendWebhookAgain(
        self, request: webhook_pb.SendWebhookAgainRequest, call: Call
    ) -> webhook_pb.WebhookDelivery:
        """Send an event once more."""
        with Violations() as v:
            webhook_id = v.uuid(request.webhook_id, "webhook_id")
            event_id = v.uuid(request.event_id, "event_id")
        row = await self.send_webhook_again(
            webhook_id, event_id, caller=call.caller, client_ip=client_ip_of(call)
        )
        return delivery_message(row)

    def _changes(self, v: Violations, request: webhook_pb.UpdateWebhookRequest) -> WebhookChanges:
        new = request.webhook
        readers: dict[str, Callable[[], Any]] = {
            "url": partial(read_url, v, new.url, allows_private=self.allows_private),
            "description": partial(_description, v, new),
            "types": partial(read_types, v, new.types),
            "disabled": lambda: new.disabled,
        }
        names = named_fields(v, request, "webhook", readers, identity="id")
        return WebhookChanges(**{name: readers[name]() for name in names})


def _description(v: Violations, webhook: webhook_pb.Webhook) -> str:
    return v.text(webhook.description, "webhook.description", max_length=DESCRIPTION_MAX) or ""
