"""Schedules of faults: deletion of an account and deletion that Commerce refuses."""

from __future__ import annotations

import pytest

from tests.faults.forms import keep_promises, parts
from tests.faults.world import World


@pytest.mark.parametrize("part", parts("delete"))
def test_no_schedule_breaks_a_promise_of_a_deletion_of_an_account(world: World, part: int) -> None:
    keep_promises(world, "delete", part)


@pytest.mark.parametrize("part", parts("delete-rich"))
def test_no_schedule_breaks_a_promise_of_a_deletion_of_an_account_with_money(
    world: World, part: int
) -> None:
    keep_promises(world, "delete-rich", part)


@pytest.mark.parametrize("part", parts("delete-refused"))
def test_no_schedule_breaks_a_promise_of_a_deletion_that_Commerce_refuses(
    world: World, part: int
) -> None:
    keep_promises(world, "delete-refused", part)
