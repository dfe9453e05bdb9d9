"""Schedules of faults: checkout and checkout that the wallet refuses."""

from __future__ import annotations

import pytest

from tests.faults.forms import keep_promises, parts
from tests.faults.world import World


@pytest.mark.parametrize("part", parts("checkout"))
def test_no_schedule_breaks_a_promise_of_a_checkout(world: World, part: int) -> None:
    keep_promises(world, "checkout", part)


@pytest.mark.parametrize("part", parts("checkout-refused"))
def test_no_schedule_breaks_a_promise_of_a_checkout_that_the_wallet_refuses(
    world: World, part: int
) -> None:
    keep_promises(world, "checkout-refused", part)
