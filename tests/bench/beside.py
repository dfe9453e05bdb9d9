"""Lockstep beside another shop: the same work by turns, and what came out right."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from tests.bench import rest
from tests.bench.lab import Lab, p99
from tests.bench.load import IN_FLIGHT, Target, apply, with_length
from tests.bench.report import Finding, Ratio, at_most
from tests.bench.rest import Request
from tests.bench.shops import Shop
from tests.bench.stack import processor_seconds_each, proportional_bytes, spent

MEMORY_MIB_MAX = 250.0
ADDERS, BUYERS, LINES = 100, 50, 3
# Lockstep does a part of an order after its answer, such as the numbers of its events.
SETTLE_SECONDS = 0.5
IDLE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side did in one round.

    Attributes:
        cost: The processor time of a request in microseconds, of all processes that serve it.
        per_second: The requests a second.
        p99: The 99th percentile in milliseconds.
    """

    cost: float
    per_second: float
    p99: float


@dataclass(frozen=True, slots=True)
class Meter:
    """Reads the processor time of a shop since some moment."""

    shop: Shop
    before: Mapping[int, float]
    began: float

    @classmethod
    def begin(cls, shop: Shop) -> Meter:
        """Begin now."""
        return cls(shop, processor_seconds_each(shop.pids()), time.perf_counter())

    def used(self) -> float:
        """Return the seconds that its requests have taken: without what it takes when idle."""
        everything = spent(self.before, processor_seconds_each(self.shop.pids()))
        return everything - self.shop.idle * (time.perf_counter() - self.began)


Work = Callable[[Shop], Awaitable[Turn]]
Load = Callable[[Shop, Sequence[Request]], Awaitable[Turn]]


@dataclass(frozen=True, slots=True)
class Beside:
    """Lockstep and the shops that it is compared with.

    Attributes:
        lab: The lab.
        row: The name of the row.
        shops: The shops, of which the first is Lockstep.
    """

    lab: Lab
    row: str
    shops: Sequence[Shop]

    async def compare(self, name: str, work: Work, goal: float) -> Finding:
        """Let each shop do the work by turns; the ratio is that to the second shop."""
        rounds, _ = self.lab.rounds(0.0)
        turns: list[list[Turn]] = [[] for _ in self.shops]
        for turn in range(rounds + 1):
            self.lab.say(f"{name}, {turn} of {rounds}")
            for shop, taken in zip(self.shops, turns, strict=True):
                found = await work(shop)
                if turn:  # the first round warms up
                    taken.append(found)
        own, *others = turns
        ratio = Ratio.of([each.cost for each in own], [each.cost for each in others[0]])
        finding = at_most(self.row, name, _text(own), ratio, goal)
        return finding.with_peers(self._named([_text(each) for each in turns]))

    def memory(self) -> Finding:
        """Tell the memory of each."""

        def text(shop: Shop) -> str:
            pids = shop.own_pids()
            return f"{proportional_bytes(pids) / 2**20:.0f} MiB in {len(pids)} processes"

        texts = [text(shop) for shop in self.shops]
        mebibytes = proportional_bytes(self.shops[0].own_pids()) / 2**20
        return Finding(
            row=self.row,
            figure="memory of what serves, idle (PSS, without PostgreSQL)",
            measured=texts[0],
            ratio="",
            goal=f"< {MEMORY_MIB_MAX:.0f} MiB",
            is_met=mebibytes < MEMORY_MIB_MAX,
        ).with_peers(self._named(texts))

    def idle(self) -> Finding:
        """Tell the processor time that each takes when nobody asks it."""
        texts = [f"{100 * shop.idle:.1f}% of a core" for shop in self.shops]
        finding = Finding(self.row, "processor time when idle", texts[0], "", "", is_met=None)
        return finding.with_peers(self._named(texts))

    async def kept(self) -> Finding:
        """Add to one cart many times at once, and count what each shop kept."""
        kept = []
        for shop in self.shops:
            await shop.empty_carts()
            who = shop.people[0]
            await shop.send([shop.adding(who, shop.products[0])])
            many = [shop.adding(who, shop.products[0])] * ADDERS
            await rest.send(shop.endpoint, many, at_once=ADDERS)
            kept.append(await shop.quantity(who) - 1)
        texts = [f"{count} kept" for count in kept]
        name = f"{ADDERS} parallel adds to one cart"
        return self._right(name, texts, is_met=kept[0] == ADDERS)

    async def sold(self) -> Finding:
        """Let many buy one thing that is there once, and count who got it."""
        sold = []
        for shop in self.shops:
            await shop.empty_carts()
            product, people = shop.products[-1], shop.people[:BUYERS]
            await shop.set_stock(product, 1)
            await shop.send([shop.adding(who, product) for who in people])
            sold.append(await shop.buy(people))
        texts = [f"{count} got it" for count in sold]
        return self._right(f"{BUYERS} buyers of the last item", texts, is_met=sold[0] == 1)

    def _right(self, figure: str, texts: Sequence[str], *, is_met: bool) -> Finding:
        finding = Finding(self.row, figure, texts[0], "", "all right", is_met=is_met)
        return finding.with_peers(self._named(texts))

    def _named(self, texts: Sequence[str]) -> dict[str, str]:
        """Return the texts of the peers by their names; the first shop is Lockstep."""
        return {shop.name: text for shop, text in zip(self.shops[1:], texts[1:], strict=True)}


