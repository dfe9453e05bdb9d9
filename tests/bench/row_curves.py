"""The rows with a plot: cost against the size of the catalog, and p99 against the load."""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from google.protobuf.message import Message
from lockstep.commerce.v1 import catalog_service_pb2 as catalog_pb

from tests.bench.lab import CHEAP, Lab, p99
from tests.bench.load import Target, apply, with_length
from tests.bench.report import Finding
from tests.bench.rest import Answer, Request
from tests.bench.row_calls import PACKAGE
from tests.bench.row_lists import LARGE, Catalog, large_catalog
from tests.bench.shops import Shop, lockstep_shop, sign_up
from tests.bench.stack import StackError, processor_seconds_each, spent

SIZES, QUICK_SIZES = (1_000, 10_000, 100_000, LARGE), (1_000, 10_000, 50_000)
REQUESTS: Mapping[str, Message] = {
    "the first page": catalog_pb.ListProductsRequest(),
    "cheapest first": catalog_pb.ListProductsRequest(sort="price", min_price="10.00"),
    "a frequent word": catalog_pb.ListProductsRequest(q="steel"),
    "three words": catalog_pb.ListProductsRequest(q="vintage walnut turntable"),
}
ONE = "one product"
IN_FLIGHT, QUICK_IN_FLIGHT = (1, 2, 4, 8, 16, 32, 64, 128), (1, 4, 16, 64)
PEOPLE, SIGN_UPS, QUICK_SIGN_UPS = 128, 40, 8
# More hashes at once wait longer than a request may.
HASHES_AT_ONCE_MAX = 16

Points = list[tuple[float, float]]
Point = Callable[[int], Awaitable[tuple[float, float]]]


async def sizes(lab: Lab) -> list[Finding]:
    """Measure the processor time of reads, with PostgreSQL's, in catalogs of several sizes."""
    series: dict[str, Points] = {}
    async with lab.running(**CHEAP):
        for size in QUICK_SIZES if lab.is_quick else SIZES:
            # The largest is the same as that of the row `lists`.
            name = "large" if size == LARGE else f"sized{size}"
            async with large_catalog(lab, size, name) as catalog:
                for title, target in (await _targets(catalog)).items():
                    lab.say(f"{title} of {size:,}")
                    microseconds = await _cost(lab, catalog, name, target)
                    series.setdefault(title, []).append((size, microseconds))
    return [_of_sizes(title, points) for title, points in series.items()]


async def saturation(lab: Lab) -> list[Finding]:
    """Measure the rate and p99 of reads, orders and sign-ups, with ever more at once."""
    steps = QUICK_IN_FLIGHT if lab.is_quick else IN_FLIGHT
    findings = []
    async with lab.running(**CHEAP) as to:
        shop = await lockstep_shop(lab, to, PEOPLE)
        seconds = lab.rounds(3.0)[1]
        findings.append(await _curve(lab, "reads", partial(_reads, shop, seconds), steps))
        findings.append(await _curve(lab, "orders", partial(_orders, shop), steps))
    async with lab.running() as to:
        shop = await lockstep_shop(lab, to, 0)
        number = QUICK_SIGN_UPS if lab.is_quick else SIGN_UPS
        few = [step for step in steps if step <= HASHES_AT_ONCE_MAX]
        findings.append(await _curve(lab, "sign-ups", partial(_sign_ups, shop, number), few))
    return findings


async def _targets(catalog: Catalog) -> dict[str, Target]:
    page = await catalog.stub.ListProducts(catalog_pb.ListProductsRequest())
    get = catalog_pb.GetProductRequest(product_id=page.products[0].id)

    def target(method: str, request: Message) -> Target:
        path = f"{PACKAGE}CatalogService/{method}"
        return Target(endpoint=catalog.endpoint, path=path, message=request.SerializeToString())

    targets = {ONE: target("GetProduct", get)}
    targets |= {title: target("ListProducts", each) for title, each in REQUESTS.items()}
    return {title: await with_length(each) for title, each in targets.items()}


async def _cost(lab: Lab, catalog: Catalog, name: str, target: Target) -> float:
    def so_far() -> dict[int, float]:
        return processor_seconds_each([catalog.pid, *lab.stack.postgres_pids(f"{name}db")])

    rounds, seconds = lab.rounds(2.0)
    costs = []
    for _ in range(rounds):
        before = so_far()
        load = await apply([target], seconds=seconds)
        costs.append(1e6 * spent(before, so_far()) / load.requests)
    return statistics.median(costs)


def _of_sizes(title: str, points: Points) -> Finding:
    (small, first), (large, last) = points[0], points[-1]
    measured = f"{first:,.0f} us of {small:,.0f} products, {last:,.0f} us of {large:,.0f}"
    finding = Finding("sizes", title, measured, f"{last / first:.2f}", "", is_met=None)
    return replace(finding, points=points)


async def _curve(lab: Lab, title: str, point: Point, steps: Sequence[int]) -> Finding:
    """Measure with ever more at once, to the end or until not all are served in time."""
    points: Points = []
    told = ""
    for step in steps:
        lab.say(f"{title}, {step} at once")
        try:
            points.append(await point(step))
        except StackError as error:
            told = f"; with {step} at once: {error}"
            break
    if points:
        told = (
            f"{max(rate for rate, _ in points):,.0f}/s at most; p99 {points[0][1]:,.0f} ms alone, "
            f"{points[-1][1]:,.0f} ms with {steps[len(points) - 1]} at once{told}"
        )
    return replace(Finding("saturation", title, told, "", "", is_met=None), points=points)


async def _reads(shop: Shop, seconds: float, at_once: int) -> tuple[float, float]:
    path = f"{shop.prefix}/products/{shop.products[0]}"
    target = await with_length(Target(endpoint=shop.endpoint, path=path))
    load = await apply([target], seconds=seconds, in_flight=at_once)
    return load.per_second, load.p99


async def _orders(shop: Shop, at_once: int) -> tuple[float, float]:
    await shop.empty_carts()
    pairs = list(zip(shop.people, shop.products, strict=False))
    await shop.send([shop.adding(who, product) for who, product in pairs])
    return await _timed(shop, [shop.ordering(who) for who, _ in pairs], at_once)


async def _sign_ups(shop: Shop, number: int, at_once: int) -> tuple[float, float]:
    return await _timed(shop, [shop.registering(sign_up()) for _ in range(number)], at_once)


async def _timed(shop: Shop, requests: Sequence[Request], at_once: int) -> tuple[float, float]:
    began = time.perf_counter()
    answers: list[Answer] = await shop.send(requests, at_once=at_once)
    seconds = time.perf_counter() - began
    return len(answers) / seconds, 1000 * p99([answer.seconds for answer in answers])
