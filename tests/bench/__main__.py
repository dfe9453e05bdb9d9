"""The speed of Lockstep, measured against the same machine in the same run.

    python -m tests.bench [--quick] [--only ROW ...] [--write]

It starts a Lockstep of its own on spare ports. The database syncs its commits, and access
logs are on. Figure and yardstick take turns, so other work of the machine slows both; only
their ratio counts. On two cores the measured service has one for itself. The load, the
database and everything else share the other.
"""

from __future__ import annotations

import argparse
import sys

from tests.bench import (
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
from tests.bench.lab import Row
from tests.bench.load import generator
from tests.bench.runs import run

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
    rows = {name: ROWS[name] for name in names}
    command = f'make bench ARGS="{" ".join(sys.argv[1:])}"'
    run(
        rows,
        command,
        is_quick=arguments.quick,
        is_written=arguments.write,
        load=generator(),
    )


if __name__ == "__main__":
    main()
