"""The short form of `make upgrade`."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from services.cli.reconciler import compare
from tests.postgres import shared_postgres
from tests.upgrade.play import is_of_the_release, upgrading
from tests.upgrade.release import Release, ReleaseMissing

# One would not do: callers of 0.1.0 look up names once in 30 s at most.
SIZE = 2
ANSWERS = 3


@pytest.mark.processes
@pytest.mark.slow
async def test_a_rolling_update_from_the_last_release_fails_nobody(stack: ExitStack) -> None:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lockstep-upgrade-")))
    # Of its own: two of everything in both versions take many connections.
    server = stack.enter_context(shared_postgres())
    release = Release.last()
    try:
        async with upgrading(
            release, folder, server, size=SIZE, answers=ANSWERS, may_download=False
        ) as upgrade:
            await upgrade.play_all()
            people = upgrade.play.crowd
            await people.stop()
            failures = [each for seen in upgrade.play.outcomes for each in seen.failures]
            assert [each for each in failures if not is_of_the_release(each)] == []
            assert people.judge.missing(people.registered, people.ordered) == (set(), set())
            assert people.registered
            assert people.ordered
            assert compare(upgrade.urls) == []
    except ReleaseMissing as missing:
        pytest.skip(str(missing))
