"""The relay of one service's events: it watches them, and appends them to the stream."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import Final

import structlog
from lockstep.events.v1 import event_pb2 as event_pb
from lockstep_clients import LockstepError, OutOfRange
from lockstep_clients.events import WatchEvents
from nats.errors import Error as NatsError
from opentelemetry.metrics import CallbackOptions, Counter, Meter, Observation

from services.kernel.tasks import BackgroundTask
from services.kernel.tasks import end as end_of
from services.relay.stream import End, EventStream, StreamMovedError

SERVICE: Final = "lockstep.service"
PAGE_SIZE: Final = 100
PAUSE_SECONDS: Final = 1.0
STANDBY_SECONDS: Final = 2.0
LOST: Final = (
    "events after the last one in the stream are no longer kept: let their readers read the state "
    "anew, then start the relay with `--from-first {service}`"
)

log = structlog.get_logger("lockstep.relay")

OpenStream = Callable[[], EventStream]
"""Returns the stream of the service; it raises an error of NATS without a connection."""


class Relay(BackgroundTask):
    """Publishes the events of one service, in their order, for ever.

    Args:
        service: The name of the service.
        types: The types of events that are known.
        watch_events: WatchEvents of the service.
        open_stream: Opens the stream.
        published: Counts what is published.
        from_first: Whether to go on with the first event that is kept, if later ones are lost.

    Attributes:
        trouble: Why the relay does not work; None: it works, or stands by for another one.
    """

    def __init__(
        self,
        service: str,
        types: Collection[str],
        watch_events: WatchEvents,
        open_stream: OpenStream,
        published: Counter,
        *,
        from_first: bool = False,
    ) -> None:
        super().__init__(self._run, name=f"relay of {service}")
        self.service: Final = service
        self.trouble: str | None = "starting"
        self._types = types
        self._watch_events = watch_events
        self._open_stream = open_stream
        self._published = published
        self._from_first = from_first
        self._skips = False
        self._stream: EventStream | None = None
        self._end: End | None = None
        # The time of the oldest event that waits, or since when nothing is known; None: none waits.
        self._behind_since: float | None = time.time()

    @property
    def behind_seconds(self) -> float:
        """How long the oldest event has waited, or the relay has not been able to look."""
        since = self._behind_since
        return 0.0 if since is None else max(0.0, time.time() - since)

    async def stop(self) -> None:
        """Cancel the task. What is on its way counts if the stream has it."""
        await end_of(self._task)

    async def _run(self) -> None:
        while True:
            try:
                await self._work()
                continue
            except OutOfRange as error:
                self._skips, self._from_first = self._from_first, False
                self._note(LOST.format(service=self.service), error)
            except LockstepError as error:
                self._note(f"cannot watch the events of {self.service}", error)
            except (NatsError, TimeoutError, OSError) as error:
                self._note(f"cannot publish the events of {self.service}", error)
            except Exception as error:
                log.exception("unexpected", service=self.service)
                self._note(f"cannot relay the events of {self.service}", error)
            self._end = None
            await asyncio.sleep(PAUSE_SECONDS * random.uniform(0.8, 1.2))

    async def _work(self) -> None:
        """Publish what one watch brings, or stand by while another relay publishes."""
        if self._stream is None or self._end is None:
            self._stream = self._open_stream()
            self._end = await self._stream.open(self._types)
            if self._skips:
                self._skips, self._end = False, replace(self._end, cursor="")
        try:
            await self._follow(self._stream, self._end)
        except StreamMovedError:
            log.info("standing by", service=self.service)
            self._end = None
            self._is_well(())
            await self._stand_by(self._stream)

    async def _follow(self, stream: EventStream, end: End) -> None:
        call = self._watch_events(
            event_pb.WatchEventsRequest(after=end.cursor, page_size=PAGE_SIZE)
        )
        try:
            async for page in call:
                if page.events:
                    self._behind_since = time_of(page.events[0])
                    end = self._end = await stream.append(page.events, end)
                    self._published.add(len(page.events), {SERVICE: self.service})
                self._is_well(page.events)
        finally:
            call.cancel()

    async def _stand_by(self, stream: EventStream) -> None:
        """Wait until the stream has not grown for a while."""
        before: End | None = None
        while (end := await stream.open(self._types)) != before:
            before = end
            await asyncio.sleep(STANDBY_SECONDS * random.uniform(0.8, 1.2))

    def _is_well(self, done: Sequence[event_pb.Event]) -> None:
        self.trouble = None
        # After a full page there are more, which are as old as its last one, or younger.
        self._behind_since = time_of(done[-1]) if len(done) == PAGE_SIZE else None

    def _note(self, trouble: str, error: Exception) -> None:
        if trouble != self.trouble:
            log.warning(trouble, error=str(error) or type(error).__name__)
        self.trouble = trouble
        if self._behind_since is None:
            self._behind_since = time.time()


def time_of(event: event_pb.Event) -> float:
    """Return when an event was written down, in seconds since the epoch."""
    return event.create_time.ToNanoseconds() / 1e9


def measure(relays: Sequence[Relay], meter: Meter) -> None:
    """Measure how far the relays are behind."""

    def behind(_: CallbackOptions) -> Iterable[Observation]:
        return [Observation(each.behind_seconds, {SERVICE: each.service}) for each in relays]

    meter.create_observable_gauge(
        "lockstep.relay.behind",
        callbacks=[behind],
        unit="s",
        description="How long the oldest event has waited for its publication",
    )
