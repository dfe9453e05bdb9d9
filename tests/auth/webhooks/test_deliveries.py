"""Events come to real receivers of webhooks: signed, in order, again, and until they fail."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lockstep.auth.v1 import webhook_service_pb2 as pb
from standardwebhooks.webhooks import WebhookVerificationError

from services.auth.settings import AuthSettings
from tests.auth.webhooks.hooks import DELIVERED, FAILED, REGISTERED, VERIFIED, WAITING, Hooks
from tests.auth.webhooks.receiver import Received, Receiver, receiving
from tests.auth.world import Sink, serving_auth
from tests.fences import fences
from tests.told import told
from tests.waiting import until_found


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
    page = (Path(__file__).parents[3] / "docs/events.md").read_text()
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
        [found] = await hooks.tried(webhook.id, attempts=attempt)
        assert (found.state, found.last_status) == (WAITING, status)
        assert found.last_error == f"status {status}"
        assert found.next_attempt_time.ToDatetime() > found.create_time.ToDatetime()
        assert (await hooks.get(webhook.id)).HasField("failing_since")
        await hooks.make_due()
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
    await until_found(
        lambda: hooks.deliveries(webhook.id, state=DELIVERED),
        lambda found: [each.subject for each in found] == [f"users/{other.id}"],
    )
    assert VERIFIED not in "".join(each.body for each in receiver.got)
    receiver.refused = set()
    await hooks.make_due()
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
        await poisonous.wait_for(3)
        assert len(poisonous.got) == 3  # each has one post in flight


async def test_a_webhook_that_takes_nothing_for_three_days_is_disabled_and_told(
    hooks: Hooks, receiver: Receiver
) -> None:
    receiver.statuses = [500] * 50
    webhook, _ = await hooks.create(receiver.url)
    await hooks.world.register("ada@example.com")
    await hooks.tried(webhook.id)
    await hooks.world.sql("UPDATE webhooks SET failing_since = now() - interval '73 hours'")
    await hooks.world.sql(
        "UPDATE webhook_deliveries SET first_attempt_time = now() - interval '73 hours'"
    )
    await hooks.make_due()
    found = await until_found(lambda: hooks.get(webhook.id), lambda found: found.disabled)
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
    found = await until_found(lambda: hooks.get(webhook.id), lambda found: found.disabled)
    assert found.disabled_reason == "gone"


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
