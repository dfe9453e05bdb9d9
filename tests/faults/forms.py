"""How much is played: the short form inside the tests, the long one by `make faults`."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from tests.faults.explore import Explored, meetings, pairs, play_pairs, singles
from tests.faults.meeting import Meeting
from tests.faults.meetings import MEETINGS
from tests.faults.rows import OPEN, missed, schedules_of
from tests.faults.scenarios import SCENARIOS
from tests.faults.world import World

SEED = int(os.environ.get("FAULTS_SEED", "0"))
IS_LONG = os.environ.get("FAULTS") == "long"
SHOWN = 5

# Pairs in the short form; the long one has more, and triples.
PAIRS: dict[str, int] = {
    "register": 400,
    "register-refused": 200,
    "checkout": 350,
    "checkout-refused": 150,
    "cancel": 150,
    "cancel-part": 50,
    "return": 50,
    "return-refused": 50,
    "fulfil": 50,
    "verify": 100,
    "delete": 100,
    "delete-refused": 50,
    "delete-rich": 50,
    "sign-up": 50,
    "disable": 50,
    "enable": 50,
}
# One schedule of these takes as long as several others, with a wrong clock 15 s.
SLOW = frozenset({"webhooks", "mails", "relay"})
PAIRS |= dict.fromkeys(SLOW, 0)
# Of two requests that meet, the short form plays every meeting, and no fault beside it.
PAIRS |= {kind.name: 0 for kind in MEETINGS}
# The long form has pairs of every scenario, as if the short one played at least so many.
LONG_PAIRS_AT_LEAST = 50
# Few enough that a part ends soon on any machine.
PAIRS_A_PART = 50
# In the long form, for each pair of the short one.
LONG_PAIRS, LONG_TRIPLES = 9.0, 1.4
SLOW_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Tally:
    """What a report says of a scenario."""

    scenario: str
    edges: list[str]
    singles: int
    pairs: int
    triples: int
    states: list[str]
    hit: list[str]
    broken: list[str]
    outcomes: dict[str, str]
    seed: int
    seconds: float


def parts(name: str) -> range:
    """Return the parts of a scenario: first all single faults, then pairs, some at a time."""
    return range(1 + -(-_pairs_of(name) // PAIRS_A_PART))


def _pairs_of(name: str) -> int:
    return max(PAIRS[name], LONG_PAIRS_AT_LEAST) if IS_LONG else PAIRS[name]


def keep_promises(world: World, name: str, part: int) -> None:
    """Play a part, and fail with the lines that replay those schedules that break a promise."""
    begin = time.perf_counter()
    explored = Explored(name)
    run = world.loop.run_until_complete
    kind = SCENARIOS[name]
    if part == 0 or name not in world.singles:
        if issubclass(kind, Meeting):
            world.singles[name] = run(meetings(world, kind, explored))
        else:
            world.singles[name] = run(singles(world, kind, explored, is_whole=IS_LONG))
    if part > 0:
        share = PAIRS_A_PART * (SLOW_SHARE if name in SLOW else 1)
        size = round(share * (LONG_PAIRS if IS_LONG else 1))
        schedules = islice(pairs(world.singles[name], seed=SEED), (part - 1) * size, part * size)
        triples = round(share * LONG_TRIPLES) if IS_LONG else 0
        run(play_pairs(world, kind, explored, schedules, triples=triples, seed=SEED + part))
    if issubclass(kind, Meeting):  # the matrix is about one request
        explored.outcomes.clear()
    report(f"part-{name}-{part}", asdict(_tally(explored, time.perf_counter() - begin)))
    shown = "\n".join(map(str, explored.broken[:SHOWN]))
    assert not explored.broken, f"{len(explored.broken)} schedules break a promise:\n{shown}"
    if part == 0:
        _reach_what_rows_require(explored)


def _reach_what_rows_require(explored: Explored) -> None:
    """Fail if a single fault has another outcome than its rows require, or than OPEN says."""
    wrong = missed(explored.outcomes)
    met = {row for row in OPEN if schedules_of(row, explored.outcomes)}
    assert wrong.keys() - OPEN == set(), f"rows require another outcome: {wrong}"
    assert met <= wrong.keys(), f"rows are kept that OPEN calls open: {met - wrong.keys()}"


def _tally(explored: Explored, seconds: float) -> Tally:
    return Tally(
        scenario=explored.scenario,
        edges=sorted({edge.partition("~")[0] for edge in explored.edges}),
        singles=explored.schedules[1],
        pairs=explored.schedules[2],
        triples=explored.schedules[3],
        states=sorted(explored.states),
        hit=sorted({_plain(hit) for hit in explored.hit}),
        broken=[str(result) for result in explored.broken],
        outcomes={_plain(hit): outcome for hit, outcome in explored.outcomes.items()},
        seed=SEED,
        seconds=seconds,
    )


def _plain(hit: str) -> str:
    edge, _, fault = hit.rpartition(":")
    return f"{edge.partition('~')[0]}:{fault}"


def report(name: str, content: object) -> None:
    """Leave something for the report, when one is written."""
    folder = os.environ.get("FAULTS_REPORT")
    if folder:
        (Path(folder) / f"{name}.json").write_text(json.dumps(content))
