"""WebhookService as the tests of webhooks call it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from lockstep.auth.v1 import webhook_service_pb2 as pb
from lockstep.auth.v1 import webhook_service_pb2_grpc as webhook_grpc

from tests.auth.world import Member, World
from tests.waiting import until_found

REGISTERED = "lockstep.events.v1.UserRegistered"
VERIFIED = "lockstep.events.v1.UserVerified"
WAITING = pb.WEBHOOK_DELIVERY_STATE_WAITING
DELIVERED = pb.WEBHOOK_DELIVERY_STATE_DELIVERED
FAILED = pb.WEBHOOK_DELIVERY_STATE_FAILED


@dataclass
class Hooks:
    """WebhookService as an administrator calls it."""

    world: World
    admin: Member
    stub: webhook_grpc.WebhookServiceAsyncStub

    async def create(self, url: str, **fields: Any) -> tuple[pb.Webhook, str]:
        request = pb.CreateWebhookRequest(webhook=pb.Webhook(url=url, **fields))
        made = await self.stub.CreateWebhook(request, metadata=self.admin.proof)
        return made.webhook, made.secret

    async def get(self, webhook_id: str) -> pb.Webhook:
        request = pb.GetWebhookRequest(webhook_id=webhook_id)
        return await self.stub.GetWebhook(request, metadata=self.admin.proof)

    async def update(self, webhook: pb.Webhook, *paths: str) -> pb.Webhook:
        mask = FieldMask(paths=paths) if paths else None
        request = pb.UpdateWebhookRequest(webhook=webhook, update_mask=mask)
        return await self.stub.UpdateWebhook(request, metadata=self.admin.proof)

    async def deliveries(self, webhook_id: str, **more: Any) -> list[pb.WebhookDelivery]:
        request = pb.ListWebhookDeliveriesRequest(webhook_id=webhook_id, **more)
        found = await self.stub.ListWebhookDeliveries(request, metadata=self.admin.proof)
        return list(found.deliveries)

    async def settled(self, webhook_id: str, state: pb.WebhookDeliveryState.ValueType) -> None:
        """Wait until all deliveries have a state."""
        await until_found(
            lambda: self.deliveries(webhook_id),
            lambda found: {each.state for each in found} == {state},
        )

    async def tried(self, webhook_id: str, *, attempts: int = 1) -> list[pb.WebhookDelivery]:
        """Wait until the newest delivery has had so many attempts, and return all."""
        return await until_found(
            lambda: self.deliveries(webhook_id),
            lambda found: bool(found) and found[0].attempts == attempts,
        )

    async def make_due(self) -> None:
        """Let the pauses after failures be over."""
        await self.world.sql("UPDATE webhook_deliveries SET next_attempt_time = now()")
        await self.world.sql("UPDATE webhooks SET next_round_time = now()")
