"""Schedules of faults: cancellation of an order and confirmation of an address."""

from __future__ import annotations

from tests.faults.forms import keep_promises
from tests.faults.world import World


def test_no_schedule_breaks_a_promise_of_a_cancellation_of_an_order(world: World) -> None:
    keep_promises(world, "cancel")


def test_no_schedule_breaks_a_promise_of_a_confirmation_of_an_address(world: World) -> None:
    keep_promises(world, "verify")
