"""Lockstep beside a naive FastAPI monolith: the same requests, load and PostgreSQL, in turns."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial

from tests.bench.beside import (
    BUYERS,
    SETTLE_SECONDS,
    Beside,
    Meter,
    Turn,
    Work,
    a_page,
    adding,
    by_generator,
    one_product,
    with_idle,
)
from tests.bench.lab import CHEAP, Lab, p99
from tests.bench.report import Finding
from tests.bench.rest import Request
from tests.bench.shops import PASSWORD_COST, Shop, lockstep_shop, peer_shop, sign_up
from tests.bench.stack import StackError

ROW = "peers"
# By request: the most of the peer's processor time that it may take.
GOALS = {
    "one product": 0.60,
    "a page of 20 with the total": 0.60,
    "add to a cart of three lines": 1.00,
    "place an order": 1.00,
    "register, bcrypt of cost 12": 1.05,
}
BUYING = 64
REGISTRATIONS, QUICK_REGISTRATIONS, HASHES_AT_ONCE = 32, 8, 2


async def peers(lab: Lab) -> list[Finding]:
    """Compare reads, carts, orders and registrations, the memory, and what came out right."""
    _, seconds = lab.rounds(3.0)
    load = partial(by_generator, seconds=seconds)
    works: dict[str, Work] = {
        "one product": partial(one_product, load=load),
        "a page of 20 with the total": partial(a_page, load=load),
        "add to a cart of three lines": partial(adding, load=load),
        "place an order": _order,
    }
    findings = []
    async with AsyncExitStack() as opened:
        beside = await _open(lab, opened, **CHEAP)
        idle = [beside.memory(), beside.idle()]
        for name, work in works.items():
            findings.append(await beside.compare(name, work, GOALS[name]))
        lab.say("parallel adds and the last item")
        findings += [await beside.kept(), await beside.sold()]
    return [*findings, await _registrations(lab), *idle]


async def _registrations(lab: Lab) -> Finding:
    """Compare registrations, with hashes as people have them."""
    name = f"register, bcrypt of cost {PASSWORD_COST}"
    number = QUICK_REGISTRATIONS if lab.is_quick else REGISTRATIONS
    try:
        async with AsyncExitStack() as opened:
            beside = await _open(lab, opened)
            return await beside.compare(name, partial(_register, number=number), GOALS[name])
    except StackError as error:  # Lockstep hashes by what others leave of the cores
        return Finding(ROW, name, f"not measured: {error}", "", "", is_met=False)


async def _open(lab: Lab, opened: AsyncExitStack, **settings: str) -> Beside:
    """Open Lockstep and its peers; with settings for cheap hashes the peers have those, too."""
    to = await opened.enter_async_context(lab.running(**settings))
    cost = int(settings.get("bcrypt_cost", PASSWORD_COST))
    people = 0 if cost == PASSWORD_COST else max(BUYERS, BUYING)
    lab.say("opening the peers")
    shops = [await lockstep_shop(lab, to, people)]
    for driver in ("asyncpg", "psycopg"):
        peer = peer_shop(lab, driver, bcrypt_cost=cost, people=people)
        shops.append(await opened.enter_async_context(peer))
    return Beside(lab, ROW, [await with_idle(lab, shop) for shop in shops])


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
