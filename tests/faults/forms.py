"""How much is played: the short form inside the tests, the long one by `make faults`."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.faults.explore import Explored, explore
from tests.faults.scenarios import SCENARIOS
from tests.faults.world import World

SEED = int(os.environ.get("FAULTS_SEED", "0"))
IS_LONG = os.environ.get("FAULTS") == "long"
SHOWN = 5

# Pairs in the short form; the long one has more, and triples.
PAIRS = {
    "register": 1400,
    "register-refused": 800,
    "checkout": 1200,
    "checkout-refused": 500,
    "cancel": 500,
    "verify": 300,
    "delete": 200,
    "delete-refused": 150,
}
LONG_PAIRS, LONG_TRIPLES = 3.2, 0.4


@dataclass(frozen=True, slots=True)
class Tally:
    """What a report says of a scenario."""

    scenario: str
    edges: int
    singles: int
    pairs: int
    triples: int
    states: int
    hit: list[str]
    broken: list[str]
    seed: int
    seconds: float


def keep_promises(world: World, name: str) -> None:
    """Play a scenario's schedules, and fail with the lines that replay those that break one."""
    begin = time.perf_counter()
    pair_count = PAIRS[name]
    explored = world.loop.run_until_complete(
        explore(
            world,
            SCENARIOS[name],
            seed=SEED,
            pair_count=round(pair_count * (LONG_PAIRS if IS_LONG else 1)),
            triple_count=round(pair_count * LONG_TRIPLES) if IS_LONG else 0,
        )
    )
    report(f"scenario-{name}", asdict(_tally(explored, time.perf_counter() - begin)))
    shown = "\n".join(map(str, explored.broken[:SHOWN]))
    assert not explored.broken, f"{len(explored.broken)} schedules break a promise:\n{shown}"


def _tally(explored: Explored, seconds: float) -> Tally:
    return Tally(
        scenario=explored.scenario,
        edges=len({edge.partition("~")[0] for edge in explored.edges}),
        singles=explored.schedules[1],
        pairs=explored.schedules[2],
        triples=explored.schedules[3],
        states=len(explored.states),
        hit=sorted({_plain(hit) for hit in explored.hit}),
        broken=[str(result) for result in explored.broken],
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
