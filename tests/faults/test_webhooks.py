"""Schedules of faults on the way of an event to a webhook."""

from __future__ import annotations

import pytest

from tests.faults.forms import keep_promises, parts
from tests.faults.world import World


@pytest.mark.parametrize("part", parts("webhooks"))
def test_no_schedule_breaks_a_promise_of_an_order_that_a_webhook_is_told_of(
    world: World, part: int
) -> None:
    keep_promises(world, "webhooks", part)
