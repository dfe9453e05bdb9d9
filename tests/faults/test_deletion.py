"""Schedules of faults: deletion of an account and deletion that Commerce refuses."""

from __future__ import annotations

from tests.faults.forms import keep_promises
from tests.faults.world import World


def test_no_schedule_breaks_a_promise_of_a_deletion_of_an_account(world: World) -> None:
    keep_promises(world, "delete")


def test_no_schedule_breaks_a_promise_of_a_deletion_that_Commerce_refuses(world: World) -> None:
    keep_promises(world, "delete-refused")
