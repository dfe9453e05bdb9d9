"""An order whose events a webhook gets, and what is promised of that."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from services.auth.domain.webhook_secrets import WebhookSecrets, new_secret
from services.auth.domain.webhook_sender import LEASE, ROUND_SECONDS
from services.kernel.ids import new_id
from tests.faults.edges import Actor
from tests.faults.scenario import Outcome
from tests.faults.shipping import Shipping, is_final
from tests.faults.world import SECRETS, World

TYPES = [f"lockstep.events.v1.{name}" for name in ("OrderPaid", "OrderFulfilled", "TransferPosted")]
# While two of these happen, a sender may outlive its lease.
_LONG = ("pause", "nap", "jump", "lose", "slow", "overlap")
_SKEWED = ("ahead", "behind", "age")
_SET_UP = (
    "DELETE FROM auth.webhooks",
    (
        "INSERT INTO auth.webhooks (id, url, description, types, sealed, since)"
        " VALUES (%(id)s, 'https://hooks.example.com', '', %(types)s, %(sealed)s, %(begin)s)"
    ),
)
_EVENTS = " UNION ALL ".join(
    f"SELECT '{service}' AS service, e.id::text, type, subject, place,"
    f" s.state AS saga_state, e.saga_id FROM {service}.events e"
    " LEFT JOIN commerce.sagas s ON s.id = e.saga_id"
    " WHERE e.create_time >= %(begin)s AND type = ANY (%(types)s)"
    for service in ("commerce", "profile")
)
_DELIVERIES = (
    "SELECT event_id::text AS id, type, subject, body, state, attempts, last_error,"
    " end_time IS NOT NULL AS has_ended FROM auth.webhook_deliveries WHERE webhook_id = %(id)s"
)


class Webhooks(Shipping):
    """An order that is paid and shipped: a receiver gets each of its events, in order."""

    name = "webhooks"
    readers = ("webhooks",)
    telling = (".sequence.", ".webhooks-", ".webhook.")
    also = ("a",)
    # The way of an event; of what comes again and again, the first times.
    own_edges = (
        r"2\.(webhook\.claim\.\S+|webhooks-commerce\.\S+"
        r"|(post|webhook\.\w+|sequence|ListEvents)\.[^~]*)$"
    )
    turned_edges = r"\.(webhook|webhooks-commerce|sequence|ListEvents)\."

    def prepare(self) -> None:
        super().prepare()
        self.webhook = new_id()
        self.posts: Counter[str] = Counter()
        self.arrived: list[str] = []
        self.bodies: dict[str, str] = {}
        self.in_flight: list[tuple[Actor, float]] = []
        sealed = WebhookSecrets(SECRETS["webhooks"]).seal([new_secret()])
        for sql in _SET_UP:
            self.world.ground.rows(
                sql, id=self.webhook, types=TYPES, sealed=sealed, begin=self.begin
            )

    # --- the receiver (see `endpoint.Receiver`)

    @contextlib.contextmanager
    def posting(self, actor: Actor, event_id: str) -> Iterator[None]:
        self.posts[event_id] += 1
        now = self.world.loop.time()
        if self._keeps_leases() and any(
            not other.dead and now - begin < LEASE.total_seconds() - ROUND_SECONDS
            for other, begin in self.in_flight
        ):
            self.world.run.blame("two processes post to one webhook at once")
        self.in_flight.append((actor, now))
        try:
            yield
        finally:
            self.in_flight.remove((actor, now))

    def _keeps_leases(self) -> bool:
        run = self.world.run
        is_long = sum(hit.rpartition(":")[2] in _LONG for hit in run.hit) > 1
        return not is_long and not run.has_met(*_SKEWED)

    def arrive(self, event_id: str, body: str) -> None:
        event = self._events().get(event_id)
        told = json.loads(body)
        if event is None or not is_final(event):
            self.world.run.blame(f"an event was delivered before it was final: {told['type']}")
        elif (told["id"], told["type"], told["subject"]) != (event.id, event.type, event.subject):
            self.world.run.blame("a delivery does not say what its event says")
        if self.bodies.setdefault(event_id, body) != body:
            self.world.run.blame("an event came again with another body")
        self.arrived.append(event_id)

    # --- promises

    def committed(self, world: World, actor: Actor, edge: str) -> None:
        super().committed(world, actor, edge)
        if ".webhook.note." in edge:
            for delivery in self._deliveries():
                if delivery.state == "DELIVERED" and delivery.id not in self.arrived:
                    world.run.blame("an event is marked as delivered, and has not arrived")

    def in_the_end(self, outcome: Outcome) -> Iterator[str]:
        yield from super().in_the_end(outcome)
        deliveries = {each.id: each for each in self._deliveries()}
        for delivery in deliveries.values():
            yield from self._wrong_row(delivery)
        if self.world.is_aged():  # whoever takes nothing for three days misses what comes
            return
        for event in self._events().values():
            if event.id not in self.arrived:
                yield f"an event was not delivered: {event.type}"
            elif event.id not in deliveries:
                yield f"an event has arrived, and has no row: {event.type}"
        yield from self._wrong_order()

    def _wrong_row(self, delivery: Any) -> Iterator[str]:
        is_over = delivery.state != "WAITING"
        if (delivery.state == "DELIVERED") != (delivery.last_error is None) and delivery.attempts:
            yield f"a delivery that is {delivery.state} has the error {delivery.last_error}"
        if delivery.has_ended != is_over or (is_over and not delivery.attempts):
            yield f"a delivery that is {delivery.state} has {delivery.attempts} attempts"
        if delivery.attempts > self.posts[delivery.id]:
            yield f"{delivery.attempts} attempts are noted of {self.posts[delivery.id]}"
        if self.bodies.get(delivery.id, delivery.body) != delivery.body:
            yield "a delivery is not what has arrived"

    def _wrong_order(self) -> Iterator[str]:
        """The events of a subject come in order; one comes again only if something failed."""
        events = self._events()
        came: dict[str, list[Any]] = {}
        for event_id in dict.fromkeys(self.arrived):
            if event := events.get(event_id):
                came.setdefault(event.subject, []).append(event)
        for subject, told in came.items():
            if told != sorted(told, key=lambda each: each.place):
                yield f"events came out of order: {subject.partition('/')[0]}"
        if not self.world.run.hit and len(set(self.arrived)) < len(self.arrived):
            yield "an event came twice, and nothing had failed"

    def unfinished(self) -> int:
        """Return how many sagas and deliveries have not ended, and events are not queued."""
        deliveries = {each.id: each.state for each in self._deliveries()}
        waiting = list(deliveries.values()).count("WAITING")
        if not self.world.is_aged():
            waiting += len(self._events().keys() - deliveries.keys())
        return super().unfinished() + waiting

    def _events(self) -> dict[str, Any]:
        found = self.world.ground.rows(_EVENTS, begin=self.begin, types=TYPES)
        return {each.id: each for each in found}

    def _deliveries(self) -> list[Any]:
        return self.world.ground.rows(_DELIVERIES, id=self.webhook)
