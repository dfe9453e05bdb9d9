"""Webhooks over gRPC, with real receivers: kept, signed, retried, disabled, sent again."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
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
from tests.auth.receiver import Received, Receiver, receiving
from tests.auth.test_second_factor import drop_old
from tests.auth.world import Member, Sink, World, serving_auth
from tests.fences import fences
from tests.told import told

REGISTERED = "lockstep.events.v1.UserRegistered"
VERIFIED = "lockstep.events.v1.UserVerified"
WAITING = pb.WEBHOOK_DELIVERY_STATE_WAITING
DELIVERED = pb.WEBHOOK_DELIVERY_STATE_DELIVERED
FAILED = pb.WEBHOOK_DELIVERY_STATE_FAILED
NOBODY = "00000000-0000-4000-8000-000000000000"


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
        await until(
            lambda: self.deliveries(webhook_id),
            lambda found: {each.state for each in found} == {state},
        )

    async def make_due(self) -> None:
        """Let the pauses after failures be over."""
        await self.world.sql("UPDATE webhook_deliveries SET next_attempt_time = now()")
        await self.world.sql("UPDATE webhooks SET next_round_time = now()")


async def until(
    look: Callable[[], Awaitable[Any]], is_so: Callable[[Any], bool], seconds: float = 20.0
) -> Any:
    async with asyncio.timeout(seconds):
        while not is_so(found := await look()):  # noqa: ASYNC110 - what changes is a database
            await asyncio.sleep(0.05)
    return found


@pytest.fixture
async def world(
    make_settings: Callable[..., AuthSettings], mail: tuple[Sink, int]
) -> AsyncIterator[World]:
    """An Auth whose webhooks may lead to loopback."""
    settings = make_settings(address_limits_factor=30, webhook_private_addresses=True)
    async with serving_auth(settings, mail[0]) as world:
        yield world


@pytest.fixture
async def hooks(world: World) -> AsyncIterator[Hooks]:
    """WebhookService of that Auth."""
    admin = await world.admin("root@example.com")
    # Events of before are not of interest to any test.
    await world.sql("UPDATE events SET create_time = create_time - interval '1 hour'")
    async with connect(f"127.0.0.1:{world.running.port}") as channel:
        yield Hooks(world, admin, webhook_grpc.WebhookServiceStub(channel))


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver of webhooks."""
    async with receiving() as receiver:
        yield receiver


def subjects(got: list[Received]) -> list[str]:
    return [each.body.split('"subject":"')[1].split('"')[0] for each in got]


async def test_an_event_arrives_signed_and_says_what_happened(
    hooks: Hooks, receiver: Receiver
) -> None:
    webhook, secret = await hooks.create(receiver.url, types=[REGISTERED])
    user = (await hooks.world.register("ada@example.com")).user
    [got] = await receiver.wait_for(1)
    content = got.verified(secret)
    assert content.pop("timestamp").endswith("Z")
    assert content == {
        "id": got.headers["webhook-id"],
        "type": REGISTERED,
        "subject": f"users/{user.id}",
        "data": {"userId": user.id, "role": "student", "emailVerified": False},
    }
    assert got.headers["content-type"] == "application/json"
    await hooks.settled(webhook.id, DELIVERED)
    [delivery] = await hooks.deliveries(webhook.id)
    assert delivery.event_id == got.headers["webhook-id"]
    assert (delivery.attempts, delivery.last_status, delivery.last_error) == (1, 204, "")
    with pytest.raises(WebhookVerificationError):
        got.verified("whsec_" + "A" * 43 + "=")


async def test_the_documented_receiver_takes_what_is_signed_and_nothing_else(
    hooks: Hooks, receiver: Receiver
) -> None:
    page = (Path(__file__).parents[2] / "docs/events.md").read_text()
    [block] = fences(page.partition("## Receive webhooks")[2], "python")
    names: dict[str, Any] = {}
    exec(block, names)
    receive = names["receive"]
    _, secret = await hooks.create(receiver.url)
    await hooks.world.register("ada@example.com")
    [got] = await receiver.wait_for(1)
    assert receive(got.headers, got.body.encode(), secret) == 204
    assert receive(got.headers, got.body.replace("student", "admin").encode(), secret) == 401


