"""`make scale`: simulates growth from measured figures; --write puts it into docs/scale.md."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.scale.figures import (
    CALL_SECONDS,
    FACTORS,
    GATEWAY_SECONDS,
    HASH_SECONDS,
    IN_FLIGHT,
    MEASURED,
    ONE,
    ORDER_SECONDS,
    REGISTRATION_SECONDS,
    Traffic,
)
from tests.scale.model import closed, replicas

PAGE: Final = Path(__file__).parents[2] / "docs" / "scale.md"
BEGIN: Final = "<!-- the simulation begins -->\n"
END: Final = "<!-- the simulation ends -->\n"
READ_P99: Final = 0.05
HASH_P99: Final = 2.0
COMMITS: Final = {"order": 4, "registration": 3, "login": 1}


def reproduced() -> Iterator[tuple[str, str, float, float]]:
    """Yield each measured figure: its name, its unit, its value, and what the simulation says."""
    for each in MEASURED:
        requests = 20_000 if each.rate > 100 else 4000
        result = closed(each.cores, each.seconds, clients=IN_FLIGHT, requests=requests)
        yield each.name, "/s", each.rate, result.rate
        if each.p99 is not None:
            yield f"{each.name}, p99", " ms", each.p99, result.p99 * 1000


def needed(traffic: Traffic) -> dict[str, int]:
    """Return how many replicas of one core each process needs."""
    requests = traffic.reads + traffic.logins + traffic.registrations + traffic.orders
    mixed = traffic.reads * CALL_SECONDS["ListProducts"] + traffic.orders * ORDER_SECONDS
    hashing = traffic.logins * HASH_SECONDS + traffic.registrations * REGISTRATION_SECONDS
    of_commerce, of_auth = traffic.reads + traffic.orders, traffic.logins + traffic.registrations
    return {
        "gateway": replicas(GATEWAY_SECONDS, rate=requests, p99=READ_P99),
        "Commerce": replicas(mixed / of_commerce, rate=of_commerce, p99=READ_P99),
        "Auth": replicas(hashing / of_auth, rate=of_auth, p99=HASH_P99),
    }


def commits(traffic: Traffic) -> float:
    """Return the commits a second of all databases together."""
    return (
        traffic.orders * COMMITS["order"]
        + traffic.registrations * COMMITS["registration"]
        + traffic.logins * COMMITS["login"]
    )


def lines() -> Iterator[str]:
    """Yield what the simulation says, as Markdown."""
    yield "| figure | measured | simulated | difference |"
    yield "|---|---|---|---|"
    for name, unit, value, simulated in reproduced():
        shown = f"{simulated:,.0f}" if simulated > 100 else f"{simulated:.1f}"
        yield f"| {name} | {value:,g}{unit} | {shown}{unit} | {simulated / value - 1:+.0%} |"
    yield ""
    asked = "reads, logins, registrations, orders a second"
    yield f"| times | {asked} | gateway | Commerce | Auth | commits a second |"
    yield "|---|---|---|---|---|---|"
    for factor in FACTORS:
        traffic = ONE.times(factor)
        found = needed(traffic)
        rates = (traffic.reads, traffic.logins, traffic.registrations, traffic.orders)
        asked = ", ".join(f"{each:,g}" for each in rates)
        cells = " | ".join(str(each) for each in found.values())
        yield f"| {factor:,} | {asked} | {cells} | {commits(traffic):,.0f} |"


def main() -> None:
    """Print, or write."""
    parser = argparse.ArgumentParser(prog="python -m tests.scale")
    parser.add_argument("--write", action="store_true", help="put it into docs/scale.md")
    text = "\n".join(lines()) + "\n"
    if parser.parse_args().write:
        before, _, rest = PAGE.read_text().partition(BEGIN)
        after = rest.partition(END)[2]
        PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")
    print(text, end="")


if __name__ == "__main__":
    main()
