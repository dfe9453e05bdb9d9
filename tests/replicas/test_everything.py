"""The short form of `make replicas`: two of everything, of which one of each is lost."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from services.cli.reconciler import compare
from tests.conftest import Databases
from tests.replicas.crowd import crowd
from tests.replicas.play import Play
from tests.replicas.town import SERVICES, Code, town

CONNECTION_SECONDS = "3"
ANSWERS = 5


@pytest.mark.processes
@pytest.mark.slow
async def test_one_of_each_is_killed_frozen_drained_and_added(
    databases: Databases, stack: ExitStack, keys: Path
) -> None:
    """No read fails, no write with a key fails, and new replicas get their share."""
    urls = {service: databases.fresh(stack, service) for service in SERVICES}
    code = Code(keys)
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lockstep-replicas-")))
    async with (
        town(folder, urls, code, connection_seconds=CONNECTION_SECONDS) as made,
        crowd(made.edge, urls) as people,
    ):
        play = Play(made, people, code, ANSWERS)
        for name, happening in (
            ("killed", play.killed),
            ("added", play.added),
            ("frozen", play.frozen),
            ("drained", play.drained),
        ):
            print(await play.watch(name, happening))
        await people.stop()
        assert [each for outcome in play.outcomes for each in outcome.failures] == []
        assert people.judge.missing(people.registered, people.ordered) == (set(), set())
        assert people.registered
        assert people.ordered
        assert compare(urls) == []
