"""Schedules of faults: registration and registration that Profile refuses."""

from __future__ import annotations

from tests.faults.forms import keep_promises
from tests.faults.world import World


def test_no_schedule_breaks_a_promise_of_a_registration(world: World) -> None:
    keep_promises(world, "register")


def test_no_schedule_breaks_a_promise_of_a_registration_that_Profile_refuses(world: World) -> None:
    keep_promises(world, "register-refused")
