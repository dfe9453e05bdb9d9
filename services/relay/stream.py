"""The stream of one service's events in JetStream.

The last message of the stream tells where the relay was: it has the cursor after its event. So
to publish an event is to mark it as published, and nothing is kept elsewhere. Each message names
the number that the stream must have reached before it. So a relay that is late, or a second one,
adds nothing twice and nothing in another order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from lockstep.events.v1 import event_pb2 as event_pb
from nats.js import JetStreamContext
from nats.js.api import Header, StreamConfig, StreamInfo
from nats.js.errors import APIError, NotFoundError

ACK_SECONDS: Final = 10.0
DUPLICATE_SECONDS: Final = 120.0
WRONG_LAST_SEQUENCE: Final = 10071
CURSOR: Final = "lockstep-cursor"
DAY_SECONDS: Final = 86_400.0


class StreamMovedError(Exception):
    """The stream does not end where it was thought to end: another relay is at work."""


@dataclass(frozen=True, slots=True)
class End:
    """The end of a stream.

    Attributes:
        sequence: The number of its last message; 0 before the first.
        cursor: The cursor after the event of that message; empty when there is no message.
    """

    sequence: int
    cursor: str


class EventStream:
    """Appends the events of a service to its stream.

    Args:
        jetstream: The connection.
        service: The service.
        kept_days: How long the stream keeps messages.
        replicas: How many servers of a cluster keep them.
    """

    def __init__(
        self, jetstream: JetStreamContext, service: str, *, kept_days: int, replicas: int
    ) -> None:
        self._jetstream = jetstream
        self._service = service
        self._subjects = frozenset[str]()
        self._config = StreamConfig(
            name=f"LOCKSTEP_{service.upper()}",
            description=f"What has happened in {service}",
            max_age=kept_days * DAY_SECONDS,
            num_replicas=replicas,
            duplicate_window=DUPLICATE_SECONDS,
            allow_direct=True,
        )

    async def open(self, types: Collection[str]) -> End:
        """Make the stream, or let it take these types of events as well; return its end."""
        info = await self._made(types)
        subjects = set(info.config.subjects or ())
        if not subjects.issuperset(types):
            subjects.update(types)
            info = await self._jetstream.update_stream(info.config, subjects=sorted(subjects))
        self._subjects = frozenset(subjects)
        return await self._end(info.state.last_seq)

    async def append(self, events: Sequence[event_pb.Event], end: End) -> End:
        """Publish events behind the end of the stream, and return the new end.

        Raises:
            StreamMovedError: The stream does not end there, or has one of these events.
            TimeoutError: JetStream did not answer in time.
        """
        if not self._subjects.issuperset(event.type for event in events):  # of a newer service
            await self.open({*self._subjects, *(event.type for event in events)})
        async with asyncio.timeout(ACK_SECONDS):
            sent = [
                await self._jetstream.publish_async(
                    event.type,
                    event.payload.value,
                    headers=self._headers(event, end.sequence + place),
                )
                for place, event in enumerate(events)
            ]
            acks = await asyncio.gather(*sent, return_exceptions=True)
        for ack in acks:
            if isinstance(ack, APIError) and ack.err_code == WRONG_LAST_SEQUENCE:
                raise StreamMovedError from ack
            if isinstance(ack, BaseException):
                raise ack
            if ack.duplicate:
                raise StreamMovedError
        return End(end.sequence + len(events), events[-1].cursor)

    def _headers(self, event: event_pb.Event, last: int) -> dict[str, str]:
        """Return the headers: those of CloudEvents 1.0 (binary), and those of JetStream."""
        headers = {
            "ce-specversion": "1.0",
            "ce-id": event.id,
            "ce-source": f"/lockstep/{self._service}",
            "ce-type": event.type,
            "ce-subject": event.subject,
            "ce-time": event.create_time.ToJsonString(),
            "content-type": "application/protobuf",
            CURSOR: event.cursor,
            Header.MSG_ID: event.id,
            Header.EXPECTED_LAST_SEQUENCE: str(last),
        }
        # Extensions of CloudEvents have names in lower case, without separators.
        further = {"ce-sagaid": event.saga_id, "ce-traceid": event.trace_id}
        return headers | {name: value for name, value in further.items() if value}

    async def _made(self, types: Collection[str]) -> StreamInfo:
        try:
            return await self._jetstream.stream_info(str(self._config.name))
        except NotFoundError:
            return await self._jetstream.add_stream(self._config, subjects=sorted(types))

    async def _end(self, sequence: int) -> End:
        if not sequence:
            return End(0, "")
        try:
            last = await self._jetstream.get_msg(str(self._config.name), sequence)
        except NotFoundError:  # it was removed, for its age or by an operator
            return End(sequence, "")
        return End(sequence, (last.headers or {}).get(CURSOR, ""))
