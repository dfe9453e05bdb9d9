"""The harness must catch every protocol that is known to be wrong."""

from __future__ import annotations

import pytest

from tests.faults.edges import parse
from tests.faults.forms import report
from tests.faults.mutants import MUTANTS
from tests.faults.play import play
from tests.faults.scenarios import SCENARIOS
from tests.faults.world import World

TRIES = 4


@pytest.mark.parametrize("name", MUTANTS)
def test_a_pitfall_breaks_a_promise_that_the_real_protocol_keeps(world: World, name: str) -> None:
    mutant = MUTANTS[name]
    kind, schedule = SCENARIOS[mutant.scenario], parse(mutant.schedule)
    run = world.loop.run_until_complete
    assert run(play(world, kind, schedule)).violations == []
    with mutant.applied():
        without_faults = run(play(world, kind, ()))
        # Which of two answers of the database comes first is not ours to say.
        for _ in range(TRIES):
            killed = run(play(world, kind, schedule))
            if killed.violations:
                break
    assert [str(strike) for strike in schedule] == killed.hit
    assert any(mutant.expected in text for text in killed.violations), killed.violations
    if schedule:  # so it is the fault that shows it
        assert not any(mutant.expected in text for text in without_faults.violations)
    report(f"mutant-{name}", {"name": name, "violation": killed.violations[0]})
