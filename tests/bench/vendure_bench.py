"""Lockstep beside Vendure: the same work, load and PostgreSQL, in turns.

    python -m tests.bench.vendure_bench [--quick] [--write]

It needs Node and npm, so it is no row of the other benchmark.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

from tests.bench import page, vendure_install
from tests.bench.beside import (
    BUYERS,
    Beside,
    Load,
    Turn,
    Work,
    a_page,
    adding,
    one_product,
    to_the_end,
    with_idle,
)
from tests.bench.lab import CHEAP, Lab
from tests.bench.load import IN_FLIGHT, PYTHON_CLIENT
from tests.bench.report import Finding
from tests.bench.runs import run
from tests.bench.shops import Shop, lockstep_shop
from tests.bench.vendure_shop import VendureShop, vendure_shop

# The most of Vendure's processor time that a request may take.
GOAL: Final = 1.0
WARM_UP_SECONDS, QUICK_WARM_UP_SECONDS = 15.0, 4.0


async def vendure(lab: Lab) -> list[Finding]:
    """Compare reads and carts, the memory, and what came out right."""
    _, seconds = lab.rounds(3.0)
    people = max(BUYERS, IN_FLIGHT)
    async with AsyncExitStack() as opened:
        to = await opened.enter_async_context(lab.running(**CHEAP))
        shops = [
            await lockstep_shop(lab, to, people),
            await opened.enter_async_context(vendure_shop(lab, people)),
        ]
        beside = Beside(lab, page.VENDURE, [await with_idle(lab, shop) for shop in shops])
        idle = [beside.memory(), beside.idle()]
        await _warm_up(beside)
        works = _works(seconds)
        costs = [await beside.compare(name, work, GOAL) for name, work in works.items()]
        lab.say("parallel adds and the last item")
        return [*costs, await beside.kept(), await beside.sold(), *idle]


def _works(seconds: float) -> dict[str, Work]:
    load = partial(to_the_end, seconds=seconds)
    return {
        "one product": partial(one_product, load=load),
        "a page of 20 with the total, Vendure's list": partial(a_page, load=load),
        "a page of 20 with the total, Vendure's search plugin": partial(_search, load=load),
        "add to a cart of three lines": partial(adding, load=load),
    }


async def _warm_up(beside: Beside) -> None:
    """Do everything for a while: Node compiles what has run often."""
    seconds = QUICK_WARM_UP_SECONDS if beside.lab.is_quick else WARM_UP_SECONDS
    for name, work in _works(seconds).items():
        beside.lab.say(f"{name}, warming up")
        for shop in beside.shops:
            await work(shop)


async def _search(shop: Shop, *, load: Load) -> Turn:
    return await load(shop, [shop.search if isinstance(shop, VendureShop) else shop.page])


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Measure, and show or write the findings."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.vendure_bench")
    parser.add_argument("--quick", action="store_true", help="less of everything")
    parser.add_argument("--write", action="store_true", help="write docs/performance.md")
    arguments = parser.parse_args()
    try:
        vendure_install.install(_say)
    except vendure_install.InstallError as error:
        sys.exit(str(error))
    words = " ".join(sys.argv[1:])
    command = f'make bench-vendure ARGS="{words}"' if words else "make bench-vendure"
    run(
        {page.VENDURE: vendure},
        command,
        is_quick=arguments.quick,
        is_written=arguments.write,
        load=PYTHON_CLIENT,
    )


if __name__ == "__main__":
    main()
