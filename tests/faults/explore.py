"""Enumerates schedules: all single faults, pairs as they were observed, random triples."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tests.faults.edges import Schedule, Strike, faults_at
from tests.faults.play import Result, play
from tests.faults.rows import DONE, ROWS, UNDONE, schedules_of
from tests.faults.scenario import Scenario
from tests.faults.world import World

# A crash between two statements of a transaction leaves what a crash before the first does.
_STATEMENT = re.compile(r"\.statement#(\d+)")


@dataclass
class Explored:
    """What was seen of a scenario.

    Attributes:
        edges: The names of all edges passed.
        schedules: How many were played, by the number of faults.
        states: Hashes of what was passed and how it ended.
        hit: The faults that happened.
        broken: Results that broke a promise.
        outcomes: What became of the request by a single fault, as `scenario edge:fault`.
    """

    scenario: str
    edges: set[str] = field(default_factory=set)
    schedules: dict[int, int] = field(default_factory=lambda: dict.fromkeys(range(4), 0))
    states: set[str] = field(default_factory=set)
    hit: set[str] = field(default_factory=set)
    broken: list[Result] = field(default_factory=list)
    outcomes: dict[str, str] = field(default_factory=dict)

    def add(self, result: Result) -> None:
        """Take in what became of a schedule."""
        self.edges.update(result.trace)
        self.schedules[len(result.schedule)] += 1
        self.states.add(result.state)
        self.hit.update(result.hit)
        if len(result.schedule) == 1 and result.hit:
            outcome = DONE if result.is_done else UNDONE
            self.outcomes[f"{self.scenario} {result.hit[0]}"] = outcome
        if result.violations:
            self.broken.append(result)


def strikes(trace: list[str], *, all_statements: bool = True) -> Iterator[Strike]:
    """Yield every fault at every edge of a trace."""
    for index, edge in enumerate(trace):
        if _is_idle_claim(trace, index):
            continue
        if not all_statements and _is_later_statement(edge):
            continue
        for fault in faults_at(edge):
            yield Strike(edge, fault)


def _is_later_statement(edge: str) -> bool:
    found = _STATEMENT.search(edge)
    return found is not None and found[1] != "1"


def by_turns(all_strikes: Iterable[Strike], also: str) -> Iterator[Strike]:
    """Yield one fault for each later statement of a transaction, and all other strikes.

    Args:
        all_strikes: The strikes, by their edges.
        also: A pattern of further edges with one fault; empty: of none.
    """
    turns = itertools.count()
    for edge, here in itertools.groupby(all_strikes, key=lambda strike: strike.edge):
        faults = list(here)
        if _is_later_statement(edge) or (also and re.search(also, edge)):
            yield faults[next(turns) % len(faults)]
        else:
            yield from faults


def of_missing_rows(
    scenario: str, chosen: Iterable[Strike], every: Iterable[Strike]
) -> Iterator[Strike]:
    """Yield a strike for each row of the matrix that the chosen ones leave out."""
    already = [f"{scenario} {strike}" for strike in chosen]
    by_hit = {f"{scenario} {strike}": strike for strike in every}
    for row in ROWS:
        hits = schedules_of(row, by_hit)
        if hits and not schedules_of(row, already):
            already.append(hits[0])
            yield by_hit[hits[0]]


def _is_idle_claim(trace: list[str], index: int) -> bool:
    """Say whether an edge belongs to a look for due sagas, or webhooks, that found none."""
    edge = trace[index]
    actor, _, rest = edge.partition(".")
    if rest.startswith("webhook.claim."):
        found = _next_of(trace, index + 1, f"{actor}.webhook_deliveries.read")
        return found > _next_of(trace, index + 1, f"{actor}.webhook.claim.statement")
    if not rest.startswith("K."):
        return False
    if "acked" not in rest:  # its other edges are worth it only where it took something
        return _is_idle_claim(trace, index + 1) if index + 1 < len(trace) else True
    following = next((e for e in trace[index + 1 :] if e.startswith(f"{actor}.")), "")
    return not following or following.startswith(f"{actor}.K.")


def _next_of(trace: list[str], begin: int, name: str) -> int:
    """Return the index of the next edge of this name; after the last, if there is none."""
    places = (index for index in range(begin, len(trace)) if trace[index].startswith(name))
    return next(places, len(trace))


async def singles(
    world: World, kind: type[Scenario], explored: Explored, *, is_whole: bool
) -> list[Result]:
    """Play all schedules of no fault and of one.

    Unless it is whole, they are those at the scenario's own edges, `by_turns`, and one for each
    row of the matrix that has none among them.
    """
    plain = await play(world, kind, ())
    explored.add(plain)
    found = []
    chosen = every = list(strikes(plain.trace))
    if not is_whole:
        own = re.compile(kind.own_edges)
        own_strikes = (each for each in every if own.search(each.edge))
        chosen = list(by_turns(own_strikes, kind.turned_edges))
        chosen += of_missing_rows(kind.name, chosen, every)
    for strike in chosen:
        result = await play(world, kind, (strike,))
        explored.add(result)
        found.append(result)
    return found


async def meetings(world: World, kind: type[Scenario], explored: Explored) -> list[Result]:
    """Let two requests meet at every edge of the first one."""
    plain = await play(world, kind, ())
    explored.add(plain)
    found = []
    for index, edge in enumerate(plain.trace):
        if _is_idle_claim(plain.trace, index):
            continue
        result = await play(world, kind, (Strike(edge, "meet"),))
        explored.add(result)
        found.append(result)
        if edge.startswith("client.") and edge.endswith(".reply"):
            return found
    return found


def pairs(first: list[Result], *, seed: int) -> Iterator[Schedule]:
    """Yield pairs in a random order: the second fault comes after the first was met."""
    dice = random.Random(seed)
    bags = []
    for result in first:
        if not result.hit:
            continue
        after = result.trace.index(result.schedule[0].edge) + 1
        bag = list(strikes(_tail(result.trace, after), all_statements=False))
        dice.shuffle(bag)
        if bag:
            bags.append((result.schedule, bag))
    while bags:
        dice.shuffle(bags)
        for schedule, bag in bags:
            yield (*schedule, bag.pop())
        bags = [each for each in bags if each[1]]


def _tail(trace: list[str], after: int) -> list[str]:
    return trace[after : after + 150]


async def play_pairs(
    world: World,
    kind: type[Scenario],
    explored: Explored,
    schedules: Iterable[Schedule],
    *,
    triples: int,
    seed: int,
) -> None:
    """Play pairs, and add a third fault to some of them."""
    second = []
    for schedule in schedules:
        result = await play(world, kind, schedule)
        explored.add(result)
        if len(result.hit) == len(schedule):
            second.append(result)
    dice = random.Random(seed)
    for _ in range(triples):
        result = dice.choice(second)
        third = dice.choice(list(strikes(result.trace, all_statements=False)))
        explored.add(await play(world, kind, (*result.schedule, third)))
