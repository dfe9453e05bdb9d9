"""The cost of metrics: the same service with them and without, in turns."""

from __future__ import annotations

import statistics

from tests.bench.lab import CHEAP, Lab
from tests.bench.report import Finding, Ratio, at_most
from tests.bench.row_calls import Costly, Shop, costly
from tests.bench.stack import SERVICE_CORE, helper

METHOD = "GetProduct"  # one statement, so nothing else costs less
GOAL = 1.05


async def telemetry(lab: Lab) -> list[Finding]:
    """Compare the processor time of a call; nobody makes spans."""
    rounds, seconds = lab.rounds(3.0)
    async with lab.running(**CHEAP) as to:
        shop = await Shop.with_carts(lab, to)
        environment = lab.stack.environment(**CHEAP)
        measured, bare = (
            helper(
                *("tests.bench.without", "commerce", "nothing"),
                environment={**environment, "OTEL_METRICS_EXPORTER": exporter},
                cores=SERVICE_CORE,
            )
            for exporter in ("prometheus", "none")
        )
        lab.stack.pin()
        with_metrics, without = list[Costly](), list[Costly]()
        async with measured as one, bare as other:
            for turn in range(rounds):
                lab.say(f"{METHOD} with metrics and without, {turn + 1} of {rounds}")
                pair = ((one, with_metrics), (other, without))
                for process, costs in pair if turn % 2 else reversed(pair):
                    targets = [each.at(process.endpoint) for each in shop.targets[METHOD]]
                    costs.append(await costly(targets, seconds, [process.pid]))
    ratio = Ratio.of(_microseconds(with_metrics), _microseconds(without))
    text = f"{_median(with_metrics):.0f} us of a core; without {_median(without):.0f} us"
    return [at_most("telemetry", f"{METHOD} with telemetry, of without", text, ratio, GOAL)]


def _microseconds(loads: list[Costly]) -> list[float]:
    return [1e6 / each.per_core_second for each in loads]


def _median(loads: list[Costly]) -> float:
    return statistics.median(_microseconds(loads))
