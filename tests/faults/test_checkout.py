"""Schedules of faults: checkout and checkout that the wallet refuses."""

from __future__ import annotations

from tests.faults.forms import keep_promises
from tests.faults.world import World


def test_no_schedule_breaks_a_promise_of_a_checkout(world: World) -> None:
    keep_promises(world, "checkout")


def test_no_schedule_breaks_a_promise_of_a_checkout_that_the_wallet_refuses(world: World) -> None:
    keep_promises(world, "checkout-refused")