async def test_a_webhook_gets_the_types_it_wants_from_its_beginning_on(
    hooks: Hooks, receiver: Receiver
) -> None:
    before = (await hooks.world.register("before@example.com")).user
    await hooks.world.sql("UPDATE events SET create_time = create_time - interval '1 hour'")
    every, _ = await hooks.create(receiver.url)
    none, _ = await hooks.create(receiver.url, types=[VERIFIED])
    off, _ = await hooks.create(receiver.url, disabled=True)
    after = [(await hooks.world.register(f"a{n}@example.com")).user.id for n in range(3)]
    got = await receiver.wait_for(3)
    await hooks.settled(every.id, DELIVERED)
    assert subjects(got) == [f"users/{user_id}" for user_id in after]
    assert before.id not in "".join(each.body for each in got)
    assert await hooks.deliveries(none.id) == await hooks.deliveries(off.id) == []


async def test_what_is_refused_comes_again_with_the_same_id(
    hooks: Hooks, receiver: Receiver
) -> None:
    receiver.statuses = [500, 302, 404]
    webhook, secret = await hooks.create(receiver.url)
    await hooks.world.register("ada@example.com")
    for attempt, status in enumerate((500, 302, 404), start=1):
        await receiver.wait_for(attempt)
        [found] = await until(
            lambda: hooks.deliveries(webhook.id),
            lambda found, attempt=attempt: found[0].attempts == attempt,  # type: ignore[misc]  # a default has no type
        )
        assert (found.state, found.last_status) == (WAITING, status)
        assert found.last_error == f"status {status}"
        assert found.next_attempt_time.ToDatetime() > found.create_time.ToDatetime()
        assert (await hooks.get(webhook.id)).HasField("failing_since")
        await until(hooks.make_due, lambda _: True)
    got = await receiver.wait_for(4)
    await hooks.settled(webhook.id, DELIVERED)
    assert len({each.headers["webhook-id"] for each in got}) == 1
    assert len({str(each.verified(secret)) for each in got}) == 1
    assert not (await hooks.get(webhook.id)).HasField("failing_since")


async def test_a_subject_keeps_its_order_and_holds_up_no_other(
    hooks: Hooks, receiver: Receiver
) -> None:
    webhook, _ = await hooks.create(receiver.url)
    held = (await hooks.world.register("held@example.com")).user
    receiver.refused = {held.id}
    await hooks.world.sql(
        "INSERT INTO events (id, type, subject, payload) VALUES (gen_random_uuid(), %s, %s, '')",
        VERIFIED,
        f"users/{held.id}",
    )
    other = (await hooks.world.register("other@example.com")).user
    await until(
        lambda: hooks.deliveries(webhook.id, state=DELIVERED),
        lambda found: [each.subject for each in found] == [f"users/{other.id}"],
    )
    assert VERIFIED not in "".join(each.body for each in receiver.got)
    receiver.refused = set()
    await until(hooks.make_due, lambda _: True)
    await hooks.settled(webhook.id, DELIVERED)
    of_held = [each.body for each in receiver.got if held.id in each.body]
    assert [VERIFIED in body for body in of_held][-2:] == [False, True]


