"""The receiver of webhooks: it takes posts in the place of an HTTP server, with the faults."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from services.auth.domain.webhook_client import POST_SECONDS, PostOutcome
from tests.faults.edges import DOWN_SECONDS, Actor, Run

NAME = "receiver"
TAKEN = PostOutcome(status=204)
REFUSED = PostOutcome(error="connection failed")
BROKEN = PostOutcome(error="broken answer")
# What a proxy says when it has lost the answer.
GARBLED = PostOutcome(status=502, error="status 502")


class Receiver(Protocol):
    """Somebody who looks at what is posted."""

    @contextmanager
    def posting(self, actor: Actor, event_id: str) -> Iterator[None]:
        """Note that an actor posts an event until the context ends."""

    def arrive(self, event_id: str, body: str) -> None:
        """Note that an event has arrived."""


class Stage(Protocol):
    """The place where posts go."""

    run: Run
    look: Any


class Endpoint:
    """Posts to the receiver for one actor; stands for the actor's `WebhookClient`."""

    def __init__(self, stage: Stage, actor: Actor) -> None:
        self._stage = stage
        self._actor = actor

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> PostOutcome:
        """Post, and return what came of it."""
        run, receiver = self._stage.run, self._stage.look
        event_id = headers["webhook-id"]
        run.sent["a webhook"] += 1
        with receiver.posting(self._actor, event_id):
            fault = await run.at(self._actor, f"{self._actor.name}.post.request")
            failed = await self._request(fault, lambda: receiver.arrive(event_id, body.decode()))
            if failed is not None:
                return failed
            return await self._reply()

    async def _request(self, fault: str | None, arrive: Callable[[], None]) -> PostOutcome | None:
        """Let a post arrive, once or as often as the fault says; return how it failed."""
        run = self._stage.run

        async def later() -> None:
            arrive()

        match fault:
            case "lose":
                return await _silence()
            case "delay":
                run.late.append(later)
                return BROKEN
            case "again":
                run.late.append(later)
            case "twice":
                arrive()
            case "down":
                run.down.add(NAME)
                asyncio.get_running_loop().call_later(DOWN_SECONDS, run.down.discard, NAME)
        if fault == "refuse" or NAME in run.down:
            return REFUSED
        arrive()
        return None

    async def _reply(self) -> PostOutcome:
        match await self._stage.run.at(self._actor, f"{self._actor.name}.post.reply"):
            case "lose":
                return await _silence()
            case "reset":
                return BROKEN
            case "garble":
                return GARBLED
        return TAKEN


async def _silence() -> PostOutcome:
    await asyncio.sleep(POST_SECONDS)
    return PostOutcome(error="timed out")
