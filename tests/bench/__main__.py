"""The speed of Lockstep, measured against the same machine in the same run.

    python -m tests.bench [--quick] [--only ROW ...] [--write]

It starts a Lockstep of its own on spare ports. The database syncs its commits, and access
logs are on. Figure and yardstick take turns, so other work of the machine slows both; only
their ratio counts. On two cores the measured service has one for itself. The load, the
database and everything else share the other.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from tests.bench import (
    page,
    report,
    row_auth,
    row_calls,
    row_cleanup,
    row_curves,
    row_events,
    row_life,
    row_lists,
    row_orders,
    row_peers,
    row_recovery,
    row_searches,
    row_shop,
    row_telemetry,
)
from tests.bench.lab import Lab, Row
from tests.bench.report import Finding
from tests.bench.stack import stack

# This order starts Lockstep as seldom as possible.
ROWS: dict[str, Row] = {
    "grpc": row_calls.grpc_calls,
    "rest": row_calls.rest_calls,
    "peers": row_peers.peers,
    "telemetry": row_telemetry.telemetry,
    "shop": row_shop.shop,
    "lists": row_lists.lists,
    "sizes": row_curves.sizes,
    "searches": row_searches.searches,
    "strangers": row_searches.strangers,
    "contention": row_orders.contention,
    "orders": row_orders.orders,
    "saga": row_auth.saga,
    "audit": row_auth.audit,
    "outbox": row_events.outbox,
    "relay": row_events.relay,
    "cleanup": row_cleanup.cleanup,
    "recovery": row_recovery.recovery,
    "saturation": row_curves.saturation,
    "memory": row_life.memory,
    "start": row_life.start,
    "workers": row_life.workers,
    "hashing": row_auth.hashing,
    "storm": row_auth.storm,
}
# The quick run leaves these out: they need more time to mean something.
ONLY_FULL = {"memory"}

Keep = Callable[[list[Finding]], None]


async def measure(names: Sequence[str], *, is_quick: bool, keep: Keep) -> list[Finding]:
    """Measure rows one after the other, and keep each; one that fails becomes a finding, too."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        async with stack() as made:
            task = progress.add_task("starting Lockstep", total=len(names))
            lab = Lab(stack=made, is_quick=is_quick, progress=progress, task=task)
            findings = []
            for name in names:
                found = await _row(lab, name)
                findings += found
                keep(found)
                report.show(found, progress.console)
                progress.advance(task)
            return findings


async def _row(lab: Lab, name: str) -> list[Finding]:
    try:
        return await ROWS[name](lab)
    except Exception as error:  # noqa: BLE001 - an hour of other rows must not be lost
        traceback.print_exc()
        told = f"{type(error).__name__}: {error}"
        return [Finding(name, "not measured", told, "", "", is_met=False)]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--quick", action="store_true", help="less of everything")
    parser.add_argument("--only", action="append", choices=ROWS, help="only this row")
    parser.add_argument(
        "--write",
        action="store_true",
        help="write docs/performance.md, its plots, and README's figures",
    )
    return parser.parse_args()


def main() -> None:
    """Measure, and show or write the findings."""
    arguments = _arguments()
    skipped = ONLY_FULL if arguments.quick else set()
    names = arguments.only or [name for name in ROWS if name not in skipped]
    command = f'make bench ARGS="{" ".join(sys.argv[1:])}"'
    moment = datetime.now(UTC)

    def keep(found: list[Finding]) -> None:
        if arguments.write:
            page.keep(found, command, moment)

    findings = asyncio.run(measure(names, is_quick=arguments.quick, keep=keep))
    report.show(findings, Console())
    for line in report.machine():
        print(line)


if __name__ == "__main__":
    main()
