"""Schedules of two requests that meet, and of what else becomes of accounts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from services.commerce.store import users
from tests.faults.edges import parse
from tests.faults.forms import keep_promises, parts
from tests.faults.meetings import MEETINGS
from tests.faults.patching import patched
from tests.faults.play import play
from tests.faults.scenarios import SCENARIOS
from tests.faults.world import World

ALONE = ("sign-up", "disable", "enable")
PLAYS = 5


@pytest.mark.parametrize(("name", "part"), [(name, part) for name in ALONE for part in parts(name)])
def test_no_schedule_breaks_a_promise_of_a_single_request(
    world: World, name: str, part: int
) -> None:
    keep_promises(world, name, part)


@pytest.mark.parametrize(
    ("name", "part"), [(kind.name, part) for kind in MEETINGS for part in parts(kind.name)]
)
def test_no_schedule_breaks_a_promise_of_two_requests_that_meet(
    world: World, name: str, part: int
) -> None:
    keep_promises(world, name, part)


@contextmanager
def no_lock_of_the_user() -> Iterator[None]:
    async def lock(*_: object) -> bool:
        return True

    with ExitStack() as stack:
        for name in ("lock", "lock_any", "lock_known"):
            stack.enter_context(patched(users, name, lock))
        yield


def test_a_protocol_without_the_lock_of_the_user_breaks_a_promise(world: World) -> None:
    schedule = parse("c1.T1.commit.sent:meet")
    violations: list[str] = []
    with no_lock_of_the_user():
        for _ in range(PLAYS):  # which of both comes first is PostgreSQL's to say
            played = play(world, SCENARIOS["cancel+delete"], schedule)
            violations += world.loop.run_until_complete(played).violations
    assert any("something is left of a user" in text for text in violations)
