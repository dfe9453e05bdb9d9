"""Schedules of faults: cancellation of an order and confirmation of an address."""

from __future__ import annotations

import pytest

from tests.faults.forms import keep_promises, parts
from tests.faults.world import World


@pytest.mark.parametrize("part", parts("cancel"))
def test_no_schedule_breaks_a_promise_of_a_cancellation_of_an_order(
    world: World, part: int
) -> None:
    keep_promises(world, "cancel", part)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        (name, part)
        for name in ("cancel-part", "return", "return-refused", "fulfil")
        for part in parts(name)
    ],
)
def test_no_schedule_breaks_a_promise_of_a_refund_of_a_part(
    world: World, name: str, part: int
) -> None:
    keep_promises(world, name, part)


@pytest.mark.parametrize("part", parts("verify"))
def test_no_schedule_breaks_a_promise_of_a_confirmation_of_an_address(
    world: World, part: int
) -> None:
    keep_promises(world, "verify", part)
