"""People who read, register and buy through the edge, and remember what they were told."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import httpx

from services.kernel.ids import new_id
from tests.databases.load import PASSWORD, Load
from tests.deploy.edge import Edge

# People look at what they got; without a pause they would measure the machine.
PAUSE_SECONDS: Final = 0.05
# A repeat with the same key may be made at any time, and after a fault the first may come too soon.
REPEAT_SECONDS: Final = 0.3
REPEATED_SECONDS_MAX: Final = 60.0
GO_ON_SECONDS_MAX: Final = 120.0
TIMEOUT_SECONDS: Final = 20.0
BUYERS: Final = 2
# After these nobody knows whether a request has taken effect; see docs/errors.md.
DOUBTFUL: Final = frozenset({409, 429, 502, 503, 504})

Ask = Callable[[], Awaitable[None]]


@dataclass
class Tally:
    """How the requests of one sort have ended.

    Attributes:
        name: What was asked.
        is_read: Whether it changes nothing. Nobody repeats it: the edge does.
        sent: How many have ended; a repeat is no request of its own.
        repeats: How often one was sent again, with the same idempotency key.
        failed: The failures, by what was answered.
        longest_seconds: The longest time until an answer, repeats included.
    """

    name: str
    is_read: bool
    sent: int = 0
    repeats: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    longest_seconds: float = 0.0


@dataclass
class Crowd:
    """The people.

    Attributes:
        registered: The ids of the users who were told that they exist.
        ordered: The ids of the orders that were acknowledged.
    """

    edge: Edge
    judge: Load
    registered: set[str] = field(default_factory=set)
    ordered: set[str] = field(default_factory=set)
    tallies: list[Tally] = field(default_factory=list)
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _is_over: bool = False

    async def start(self) -> None:
        """Make buyers, and let everybody ask without end."""
        await asyncio.to_thread(self.judge.sell)
        client = await self._client()
        for name, path in (
            ("GET product", f"/v1/products/{self.judge.product}"),
            ("GET products", "/v1/products?limit=10"),
        ):
            self._begin(name, partial(_read, client, path))
        for number in range(BUYERS):
            await self._enter_buyer(number)
        registering = await self._client()
        numbers = itertools.count()
        self._begin_writing(
            "POST register", lambda tally: self._register(registering, tally, next(numbers))
        )

    async def _enter_buyer(self, number: int) -> None:
        client = await self._client()
        email = f"buyer{number}-{new_id()}@example.com"
        made = await client.post("/v1/auth/register", json=_person(email))
        user_id = str(made.raise_for_status().json()["user"]["id"])
        await asyncio.to_thread(self.judge.fund, user_id)
        proof = {"email": email, "password": PASSWORD}
        token = (await client.post("/v1/auth/login", json=proof)).raise_for_status().json()["token"]
        client.headers["Authorization"] = f"Bearer {token}"
        for path in (f"/v1/users/{user_id}", f"/v1/profiles/{user_id}", "/v1/cart"):
            self._begin(f"GET {path.split('/')[2]}", partial(_read, client, path))
        self._begin_writing("POST order", lambda tally: self._buy(client, tally))

    async def go_on(self, answers: int) -> None:
        """Wait until each sort of request has so many more successes."""
        wanted = [(each, _successes(each) + answers) for each in self.tallies]
        async with asyncio.timeout(GO_ON_SECONDS_MAX):
            while any(_successes(each) < least for each, least in wanted):
                self._raise_bugs()
                await asyncio.sleep(0.05)

    def forget(self) -> None:
        """Begin to count anew."""
        for each in self.tallies:
            each.sent = each.repeats = 0
            each.failed, each.longest_seconds = Counter(), 0.0

    def failures(self) -> list[str]:
        """Return what failed, in a line each."""
        return [
            f"{tally.name}: {times} times {failure}"
            for tally in self.tallies
            for failure, times in tally.failed.items()
        ]

    async def stop(self) -> None:
        """Let everybody have the last answer, and go."""
        self._is_over = True
        try:
            async with asyncio.timeout(REPEATED_SECONDS_MAX + TIMEOUT_SECONDS):
                await asyncio.gather(*self._tasks)
        finally:
            for task in self._tasks:
                task.cancel()
            await self._stack.aclose()

    def _begin(self, name: str, ask: Callable[[], Awaitable[str | None]]) -> None:
        tally = self._tally(name, is_read=True)

        async def once() -> None:
            failure = await ask()
            tally.sent += 1
            if failure is not None:
                tally.failed[failure] += 1

        self._tasks.append(asyncio.create_task(self._always(tally, once)))

    def _begin_writing(self, name: str, ask: Callable[[Tally], Awaitable[None]]) -> None:
        tally = self._tally(name, is_read=False)
        self._tasks.append(asyncio.create_task(self._always(tally, lambda: ask(tally))))

    def _tally(self, name: str, *, is_read: bool) -> Tally:
        for each in self.tallies:
            if each.name == name:
                return each
        self.tallies.append(Tally(name, is_read))
        return self.tallies[-1]

    async def _always(self, tally: Tally, ask: Ask) -> None:
        while not self._is_over:
            began = time.monotonic()
            await ask()
            tally.longest_seconds = max(tally.longest_seconds, time.monotonic() - began)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _register(self, client: httpx.AsyncClient, tally: Tally, number: int) -> None:
        email = f"c{number}-{self.judge.product}@example.com"
        made = await _write(client, tally, "/v1/auth/register", _person(email))
        if made is not None:
            self.registered.add(str(made["user"]["id"]))

    async def _buy(self, client: httpx.AsyncClient, tally: Tally) -> None:
        item = {"productId": str(self.judge.product), "quantity": 1}
        if await _write(client, tally, "/v1/cart/items", item) is None:
            return
        order = await _write(client, tally, "/v1/orders", {})
        if order is not None:
            self.ordered.add(str(order["id"]))

    async def _client(self) -> httpx.AsyncClient:
        return await self._stack.enter_async_context(
            httpx.AsyncClient(
                base_url=self.edge.url, verify=self.edge.trusted(), timeout=TIMEOUT_SECONDS
            )
        )

    def _raise_bugs(self) -> None:
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.result()


async def _read(client: httpx.AsyncClient, path: str) -> str | None:
    """Read once; return the failure."""
    try:
        answer = await client.get(path)
    except httpx.HTTPError as error:
        return repr(error)
    return None if answer.status_code == 200 else f"{answer.status_code} {answer.text[:200]}"


async def _write(
    client: httpx.AsyncClient, tally: Tally, path: str, body: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Write, again and again by the same key while nobody knows; return the answer, or None."""
    headers = {"Idempotency-Key": str(new_id())}
    end = time.monotonic() + REPEATED_SECONDS_MAX
    while True:
        failure = ""
        try:
            answer = await client.post(path, json=body, headers=headers)
        except httpx.HTTPError as error:
            failure = repr(error)
        else:
            if answer.is_success:
                tally.sent += 1
                made: dict[str, Any] = answer.json()
                return made
            failure = f"{answer.status_code} {answer.text[:200]}"
            if answer.status_code not in DOUBTFUL:
                end = 0.0
        if time.monotonic() > end:
            tally.sent += 1
            tally.failed[failure] += 1
            return None
        tally.repeats += 1
        await asyncio.sleep(REPEAT_SECONDS)


def _person(email: str) -> dict[str, str]:
    return {
        "email": email,
        "password": PASSWORD,
        "fullName": "Ada Lovelace",
        "course": "Analysis",
    }


def _successes(tally: Tally) -> int:
    return tally.sent - tally.failed.total()


@contextlib.asynccontextmanager
async def crowd(edge: Edge, urls: Mapping[str, str]) -> AsyncIterator[Crowd]:
    """Have people ask until the context ends."""
    made = Crowd(edge, Load({}, urls, "crowd"))
    await made.start()
    try:
        await made.go_on(3)
        yield made
    finally:
        await made.stop()
