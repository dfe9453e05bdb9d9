"""Every state of the protocol keeps every invariant, and each protection is needed for that."""

from __future__ import annotations

import pytest

from tests.model.protocol import DEADLINE, KEPT, PROTECTIONS, Explored, Protocol, explore, stuck

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


@pytest.mark.parametrize("protection", PROTECTIONS)
def test_without_a_protection_some_state_breaks_an_invariant(protection: str) -> None:
    found = explore(Protocol(**{protection: False}))
    assert found.failure is not None
    assert found.trace  # the moves that lead to it


@pytest.mark.parametrize("protection", sorted(ONLY_WITH_TWO_CLOCKS))
def test_some_protections_are_needed_for_two_clocks_only(protection: str) -> None:
    found = explore(Protocol(**{protection: False}, skew_max=0))
    assert found.failure is None


def test_clocks_may_not_differ_by_more_than_a_tombstone_is_kept() -> None:
    """A tombstone that is older than the message that it refuses is no tombstone."""
    found = explore(Protocol(skew_max=KEPT + DEADLINE + 1))
    assert found.failure == "I2: ABORTED with a profile"
