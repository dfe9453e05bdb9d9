"""Fails a cluster over in every way, and prints what became of it.

python -m tests.failover        what `make failover` does
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import asdict

from tests.failover import tools
from tests.failover.play import FAULTS, HEADER, LOSING, Outcome, failing_over
from tests.faults.forms import report


async def run() -> bool:
    """Play all faults; return whether every promise was kept."""
    print("a cluster of three starts, and the services on it", flush=True)
    outcomes: list[Outcome] = []
    async with failing_over() as failover:
        print(HEADER, flush=True)
        for name, fault in FAULTS.items():
            await asyncio.to_thread(failover.cluster.wait_whole)
            outcomes.append(await failover.play(name, fault))
            print(outcomes[-1], flush=True)
        kept = all(each.lost == (0, 0) and not each.findings for each in outcomes)
        await asyncio.to_thread(failover.cluster.wait_whole)
        await asyncio.to_thread(failover.cluster.set_synchronous, is_on=False)
        outcomes.append(await failover.play(*LOSING))
        print(outcomes[-1], "(asynchronous replication may lose)", flush=True)
        codes = await failover.fleet.stop()
    print(f"the services stopped in order: {codes}")
    report("failover", [asdict(each) for each in outcomes])
    return kept and set(codes.values()) == {0}


def main() -> int:
    """Install what pip can install, and say what else is missing."""
    tools.install()
    lacking = tools.missing()
    if lacking:
        print(f"failover: {lacking}", file=sys.stderr)
        return 1
    return 0 if asyncio.run(run()) else 1


if __name__ == "__main__":
    sys.exit(main())