async def test_a_receiver_that_hangs_holds_up_its_own_queue_alone(hooks: Hooks) -> None:
    async def silence(_writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with receiving(silence) as poisonous, receiving() as healthy:
        for _ in range(3):
            await hooks.create(poisonous.url)
        good, _ = await hooks.create(healthy.url)
        for n in range(5):
            await hooks.world.register(f"a{n}@example.com")
        await healthy.wait_for(5)
        await hooks.settled(good.id, DELIVERED)
        assert len(poisonous.got) == 3  # each has one post in flight


async def test_a_webhook_that_takes_nothing_for_three_days_is_disabled_and_told(
    hooks: Hooks, receiver: Receiver
) -> None:
    receiver.statuses = [500] * 50
    webhook, _ = await hooks.create(receiver.url)
    await hooks.world.register("ada@example.com")
    await until(
        lambda: hooks.deliveries(webhook.id), lambda found: bool(found) and found[0].attempts == 1
    )
    await hooks.world.sql("UPDATE webhooks SET failing_since = now() - interval '73 hours'")
    await hooks.world.sql(
        "UPDATE webhook_deliveries SET first_attempt_time = now() - interval '73 hours'"
    )
    await until(hooks.make_due, lambda _: True)
    found = await until(lambda: hooks.get(webhook.id), lambda found: found.disabled)
    assert found.disabled_reason == "failures"
    await hooks.settled(webhook.id, FAILED)
    names = [each.name for each in told(hooks.world.url, "auth")]
    assert Counter(names)["WebhookDisabled"] == 1

    receiver.statuses = []
    enabled = await hooks.update(pb.Webhook(id=webhook.id), "disabled")
    assert (enabled.disabled, enabled.disabled_reason) == (False, "")
    [failed] = await hooks.deliveries(webhook.id, state=FAILED)
    again = pb.SendWebhookAgainRequest(webhook_id=webhook.id, event_id=failed.event_id)
    sent = await hooks.stub.SendWebhookAgain(again, metadata=hooks.admin.proof)
    assert (sent.state, sent.attempts) == (WAITING, 0)
    await hooks.settled(webhook.id, DELIVERED)
    ids = [each.headers["webhook-id"] for each in receiver.got]
    assert ids.count(failed.event_id) == 3  # refused twice, and then taken


async def test_a_receiver_that_is_gone_is_disabled_at_once(
    hooks: Hooks, receiver: Receiver
) -> None:
    receiver.statuses = [410]
    webhook, _ = await hooks.create(receiver.url)
    await hooks.world.register("ada@example.com")
    found = await until(lambda: hooks.get(webhook.id), lambda found: found.disabled)
    assert found.disabled_reason == "gone"


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


async def test_deliveries_are_listed_in_pages(hooks: Hooks, receiver: Receiver) -> None:
    webhook, _ = await hooks.create(receiver.url)
    for n in range(3):
        await hooks.world.register(f"a{n}@example.com")
    await receiver.wait_for(3)
    request = pb.ListWebhookDeliveriesRequest(webhook_id=webhook.id, page_size=2)
    found = []
    while True:
        page = await hooks.stub.ListWebhookDeliveries(request, metadata=hooks.admin.proof)
        found += [each.event_id for each in page.deliveries]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert found == [each.headers["webhook-id"] for each in reversed(receiver.got)]


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
            found = await until(
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
    for _ in range(WEBHOOKS_MAX):
        await hooks.create(receiver.url, disabled=True)
    with pytest.raises(FailedPrecondition):
        await hooks.create(receiver.url)


async def test_two_replicas_send_each_event_once(
    hooks: Hooks,
    receiver: Receiver,
    make_settings: Callable[..., AuthSettings],
    mail: tuple[Sink, int],
) -> None:
    settings = make_settings(webhook_private_addresses=True)
    async with serving_auth(settings, mail[0]):
        webhook, _ = await hooks.create(receiver.url)
        for n in range(10):
            await hooks.world.register(f"a{n}@example.com")
        await receiver.wait_for(10)
        await hooks.settled(webhook.id, DELIVERED)
    ids = Counter(each.headers["webhook-id"] for each in receiver.got)
    assert len(ids) == 10
    assert set(ids.values()) == {1}


async def test_the_lease_of_a_process_that_was_killed_runs_out(
    hooks: Hooks, receiver: Receiver
) -> None:
    """As after kill -9 between the claim and the mark: the event comes, with the same id."""
    webhook, _ = await hooks.create(receiver.url)
    await hooks.world.register("ada@example.com")
    [first] = await receiver.wait_for(1)
    await hooks.settled(webhook.id, DELIVERED)
    await hooks.world.sql("UPDATE webhooks SET next_round_time = now() + interval '2 seconds'")
    await hooks.world.sql(
        "UPDATE webhook_deliveries SET state = 'WAITING', next_attempt_time = now()"
    )
    second = (await receiver.wait_for(2))[1]
    assert second.headers["webhook-id"] == first.headers["webhook-id"]
