"""What happens to replicas under load, and what their callers see of it."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from services.cli.reconciler import compare
from tests.replicas.crowd import Crowd
from tests.replicas.town import KINDS, Code, Replica, Town

SHARE_SECONDS_MAX: Final = 60.0
"""The promise: a new replica has its share of the calls within a minute."""
FROZEN_SECONDS: Final = 8.0
"""Longer than callers may wait for a frozen replica."""

HEADER: Final = (
    f"{'what':28} {'reads':>6} {'failed':>6} {'slowest':>8}   "
    f"{'writes':>6} {'repeated':>8} {'failed':>6} {'slowest':>8}"
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was sent while something happened, and what of it failed.

    Attributes:
        name: What happened.
        reads: How many reads ended, and how many of them failed.
        writes: How many writes with an idempotency key ended, and how many failed.
        repeats: How often such a write was sent again.
        longest_seconds: The longest read and the longest write, repeats included.
        failures: What failed, in a line each.
    """

    name: str
    reads: tuple[int, int]
    writes: tuple[int, int]
    repeats: int
    longest_seconds: tuple[float, float]
    failures: Sequence[str]

    def __str__(self) -> str:
        """Return a row of the table, with the failures below it."""
        (reads, lost), (writes, refused) = self.reads, self.writes
        row = (
            f"{self.name:28} {reads:6} {lost:6} {self.longest_seconds[0]:6.1f} s   "
            f"{writes:6} {self.repeats:8} {refused:6} {self.longest_seconds[1]:6.1f} s"
        )
        return "\n".join([row, *(f"    {each}" for each in self.failures)])


@dataclass
class Play:
    """Replicas and their callers."""

    town: Town
    crowd: Crowd
    code: Code
    answers: int
    outcomes: list[Outcome] = field(default_factory=list)
    shares: dict[str, float] = field(default_factory=dict)
    _before: dict[str, dict[str, int]] = field(default_factory=dict)

    async def watch(self, name: str, happening: Callable[[], Awaitable[None]]) -> Outcome:
        """Count what callers see from before something happens until they go on after it."""
        self.crowd.forget()
        self._before = {kind: self.town.calls(kind) for kind in KINDS}
        await self.crowd.go_on(self.answers)
        await happening()
        await self.crowd.go_on(self.answers)
        outcome = self._outcome(name)
        self.outcomes.append(outcome)
        return outcome

    async def calm(self) -> None:
        """Let callers go on, with nothing in their way."""
        await self.crowd.go_on(self.answers)

    async def killed(self, kinds: Iterable[str] = KINDS) -> None:
        """Kill one replica of each kind, and let others take its name away later."""
        victims = [self.town.members[kind][-1] for kind in kinds]
        await asyncio.gather(*map(self.town.kill, victims))
        await self.crowd.go_on(self.answers)
        for victim in victims:
            self.town.forget(victim)

    async def frozen(self, kinds: Iterable[str] = KINDS) -> None:
        """Freeze one replica of each kind for a while."""
        victims = [self.town.members[kind][-1] for kind in kinds]
        began = time.monotonic()
        for victim in victims:
            victim.signal(signal.SIGSTOP)
        try:
            await self.crowd.go_on(self.answers)
            await asyncio.sleep(max(0.0, began + FROZEN_SECONDS - time.monotonic()))
        finally:
            for victim in victims:
                victim.signal(signal.SIGCONT)
        await asyncio.gather(*map(self._shares, victims))

    async def drained(self, kinds: Iterable[str] = KINDS) -> None:
        """Stop one replica of each kind in order."""
        await asyncio.gather(*(self.town.drain(self.town.members[kind][-1]) for kind in kinds))

    async def added(self, kinds: Iterable[str] = KINDS) -> None:
        """Add a replica of each kind, and wait until it has its share."""
        new = await self.town.add_all(kinds, self.code)
        took = await asyncio.gather(*map(self._shares, new))
        for replica, seconds in zip(new, took, strict=True):
            self.shares[replica.kind] = max(seconds, self.shares.get(replica.kind, 0.0))

    async def _shares(self, replica: Replica) -> float:
        return await self.town.seconds_until_share(replica, at_most=SHARE_SECONDS_MAX)

    def spread(self) -> list[str]:
        """Tell, for each kind, which part of the calls each replica has had since the last look."""
        lines = []
        for kind in KINDS:
            before = self._before.get(kind, {})
            calls = [each - before.get(ip, 0) for ip, each in self.town.calls(kind).items()]
            all_calls = max(1, sum(calls))
            parts = ", ".join(f"{each / all_calls:.0%}" for each in calls)
            lines.append(f"{kind:10} {sum(calls):7} calls: {parts}")
        return lines

    def _outcome(self, name: str) -> Outcome:
        reads = [each for each in self.crowd.tallies if each.is_read]
        writes = [each for each in self.crowd.tallies if not each.is_read]
        return Outcome(
            name,
            (sum(each.sent for each in reads), sum(each.failed.total() for each in reads)),
            (sum(each.sent for each in writes), sum(each.failed.total() for each in writes)),
            sum(each.repeats for each in writes),
            (
                max(each.longest_seconds for each in reads),
                max(each.longest_seconds for each in writes),
            ),
            self.crowd.failures(),
        )


async def judge(
    play: Play, urls: Mapping[str, str], excused: Callable[[str], bool] = lambda _: False
) -> bool:
    """Print what came of it all, and return whether nothing failed and nothing was lost.

    Args:
        play: What was played.
        urls: The databases.
        excused: Tells of a failure whether it is none of this code.
    """
    people = play.crowd
    lost = await asyncio.to_thread(people.judge.missing, people.registered, people.ordered)
    findings = await asyncio.to_thread(compare, urls)
    print("\nhow the calls spread in the end, over the replicas that are there:")
    print("\n".join(play.spread()))
    for kind, seconds in play.shares.items():
        print(
            f"a new {kind} had its share after {seconds:.0f} s (limit: {SHARE_SECONDS_MAX:.0f} s)"
        )
    reads = sum(each.reads[0] for each in play.outcomes)
    writes = sum(each.writes[0] for each in play.outcomes)
    repeats = sum(each.repeats for each in play.outcomes)
    failures = [line for each in play.outcomes for line in each.failures]
    blamed = [line for line in failures if not excused(line)]
    print(f"\nsent: {reads} reads, {writes} writes with a key ({repeats} repeats)")
    print(f"told: {len(people.registered)} registrations, {len(people.ordered)} orders")
    failed = sum(each.reads[1] + each.writes[1] for each in play.outcomes)
    print(f"failed: {failed}" + (" (some of them excused)" if blamed != failures else ""))
    print(f"lost: {len(lost[0])} registrations, {len(lost[1])} orders")
    print(f"reconcile finds: {len(findings)}")
    return not (blamed or lost[0] or lost[1] or findings)
