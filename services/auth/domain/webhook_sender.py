"""Sends the events that wait for webhooks.

A webhook has a queue of its own, on which one process works at a time, under a lease. So a
receiver that hangs or fails holds up its own queue alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import Final
from uuid import UUID

import structlog
from opentelemetry.metrics import Meter

from services.auth import events
from services.auth.domain.backoff import Backoff
from services.auth.domain.webhook_client import POST_SECONDS, PostOutcome, WebhookClient
from services.auth.domain.webhook_secrets import WebhookSecrets, signed_headers
from services.auth.store import webhook_deliveries as deliveries
from services.auth.store import webhook_rounds, webhooks
from services.auth.store.webhook_deliveries import Attempt, Delivery
from services.auth.store.webhook_rounds import ClaimedWebhook
from services.kernel.db.database import Database, Transaction
from services.kernel.errors import DatabaseUnavailable
from services.kernel.events.writer import tell
from services.kernel.tasks import BackgroundTask, Loop, Pulse, end
from services.kernel.telemetry.metrics import NO_METER, create_counter

CLAIM: Final = "webhook.claim"
POLL_SECONDS: Final = 1.0
ROUND_SECONDS: Final = 20.0  # after which other processes may take a queue over
STOP_SECONDS: Final = 3.0
GIVE_BACK_SECONDS: Final = 2.0
# Longer than a round whose last post takes all of its time.
LEASE: Final = timedelta(seconds=ROUND_SECONDS + POST_SECONDS + 25)
ALLOWED: Final = timedelta(days=3)  # for which a receiver may fail
# An event waits by its own failures, and its webhook by those of all its events.
OF_EVENT: Final = Backoff(timedelta(seconds=5), timedelta(hours=1))
OF_WEBHOOK: Final = Backoff(timedelta(seconds=1), timedelta(minutes=1))
OUTCOME: Final = "lockstep.webhook.outcome"
TAKEN: Final = "taken"
FAILED: Final = "failed"

log = structlog.get_logger("lockstep.webhooks")


@dataclass(frozen=True, slots=True)
class _Noted:
    """What an attempt has made of its webhook."""

    pause: timedelta
    disabled_reason: str | None = None


class WebhookSender(BackgroundTask, Loop):
    """Works on the queues of webhooks, each in a task of its own.

    Args:
        database: Auth's database.
        secrets: Opens the secrets of webhooks.
        client: Posts to webhooks.
        meter: Creates the metrics.
    """

    def __init__(
        self,
        database: Database,
        secrets: WebhookSecrets,
        client: WebhookClient,
        meter: Meter = NO_METER,
    ) -> None:
        super().__init__(self._run, name="webhook-sender")
        self.pulse = Pulse(self._name)
        self._database = database
        self._secrets = secrets
        self._client = client
        self._rounds: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()
        self._is_stopping = False
        self._attempts = create_counter(
            meter,
            "lockstep.webhook.attempts",
            unit="{attempt}",
            description="Attempts to send an event to a webhook",
            attributes=[{OUTCOME: each} for each in (TAKEN, FAILED)],
        )

    async def restart(self) -> None:
        """Look anew, when a look has not ended. Rounds have an end of their own."""
        await end(self._task)
        await self._database.abandon(CLAIM)
        if not self._is_stopping:
            self.start()

    async def stop(self) -> None:
        """End. A post in flight gets a few seconds more, then its event is due again."""
        self._is_stopping = True
        await super().stop()
        if self._rounds:
            _, late = await asyncio.wait(self._rounds, timeout=STOP_SECONDS)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=2 * GIVE_BACK_SECONDS)

    def wake(self) -> None:
        """Look at once."""
        self._woken.set()

    async def _run(self) -> None:
        while True:
            try:
                for webhook in await self._database.transact(CLAIM, self._claim):
                    round_ = asyncio.create_task(self._round(webhook), name="webhook-round")
                    self._rounds.add(round_)
                    round_.add_done_callback(self._rounds.discard)
                self.pulse.beat()
            except DatabaseUnavailable:
                log.warning("cannot look for webhooks")
            except Exception:
                log.exception("cannot look for webhooks")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS * random.uniform(0.8, 1.2)):
                    await self._woken.wait()
            self._woken.clear()

    async def _claim(self, tx: Transaction) -> list[ClaimedWebhook]:
        return await webhook_rounds.claim(tx, lease=LEASE, limit=webhooks.WEBHOOKS_MAX)

    async def _round(self, webhook: ClaimedWebhook) -> None:
        """Send what is due at a webhook, until it fails or its time is over."""
        pause = OF_WEBHOOK.longest
        try:
            pause = await self._send_due(webhook)
        except asyncio.CancelledError:
            pause = timedelta()
            raise
        except DatabaseUnavailable:
            log.warning("cannot work on a webhook", webhook=str(webhook.id))
        except Exception:
            log.exception("cannot work on a webhook", webhook=str(webhook.id))
        finally:
            await self._give_back(webhook.id, pause)

    async def _send_due(self, webhook: ClaimedWebhook) -> timedelta:
        signers = self._secrets.open(webhook.sealed)[: 2 if webhook.has_old_secret else 1]
        until = time.monotonic() + ROUND_SECONDS
        while time.monotonic() < until and not self._is_stopping:
            delivery = await deliveries.next_due(self._database, webhook.id)
            if delivery is None:
                return timedelta(seconds=POLL_SECONDS / 2)
            headers = signed_headers(signers, message_id=str(delivery.event_id), body=delivery.body)
            outcome = await self._client.post(webhook.url, delivery.body.encode(), headers)
            noted = await self._note(webhook.id, delivery, outcome)
            if noted.pause:
                return noted.pause
        return timedelta()

    async def _note(self, webhook_id: UUID, delivery: Delivery, outcome: PostOutcome) -> _Noted:
        attempt = Attempt(
            webhook_id=webhook_id,
            event_id=delivery.event_id,
            status=outcome.status,
            error=outcome.error,
            pause=OF_EVENT.after(delivery.attempts + 1),
            allowed=ALLOWED,
        )

        async def work(tx: Transaction) -> _Noted:
            noted = await self._note_of_webhook(tx, webhook_id, outcome)
            await deliveries.note(tx, attempt)
            return noted

        noted = await self._database.transact("webhook.note", work)
        self._attempts.add(1, {OUTCOME: FAILED if outcome.error else TAKEN})
        if outcome.error:
            log.warning("webhook failed", webhook=str(webhook_id), error=outcome.error)
        if noted.disabled_reason:
            reason = noted.disabled_reason
            log.error("webhook disabled", webhook=str(webhook_id), reason=reason)
        return noted

    async def _note_of_webhook(
        self, tx: Transaction, webhook_id: UUID, outcome: PostOutcome
    ) -> _Noted:
        if outcome.error is None:
            await webhook_rounds.succeed(tx, webhook_id)
            return _Noted(timedelta())
        state = await webhook_rounds.fail(tx, webhook_id, allowed=ALLOWED)
        pause = OF_WEBHOOK.after(1 if state is None else state.failures)
        if state is None or not state.is_enabled:
            return _Noted(pause)
        is_gone = outcome.status == HTTPStatus.GONE
        if not is_gone and not state.has_failed_long:
            return _Noted(pause)
        reason = webhooks.BY_GONE if is_gone else webhooks.BY_FAILURES
        await webhooks.disable(tx, webhook_id, reason=reason)
        await tell(tx, events.webhook_disabled(webhook_id))
        return _Noted(pause, reason)

    async def _give_back(self, webhook_id: UUID, pause: timedelta) -> None:
        async def work(tx: Transaction) -> None:
            await webhook_rounds.end_round(tx, webhook_id, pause=pause)

        try:
            async with asyncio.timeout(GIVE_BACK_SECONDS):
                await self._database.transact("webhook.give_back", work)
        except (DatabaseUnavailable, TimeoutError):  # it is due again after its lease
            log.warning("cannot give a webhook back", webhook=str(webhook_id))
        if not pause:
            self.wake()
