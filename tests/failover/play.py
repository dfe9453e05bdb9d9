"""Fails a cluster over under load, and judges what was promised."""

from __future__ import annotations

import asyncio
import contextlib
import operator
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from services.cli.databases import make_missing
from services.cli.reconciler import compare
from services.cli.system import DATABASES
from services.common import key_files
from services.kernel.db.migrations import upgrade
from tests.conftest import SERVICES
from tests.databases.fleet import Fleet
from tests.databases.load import Load
from tests.failover.cluster import Cluster
from tests.failover.tools import Runner
from tests.waiting import until_found

BUYERS, REGISTERING = 4, 6
# How long a standby or its sender is frozen.
FROZEN_SECONDS, UNSENT_SECONDS = 12.0, 4.0

Fault = Callable[["Failover"], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one fault.

    Attributes:
        acknowledged: How much clients were told is done: registrations and orders.
        lost: How much of that is not there.
        in_doubt: How often a client was not told; each was asked again by its key.
        pause_seconds: The longest time without a success.
        findings: What `reconcile` sees afterwards.
    """

    fault: str
    acknowledged: tuple[int, int]
    lost: tuple[int, int]
    in_doubt: int
    pause_seconds: float
    findings: int

    def __str__(self) -> str:
        """Return a row of the table."""
        registered, bought = self.acknowledged
        return (
            f"{self.fault:24} {registered:6} + {bought:<6} {self.lost[0]:4} + {self.lost[1]:<4} "
            f"{self.in_doubt:8} {self.pause_seconds:8.1f} s {self.findings:9}"
        )


HEADER: Final = (
    f"{'fault':24} {'acknowledged':>15} {'lost':>11} {'in doubt':>8} {'no success':>10} "
    f"{'reconcile':>9}"
)


@dataclass
class Failover:
    """A cluster and the services on it."""

    cluster: Cluster
    fleet: Fleet
    urls: dict[str, str]

    async def play(self, name: str, fault: Fault) -> Outcome:
        """Have clients at work, do something to the cluster, and judge."""
        async with Load(self.fleet.targets, self.urls, re.sub(r"\W+", "-", name)) as load:
            await load.prepare(buyers=BUYERS)
            load.start(registering=REGISTERING)
            await load.go_on(20)
            begin = time.monotonic()
            await fault(self)
            await load.go_on(20)
            await load.stop()
            pause = load.longest_pause(begin)
            in_doubt = len(load.registrations.in_doubt) + len(load.orders.in_doubt)
            await load.settle_doubts()
            await self.settle(load)
            lost = await asyncio.to_thread(load.lost)
            findings = await asyncio.to_thread(compare, self.urls)
            kept = (load.registrations.acknowledged, load.orders.acknowledged)
            return Outcome(
                name,
                (len(kept[0]), len(kept[1])),
                (len(lost[0]), len(lost[1])),
                in_doubt,
                pause,
                len(findings),
            )

    async def settle(self, load: Load) -> None:
        """Wait until no saga is unfinished."""
        unfinished = "SELECT 1 FROM sagas WHERE state IN ('RUNNING', 'COMPENSATING') LIMIT 1"
        for name in ("auth", "commerce"):
            await until_found(
                partial(asyncio.to_thread, load.sql, name, unfinished),
                operator.not_,
                seconds=load.patience_seconds,
            )

    # --- the faults

    async def kill_primary(self) -> None:
        """Kill the machine of the primary; it comes back as a standby later."""
        leader = await asyncio.to_thread(self.cluster.primary)
        assert leader is not None
        await asyncio.to_thread(self.cluster.kill, leader)
        await asyncio.to_thread(
            self.cluster.wait, lambda: self.cluster.primary() is not None, "a new primary"
        )
        await asyncio.to_thread(self.cluster.start_node, leader)

    async def switch_over(self) -> None:
        """Have another node lead, in order."""
        await asyncio.to_thread(self.cluster.switch_over)

    async def freeze_standbys(self) -> None:
        """Stop those who receive the log: every commit waits."""
        standbys = await asyncio.to_thread(self.cluster.standbys)
        with self.cluster.frozen(standbys, "walreceiver"):
            await asyncio.sleep(FROZEN_SECONDS)

    async def lose_commits(self) -> None:
        """Stop those who send the log, so that the standbys lag, and kill the primary then."""
        leader = await asyncio.to_thread(self.cluster.primary)
        assert leader is not None
        with self.cluster.frozen([leader], "walsender"):
            await asyncio.sleep(UNSENT_SECONDS)
            await self.kill_primary()


FAULTS: Final[dict[str, Fault]] = {
    "primary killed": Failover.kill_primary,
    "planned switchover": Failover.switch_over,
    "standbys frozen": Failover.freeze_standbys,
}
LOSING: Final = ("asynchronous, killed", Failover.lose_commits)


@contextlib.asynccontextmanager
async def failing_over() -> AsyncIterator[Failover]:
    """Run a cluster with migrated databases, and the services on it.

    Auth and Profile find the primary by libpq, Commerce by haproxy.
    """
    runner = Runner.make()
    cluster = Cluster(runner)
    try:
        await asyncio.to_thread(cluster.start)
        urls = {service: cluster.url(name) for service, name in DATABASES.items()}
        await asyncio.to_thread(prepare, urls)
        keys, folder = runner.folder / "keys", runner.folder / "fleet"
        folder.mkdir()
        key_files.initialise(keys)
        used = urls | {"commerce": cluster.haproxy_url(DATABASES["commerce"])}
        async with Fleet(used, folder=folder, keys=keys, settings={}) as fleet:
            yield Failover(cluster, fleet, urls)
    finally:
        await asyncio.to_thread(cluster.stop)
        runner.remove()


def prepare(urls: Mapping[str, str]) -> None:
    """Make the databases and migrate them, through the URLs of the services."""
    make_missing(urls.items())
    for service, url in urls.items():
        upgrade(url, Path(SERVICES) / service / "migrations")
