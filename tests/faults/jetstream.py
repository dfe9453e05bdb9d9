"""JetStream, in the place of a NATS server: one stream that relays append to, with the faults.

It does what `nats-server` does with the headers that a relay sends: it drops an id that it has
seen lately, and refuses a message that does not come next. `tests/relay` has the real one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

from nats.errors import ConnectionClosedError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.api import (
    Header,
    PubAck,
    RawStreamMsg,
    StreamConfig,
    StreamInfo,
    StreamState,
)
from nats.js.errors import APIError, NotFoundError, ServiceUnavailableError

from services.relay.stream import DUPLICATE_SECONDS, WRONG_LAST_SEQUENCE
from tests.faults.edges import DOWN_SECONDS, Actor, Run

NAME = "nats"
REQUEST_SECONDS = 5.0

T = TypeVar("T")


@dataclass
class Broker:
    """What a server keeps, whoever is connected.

    Attributes:
        on_message: Called with the headers of each message that it takes.
        messages: The messages of the stream.
    """

    on_message: Callable[[Mapping[str, str]], None]
    messages: list[RawStreamMsg] = field(default_factory=list)
    config: StreamConfig | None = None
    seen: dict[str, float] = field(default_factory=dict)

    def info(self) -> StreamInfo:
        if self.config is None:
            raise NotFoundError
        last = len(self.messages)
        state = StreamState(
            messages=last, bytes=0, first_seq=min(last, 1), last_seq=last, consumer_count=0
        )
        return StreamInfo(config=self.config, state=state)

    def change(self, config: StreamConfig) -> StreamInfo:
        self.config = config
        return self.info()

    def get(self, number: int) -> RawStreamMsg:
        if not 0 < number <= len(self.messages):
            raise NotFoundError
        return self.messages[number - 1]

    def take(self, subject: str, data: bytes, headers: Mapping[str, str]) -> PubAck:
        """Append a message, if it is new and comes next."""
        stream, last = str(self.info().config.name), len(self.messages)
        now = asyncio.get_running_loop().time()
        message_id = headers.get(Header.MSG_ID, "")
        if message_id and now - self.seen.get(message_id, -DUPLICATE_SECONDS) < DUPLICATE_SECONDS:
            return PubAck(stream=stream, seq=last, duplicate=True)
        if int(headers.get(Header.EXPECTED_LAST_SEQUENCE, last)) != last:
            raise APIError(code=400, err_code=WRONG_LAST_SEQUENCE)
        self.on_message(headers)
        self.seen[message_id] = now
        self.messages.append(
            RawStreamMsg(subject=subject, seq=last + 1, data=data, headers=dict(headers))
        )
        return PubAck(stream=stream, seq=last + 1)


class Stage(Protocol):
    """The place where messages go."""

    run: Run
    look: Any


class JetStream:
    """Talks to the broker for one actor; stands for nats-py's `JetStreamContext`."""

    def __init__(self, stage: Stage, actor: Actor) -> None:
        self._stage = stage
        self._actor = actor

    async def stream_info(self, name: str) -> StreamInfo:
        return await self._ask("stream_info", self._broker.info)

    async def add_stream(self, config: StreamConfig, *, subjects: list[str]) -> StreamInfo:
        made = replace(config, subjects=subjects)
        return await self._ask("add_stream", lambda: self._broker.change(made))

    async def update_stream(self, config: StreamConfig, *, subjects: list[str]) -> StreamInfo:
        made = replace(config, subjects=subjects)
        return await self._ask("update_stream", lambda: self._broker.change(made))

    async def get_msg(self, name: str, number: int) -> RawStreamMsg:
        return await self._ask("get_msg", lambda: self._broker.get(number))

    async def publish_async(
        self, subject: str, payload: bytes, *, headers: Mapping[str, str]
    ) -> asyncio.Future[PubAck]:
        """Send a message, and return what will tell whether it was taken."""
        broker = self._broker
        sent = await self._request("publish", lambda: broker.take(subject, payload, headers))
        return asyncio.ensure_future(self._reply("publish", sent))

    @property
    def _broker(self) -> Broker:
        broker: Broker = self._stage.look.broker
        return broker

    async def _ask(self, name: str, act: Callable[[], T]) -> T:
        return await self._reply(name, await self._request(name, act))

    async def _request(self, name: str, act: Callable[[], T]) -> Callable[[], T]:
        """Let a request arrive, once or as often as the fault says; return its answer."""
        run, is_answered = self._stage.run, True

        async def later() -> None:
            _answer_of(act)

        run.sent[f"{NAME} {name}"] += 1
        match await run.at(self._actor, f"{self._actor.name}.{name}.request"):
            case "lose" | "refuse":
                is_answered = False
            case "delay":
                run.late.append(later)
                is_answered = False
            case "again":
                run.late.append(later)
            case "twice":
                _answer_of(act)
            case "down":
                run.down.add(NAME)
                asyncio.get_running_loop().call_later(DOWN_SECONDS, run.down.discard, NAME)
        is_answered = is_answered and NAME not in run.down
        return _answer_of(act) if is_answered else _raising(NatsTimeoutError())

    async def _reply(self, name: str, answer: Callable[[], T]) -> T:
        match await self._stage.run.at(self._actor, f"{self._actor.name}.{name}.reply"):
            case "lose":
                answer = _raising(NatsTimeoutError())
            case "reset":
                raise ConnectionClosedError
            case "garble":
                raise ServiceUnavailableError
        try:
            return answer()
        except NatsTimeoutError:
            await asyncio.sleep(REQUEST_SECONDS)
            raise


def _answer_of(act: Callable[[], T]) -> Callable[[], T]:
    """Do what is asked, and return the answer."""
    try:
        found = act()
    except APIError as error:
        return _raising(error)
    return lambda: found


def _raising(error: Exception) -> Callable[[], Any]:
    def answer() -> Any:
        raise error

    return answer