async def with_idle(lab: Lab, shop: Shop) -> Shop:
    """Return a shop with the processor time that it takes when nobody asks it."""
    lab.say(f"{shop.name}, idle")
    await asyncio.sleep(SETTLE_SECONDS)
    meter = Meter.begin(shop)
    await asyncio.sleep(IDLE_SECONDS)
    return replace(shop, idle=meter.used() / IDLE_SECONDS)


async def one_product(shop: Shop, *, load: Load) -> Turn:
    """Read one product again and again."""
    return await load(shop, [shop.one_product])


async def a_page(shop: Shop, *, load: Load) -> Turn:
    """Read the first page again and again."""
    return await load(shop, [shop.page])


async def adding(shop: Shop, *, load: Load) -> Turn:
    """Let people add to carts of some lines."""
    people = shop.people[:IN_FLIGHT]
    await shop.empty_carts()
    for product in shop.products[:LINES]:  # one after the other: carts are not made twice
        await shop.send([shop.adding(who, product) for who in people])
    return await load(shop, [shop.adding(who, shop.products[0]) for who in people])


async def by_generator(shop: Shop, requests: Sequence[Request], *, seconds: float) -> Turn:
    """Let the load generator send requests, for shops that answer many in that time."""
    measured = [await with_length(_target(shop, request)) for request in requests]
    meter = Meter.begin(shop)
    load = await apply(measured, seconds=seconds)
    used = meter.used()
    return Turn(1e6 * used / load.requests, load.per_second, load.p99)


async def to_the_end(shop: Shop, requests: Sequence[Request], *, seconds: float) -> Turn:
    """Send requests, and wait for every answer.

    The load generator drops the last ones. A shop that takes a tenth of a second for a request
    would work on for what nobody counts.
    """
    meter, began = Meter.begin(shop), time.perf_counter()
    answers = await rest.repeat(shop.endpoint, requests, seconds=seconds, at_once=IN_FLIGHT)
    took, used = time.perf_counter() - began, meter.used()
    shop.check(answers)
    slow = 1000 * p99([answer.seconds for answer in answers])
    return Turn(1e6 * used / len(answers), len(answers) / took, slow)


def _target(shop: Shop, request: Request) -> Target:
    body = None if request.body is None else json.dumps(request.body)
    return Target(endpoint=shop.endpoint, path=request.path, body=body, headers=request.headers)


def _text(turns: Sequence[Turn]) -> str:
    cost, rate, slow = (
        statistics.median(getattr(turn, name) for turn in turns)
        for name in ("cost", "per_second", "p99")
    )
    return f"{cost:,.0f} us, {rate:,.0f}/s, p99 {slow:,.0f} ms"
