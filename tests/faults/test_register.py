"""Schedules of faults: registration and registration that Profile refuses."""

from __future__ import annotations

import pytest

from tests.faults.forms import keep_promises, parts
from tests.faults.world import World


@pytest.mark.parametrize("part", parts("register"))
def test_no_schedule_breaks_a_promise_of_a_registration(world: World, part: int) -> None:
    keep_promises(world, "register", part)


@pytest.mark.parametrize("part", parts("register-refused"))
def test_no_schedule_breaks_a_promise_of_a_registration_that_Profile_refuses(
    world: World, part: int
) -> None:
    keep_promises(world, "register-refused", part)
