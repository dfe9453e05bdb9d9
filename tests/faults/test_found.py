"""Schedules that have found something, so that it stays found."""

from __future__ import annotations

import pytest

from tests.faults.edges import parse
from tests.faults.play import play
from tests.faults.scenarios import SCENARIOS
from tests.faults.world import World

FOUND = {
    # T1 took longer than the caller waited: it was told SAGA_NOT_FOUND, and then it happened.
    "a slow T1 is in doubt, not missing": ("verify", "a1.T1.statement#1:nap"),
    # Of a request that came twice one copy could not ask Profile, and its refusal was told.
    "a copy that fails gets the answer of the other": (
        "register",
        "client.Register.request:twice a1.PhoneExists.request:lose",
    ),
    # The harness's own: it took the refusal of a copy for a word about the other, which had
    # not begun when the first was answered.
    "a refusal does not speak of a copy that begins later": (
        "register",
        "client.Register.request:twice a1.PhoneExists.reply:jump a1.PhoneExists.reply:reset",
    ),
    # The same: it healed while a transaction stood between two jumps of the clock.
    "a transaction between two jumps is waited for": (
        "checkout",
        "c1.T1.statement#6:jump c1.T1.statement#1:jump",
    ),
    # The same: it did not look at a lease that was given back by a commit without an answer.
    "a lease that was given back unseen may be taken": (
        "checkout",
        "c1.T2.commit.sent:crash p1.VoidTransfer.commit.acked:crash c2.release.commit.sent:lost",
    ),
    # Commerce had forgotten that a user was forgotten when Auth asked again, weeks later.
    "a deletion that goes on after weeks refuses what comes late": (
        "delete+product",
        (
            "p1.ForgetProfile.statement#13:meet a1.T2.commit.sent:overlap"
            " c1.ForgetUser.commit.acked:age"
        ),
    ),
}


@pytest.mark.parametrize("what", FOUND)
def test_what_was_found_stays_mended(world: World, what: str) -> None:
    scenario, schedule = FOUND[what]
    result = world.loop.run_until_complete(play(world, SCENARIOS[scenario], parse(schedule)))
    assert result.hit
    assert result.violations == []
