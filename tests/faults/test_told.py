"""Schedules of faults on the way of an event: to a webhook, into a mail, to NATS."""

from __future__ import annotations

import pytest

from tests.faults.forms import keep_promises, parts
from tests.faults.world import World


@pytest.mark.parametrize("part", parts("webhooks"))
def test_no_schedule_breaks_a_promise_of_an_order_that_a_webhook_is_told_of(
    world: World, part: int
) -> None:
    keep_promises(world, "webhooks", part)


@pytest.mark.parametrize("part", parts("mails"))
def test_no_schedule_breaks_a_promise_of_an_order_that_its_buyer_is_mailed_of(
    world: World, part: int
) -> None:
    keep_promises(world, "mails", part)


@pytest.mark.parametrize("part", parts("relay"))
def test_no_schedule_breaks_a_promise_of_an_order_that_is_told_over_nats(
    world: World, part: int
) -> None:
    keep_promises(world, "relay", part)
