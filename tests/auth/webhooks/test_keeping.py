"""Webhooks over gRPC: kept, listed, changed and deleted, and their secrets."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from lockstep.auth.v1 import webhook_service_pb2 as pb
from lockstep.auth.v1 import webhook_service_pb2_grpc as webhook_grpc
from lockstep_clients import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    connect,
)
from standardwebhooks.webhooks import WebhookVerificationError

from services.auth.settings import AuthSettings
from services.auth.store.webhooks import WEBHOOKS_MAX
from services.common import key_files
from tests.auth.test_second_factor import drop_old
from tests.auth.webhooks.hooks import DELIVERED, REGISTERED, Hooks
from tests.auth.webhooks.receiver import Receiver
from tests.auth.world import Sink, met, serving_auth
from tests.waiting import until_found

NOBODY = "00000000-0000-4000-8000-000000000000"


async def test_secrets_overlap_when_one_is_replaced(hooks: Hooks, receiver: Receiver) -> None:
    webhook, old = await hooks.create(receiver.url)
    rotate = pb.RotateWebhookSecretRequest(webhook_id=webhook.id)
    rotated = await hooks.stub.RotateWebhookSecret(rotate, metadata=hooks.admin.proof)
    assert rotated.webhook.HasField("old_secret_until")
    await hooks.world.register("a@example.com")
    got = (await receiver.wait_for(1))[0]
    assert got.verified(old) == got.verified(rotated.secret)

    await hooks.world.sql("UPDATE webhooks SET old_secret_until = now() - interval '1 second'")
    await hooks.world.register("b@example.com")
    got = (await receiver.wait_for(2))[1]
    assert got.verified(rotated.secret)
    with pytest.raises(WebhookVerificationError):
        got.verified(old)

    rotate.ends_old_secret = True
    newest = await hooks.stub.RotateWebhookSecret(rotate, metadata=hooks.admin.proof)
    await hooks.world.register("c@example.com")
    got = (await receiver.wait_for(3))[2]
    assert got.verified(newest.secret)
    with pytest.raises(WebhookVerificationError):
        got.verified(rotated.secret)


async def test_the_database_has_secrets_encrypted_and_a_rotation_seals_them_anew(
    hooks: Hooks, receiver: Receiver
) -> None:
    _, secret = await hooks.create(receiver.url)
    [(row,)] = await hooks.world.sql("SELECT webhooks::text FROM webhooks")
    assert secret.removeprefix("whsec_") not in row
    [(old,)] = await hooks.world.sql("SELECT sealed FROM webhooks")
    assert secret.encode() not in bytes(old)
    key_files.rotate_secret(hooks.world.keys, "auth", "webhooks")
    code, output = await drop_old(hooks.world, "webhooks")
    assert code == 0, output
    [(new,)] = await hooks.world.sql("SELECT sealed FROM webhooks")
    assert new != old
    await hooks.world.register("ada@example.com")
    [got] = await receiver.wait_for(1)
    assert got.verified(secret)


async def test_webhooks_are_kept_listed_changed_and_deleted(
    hooks: Hooks, receiver: Receiver
) -> None:
    first, _ = await hooks.create(receiver.url, description="Orders", types=[REGISTERED])
    second, _ = await hooks.create(receiver.url)
    listed = await hooks.stub.ListWebhooks(pb.ListWebhooksRequest(), metadata=hooks.admin.proof)
    assert [each.id for each in listed.webhooks] == [second.id, first.id]
    changed = await hooks.update(pb.Webhook(id=first.id, description="All"))
    assert (changed.description, list(changed.types)) == ("All", [REGISTERED])
    changed = await hooks.update(pb.Webhook(id=first.id, disabled=True), "types", "disabled")
    assert (changed.description, list(changed.types)) == ("All", [])
    assert (changed.disabled, changed.disabled_reason) == (True, "administrator")
    await hooks.world.register("ada@example.com")
    await hooks.settled(second.id, DELIVERED)
    delete = pb.DeleteWebhookRequest(webhook_id=second.id)
    await hooks.stub.DeleteWebhook(delete, metadata=hooks.admin.proof)
    assert await hooks.world.sql("SELECT 1 AS one FROM webhook_deliveries") == []
    for call in (
        hooks.stub.DeleteWebhook(delete, metadata=hooks.admin.proof),
        hooks.get(second.id),
        hooks.deliveries(second.id),
        hooks.update(pb.Webhook(id=second.id, url=receiver.url)),
    ):
        with pytest.raises(NotFound) as caught:
            await call
        assert caught.value.reason == "WEBHOOK_NOT_FOUND"
    again = pb.SendWebhookAgainRequest(webhook_id=first.id, event_id=NOBODY)
    with pytest.raises(NotFound) as caught:
        await hooks.stub.SendWebhookAgain(again, metadata=hooks.admin.proof)
    assert caught.value.reason == "WEBHOOK_DELIVERY_NOT_FOUND"


WRONG = (
    "",
    "example.com/hook",
    "ftp://example.com/",
    "https://",
    "https://user@example.com/",
    "https://user:word@example.com/",
    "https://example.com/#here",
    "https://example.com:0/",
    "https://example.com:99999/",
    "https://exämple.com/",
    "https://example.com/a b",
)


@pytest.mark.parametrize("url", WRONG)
async def test_a_wrong_url_is_refused(hooks: Hooks, url: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await hooks.create(url)
    assert [each.field for each in caught.value.violations] == ["webhook.url"]


async def test_where_private_addresses_are_refused_plain_http_is_too(
    make_settings: Callable[..., AuthSettings], mail: tuple[Sink, int]
) -> None:
    async with serving_auth(make_settings(), mail[0]) as world:
        admin = await world.admin("root@example.com")
        async with connect(f"127.0.0.1:{world.running.port}") as channel:
            hooks = Hooks(world, admin, webhook_grpc.WebhookServiceStub(channel))
            for url in ("http://example.com/", "https://127.0.0.1/", "https://[fd00::1]/hook"):
                with pytest.raises(InvalidArgument):
                    await hooks.create(url)
            webhook, _ = await hooks.create("https://localhost:1/")
            await world.register("ada@example.com")
            found = await until_found(
                lambda: hooks.deliveries(webhook.id),
                lambda found: any(each.attempts for each in found),
            )
            assert {each.last_error for each in found if each.attempts} == {"private address"}


async def test_only_administrators_keep_webhooks_and_not_too_many(
    hooks: Hooks, receiver: Receiver
) -> None:
    member = await hooks.world.member("ada@example.com")
    with pytest.raises(PermissionDenied):
        await hooks.stub.ListWebhooks(pb.ListWebhooksRequest(), metadata=member.proof)
    with pytest.raises(InvalidArgument):
        await hooks.create(receiver.url, types=["lockstep.events.v1.Nothing"])
    for _ in range(WEBHOOKS_MAX - 1):
        await hooks.create(receiver.url, disabled=True)
    creating = [hooks.create(receiver.url, disabled=True) for _ in range(2)]
    both = await met(hooks.world, "webhooks", *creating)
    assert [isinstance(each, FailedPrecondition) for each in both].count(True) == 1
    listed = await hooks.stub.ListWebhooks(pb.ListWebhooksRequest(), metadata=hooks.admin.proof)
    assert len(listed.webhooks) == WEBHOOKS_MAX
