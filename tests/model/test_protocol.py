"""Every state of the protocol keeps every invariant, and each protection is needed for that."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.model.protocol import (
    ALLOWANCE,
    DEADLINE,
    KEPT,
    PROTECTIONS,
    Explored,
    Protocol,
    State,
    explore,
    stuck,
)

ONLY_WITH_TWO_CLOCKS = {"keeps_cancels"}


@pytest.fixture(scope="module")
def explored() -> Explored:
    return explore(Protocol())


def test_no_state_breaks_an_invariant(explored: Explored) -> None:
    assert explored.failure is None, explored.trace
    assert len(explored.came_from) > 10_000  # it visits more than a few


def test_no_state_breaks_an_invariant_under_one_clock() -> None:
    found = explore(Protocol(skew_max=0))
    assert found.failure is None, found.trace


def test_every_state_can_still_end(explored: Explored) -> None:
    assert stuck(explored) == set()


def test_drivers_that_are_fenced_do_nothing_more_and_can_still_end(explored: Explored) -> None:
    """So leases, their renewal and their epochs are of no matter for safety."""
    fenced = explore(Protocol(is_fenced=True))
    assert fenced.failure is None, fenced.trace
    assert {replace(state, holder=0) for state in fenced.came_from} <= set(explored.came_from)
    assert stuck(fenced) == set()


@pytest.mark.parametrize("protection", PROTECTIONS)
def test_without_a_protection_some_state_breaks_an_invariant(protection: str) -> None:
    found = explore(Protocol(**{protection: False}))
    assert found.failure is not None
    assert found.trace  # the moves that lead to it


@pytest.mark.parametrize("protection", sorted(ONLY_WITH_TWO_CLOCKS))
def test_some_protections_are_needed_for_two_clocks_only(protection: str) -> None:
    """Two clocks that differ, or an allowance for such clocks."""
    without = {protection: False}
    assert explore(Protocol(**without, skew_max=0, allowance=0)).failure is None
    assert explore(Protocol(**without, skew_max=0)).failure is not None
    assert explore(Protocol(**without, allowance=0)).failure is not None


def prompt_messages_refused(found: Explored) -> list[State]:
    """Return the states in which A is too late there, although it is not here."""
    return [
        state
        for state in found.came_from
        if state.coordinator_clock <= DEADLINE
        and "A arrives too late" in (name for name, _ in found.protocol.moves(state))
    ]


def test_while_clocks_differ_by_the_allowance_no_prompt_message_is_too_late(
    explored: Explored,
) -> None:
    assert explored.protocol.skew_max == ALLOWANCE
    assert not prompt_messages_refused(explored)
    assert prompt_messages_refused(explore(Protocol(allowance=0)))


def test_clocks_may_differ_as_long_as_a_tombstone_outlives_the_allowance() -> None:
    """A tombstone that is older than the message that it refuses is no tombstone."""
    skew_max = KEPT - ALLOWANCE + 1  # the Cancel without A is sent one after the deadline
    assert explore(Protocol(skew_max=skew_max)).failure is None
    found = explore(Protocol(skew_max=skew_max + 1))
    assert found.failure == "I2: ABORTED with a profile"
    assert explore(Protocol(skew_max=1, allowance=KEPT + 1)).failure == found.failure
