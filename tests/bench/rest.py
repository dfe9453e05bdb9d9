"""HTTP requests that differ from one another, sent several at once over kept connections."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tests.bench.load import JSON

LOST, GOOD_MAX, SERVER_ERROR = 0, 299, 500

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Request:
    """One request; without a body it is a GET."""

    path: str
    body: dict[str, Any] | None = None
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request, and the seconds that it took; LOST when there was none."""

    status: int
    body: bytes
    seconds: float

    @property
    def is_good(self) -> bool:
        """Whether the request was done."""
        return LOST < self.status <= GOOD_MAX

    def json(self) -> dict[str, Any]:
        """Return the body."""
        found: dict[str, Any] = json.loads(self.body)
        return found


async def send(endpoint: str, requests: Sequence[Request], *, at_once: int) -> list[Answer]:
    """Send requests over so many connections, and return the answers in their order."""
    answers: list[Answer | None] = [None] * len(requests)
    left = iter(enumerate(requests))

    async def work() -> None:
        connection = await _open(endpoint)
        for place, request in left:
            answers[place] = answer = await _ask(*connection, _text(endpoint, request))
            if answer.status == LOST or answer.status >= SERVER_ERROR:
                connection[1].close()  # a server may close a connection after an error
                connection = await _open(endpoint)
        connection[1].close()

    await asyncio.gather(*(work() for _ in range(min(at_once, len(requests)))))
    return [each for each in answers if each is not None]


async def repeat(
    endpoint: str, requests: Sequence[Request], *, seconds: float, at_once: int
) -> list[Answer]:
    """Send requests for some seconds, each at least once, and wait for every answer."""
    answers: list[Answer] = []
    end = time.perf_counter() + seconds

    async def work(text: bytes) -> None:
        connection = await _open(endpoint)
        while True:
            answers.append(await _ask(*connection, text))
            if answers[-1].status == LOST or time.perf_counter() >= end:
                break
        connection[1].close()

    texts = [_text(endpoint, request) for request in requests]
    await asyncio.gather(*(work(texts[place % len(texts)]) for place in range(at_once)))
    return answers


async def _open(endpoint: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(*endpoint.rsplit(":", 1))


def _text(endpoint: str, request: Request) -> bytes:
    def lines() -> Iterator[str]:
        yield f"{'GET' if request.body is None else 'POST'} {request.path} HTTP/1.1"
        yield f"host: {endpoint}"
        yield f"content-length: {len(body)}"
        yield from (f"{name}: {value}" for name, value in (*JSON, *request.headers))

    body = "" if request.body is None else json.dumps(request.body)
    return "\r\n".join([*lines(), "", body]).encode()


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, text: bytes) -> Answer:
    began = time.perf_counter()
    try:
        writer.write(text)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        body = await reader.readexactly(length)
    except (ConnectionError, asyncio.IncompleteReadError) as error:
        return Answer(LOST, repr(error).encode(), time.perf_counter() - began)
    return Answer(int(head.split(b" ", 2)[1]), body, time.perf_counter() - began)
