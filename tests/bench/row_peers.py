"""Lockstep beside a naive FastAPI monolith: the same requests, load and PostgreSQL, in turns."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial

from tests.bench import rest
from tests.bench.lab import CHEAP, Lab, p99
from tests.bench.load import IN_FLIGHT, Target, apply, with_length
from tests.bench.report import Finding, Ratio, at_most
from tests.bench.rest import Request
from tests.bench.shops import PASSWORD_COST, Shop, lockstep_shop, peer_shop, sign_up
from tests.bench.stack import StackError, processor_seconds_each, proportional_bytes, spent

# By request: the most of the peer's processor time that it may take.
GOALS = {
    "one product": 0.60,
    "a page of 20 with the total": 0.60,
    "add to a cart of three lines": 1.00,
    "place an order": 1.00,
    "register, bcrypt of cost 12": 1.05,
}
MEMORY_MIB_MAX = 250.0
ADDERS, BUYERS, BUYING, LINES = 100, 50, 64, 3
REGISTRATIONS, QUICK_REGISTRATIONS, HASHES_AT_ONCE = 32, 8, 2
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


async def peers(lab: Lab) -> list[Finding]:
    """Compare reads, carts, orders and registrations, the memory, and what came out right."""
    rounds, seconds = lab.rounds(3.0)
    works: dict[str, Work] = {
        "one product": partial(_get, path="/products/{product}", seconds=seconds),
        "a page of 20 with the total": partial(_get, path="/products", seconds=seconds),
        "add to a cart of three lines": partial(_add, seconds=seconds),
        "place an order": _order,
    }
    findings = []
    async with AsyncExitStack() as opened:
        shops = await _open(lab, opened, **CHEAP)
        idle = [_memory(shops), _idle(shops)]
        for name, work in works.items():
            findings.append(await _compare(lab, name, work, shops, rounds))
        lab.say("parallel adds and the last item")
        findings += [await _kept(shops), await _sold(shops)]
    return [*findings, await _registrations(lab, rounds), *idle]


async def _registrations(lab: Lab, rounds: int) -> Finding:
    """Compare registrations, with hashes as people have them."""
    name = f"register, bcrypt of cost {PASSWORD_COST}"
    number = QUICK_REGISTRATIONS if lab.is_quick else REGISTRATIONS
    try:
        async with AsyncExitStack() as opened:
            shops = await _open(lab, opened)
            return await _compare(lab, name, partial(_register, number=number), shops, rounds)
    except StackError as error:  # Lockstep hashes by what others leave of the cores
        return Finding("peers", name, f"not measured: {error}", "", "", is_met=False)


async def _open(lab: Lab, opened: AsyncExitStack, **settings: str) -> list[Shop]:
    """Open Lockstep and its peers; with settings for cheap hashes the peers have those, too."""
    to = await opened.enter_async_context(lab.running(**settings))
    cost = int(settings.get("bcrypt_cost", PASSWORD_COST))
    people = 0 if cost == PASSWORD_COST else max(BUYERS, BUYING)
    lab.say("opening the peers")
    shops = [await lockstep_shop(lab, to, people)]
    for driver in ("asyncpg", "psycopg"):
        peer = peer_shop(lab, driver, bcrypt_cost=cost, people=people)
        shops.append(await opened.enter_async_context(peer))
    return [await _with_idle(lab, shop) for shop in shops]


async def _with_idle(lab: Lab, shop: Shop) -> Shop:
    lab.say(f"{shop.name}, idle")
    await asyncio.sleep(SETTLE_SECONDS)
    meter = Meter.begin(shop)
    await asyncio.sleep(IDLE_SECONDS)
    return replace(shop, idle=meter.used() / IDLE_SECONDS)


async def _compare(lab: Lab, name: str, work: Work, shops: Sequence[Shop], rounds: int) -> Finding:
    turns: list[list[Turn]] = [[] for _ in shops]
    for turn in range(rounds + 1):
        lab.say(f"{name}, {turn} of {rounds}")
        for shop, taken in zip(shops, turns, strict=True):
            found = await work(shop)
            if turn:  # the first round warms up
                taken.append(found)
    own, *others = turns
    ratio = Ratio.of([each.cost for each in own], [each.cost for each in others[0]])
    finding = at_most("peers", name, _text(own), ratio, GOALS[name])
    return finding.with_peers(_named(shops, [_text(each) for each in turns]))


def _text(turns: Sequence[Turn]) -> str:
    cost, rate, slow = (
        statistics.median(getattr(turn, name) for turn in turns)
        for name in ("cost", "per_second", "p99")
    )
    return f"{cost:,.0f} us, {rate:,.0f}/s, p99 {slow:,.0f} ms"


async def _get(shop: Shop, *, path: str, seconds: float) -> Turn:
    target = Target(
        endpoint=shop.endpoint, path=shop.prefix + path.format(product=shop.products[0])
    )
    return await _loaded(shop, [target], seconds)


async def _add(shop: Shop, *, seconds: float) -> Turn:
    people = shop.people[:IN_FLIGHT]
    await shop.empty_carts()
    for product in shop.products[:LINES]:  # one after the other: carts are not made twice
        await shop.send([shop.adding(who, product) for who in people])
    targets = [
        Target(
            endpoint=shop.endpoint,
            path=shop.adding_path,
            body=json.dumps(shop.one_of(shop.products[0])),
            headers=who,
        )
        for who in people
    ]
    return await _loaded(shop, targets, seconds)


async def _loaded(shop: Shop, targets: Sequence[Target], seconds: float) -> Turn:
    measured = [await with_length(target) for target in targets]
    meter = Meter.begin(shop)
    load = await apply(measured, seconds=seconds)
    used = meter.used()
    return Turn(1e6 * used / load.requests, load.per_second, load.p99)


async def _order(shop: Shop) -> Turn:
    """Let distinct people order distinct things."""
    await shop.empty_carts()
    pairs = list(zip(shop.people[:BUYING], shop.products, strict=False))
    await shop.send([shop.adding(who, product) for who, product in pairs])
    return await _sent(shop, [shop.ordering(who) for who, _ in pairs], at_once=BUYING)


async def _register(shop: Shop, *, number: int) -> Turn:
    requests = [shop.registering(sign_up()) for _ in range(number)]
    return await _sent(shop, requests, at_once=HASHES_AT_ONCE)


async def _sent(shop: Shop, requests: Sequence[Request], *, at_once: int) -> Turn:
    meter, began = Meter.begin(shop), time.perf_counter()
    answers = await shop.send(requests, at_once=at_once)
    seconds = time.perf_counter() - began
    await asyncio.sleep(SETTLE_SECONDS)
    used = meter.used()
    slow = 1000 * p99([answer.seconds for answer in answers])
    return Turn(1e6 * used / len(answers), len(answers) / seconds, slow)


def _memory(shops: Sequence[Shop]) -> Finding:
    def text(shop: Shop) -> str:
        pids = shop.own_pids()
        return f"{proportional_bytes(pids) / 2**20:.0f} MiB in {len(pids)} processes"

    texts = [text(shop) for shop in shops]
    mebibytes = proportional_bytes(shops[0].own_pids()) / 2**20
    return Finding(
        row="peers",
        figure="memory of what serves, idle (PSS, without PostgreSQL)",
        measured=texts[0],
        ratio="",
        goal=f"< {MEMORY_MIB_MAX:.0f} MiB",
        is_met=mebibytes < MEMORY_MIB_MAX,
    ).with_peers(_named(shops, texts))


def _idle(shops: Sequence[Shop]) -> Finding:
    texts = [f"{100 * shop.idle:.1f}% of a core" for shop in shops]
    finding = Finding("peers", "processor time when idle", texts[0], "", "", is_met=None)
    return finding.with_peers(_named(shops, texts))


def _named(shops: Sequence[Shop], texts: Sequence[str]) -> dict[str, str]:
    """Return the texts of the peers by their names; the first shop is Lockstep."""
    return {shop.name: text for shop, text in zip(shops[1:], texts[1:], strict=True)}


async def _kept(shops: Sequence[Shop]) -> Finding:
    """Add to one cart many times at once, and count what each shop kept."""
    kept = []
    for shop in shops:
        await shop.empty_carts()
        who = shop.people[0]
        await shop.send([shop.adding(who, shop.products[0])])
        many = [shop.adding(who, shop.products[0])] * ADDERS
        await rest.send(shop.endpoint, many, at_once=ADDERS)
        kept.append(await shop.quantity(who) - 1)
    texts = [f"{count} kept" for count in kept]
    return _right(f"{ADDERS} parallel adds to one cart", shops, texts, is_met=kept[0] == ADDERS)


async def _sold(shops: Sequence[Shop]) -> Finding:
    """Let many buy one thing that is there once, and count who got it."""
    sold = []
    for shop in shops:
        await shop.empty_carts()
        product, people = shop.products[-1], shop.people[:BUYERS]
        await shop.set_stock(product, 1)
        await shop.send([shop.adding(who, product) for who in people])
        orders = [shop.ordering(who) for who in people]
        answers = await rest.send(shop.endpoint, orders, at_once=BUYERS)
        sold.append(sum(answer.is_good for answer in answers))
    texts = [f"{count} got it" for count in sold]
    return _right(f"{BUYERS} buyers of the last item", shops, texts, is_met=sold[0] == 1)


def _right(figure: str, shops: Sequence[Shop], texts: Sequence[str], *, is_met: bool) -> Finding:
    finding = Finding("peers", figure, texts[0], "", "all right", is_met=is_met)
    return finding.with_peers(_named(shops, texts))
