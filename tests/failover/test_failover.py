"""The short form of `make failover`: the primary of a synchronous cluster is killed once."""

from __future__ import annotations

import pytest

from tests.failover import tools
from tests.failover.play import failing_over


@pytest.mark.processes
@pytest.mark.slow
@pytest.mark.skipif(bool(tools.missing()), reason=tools.missing())
async def test_a_primary_that_is_killed_loses_nothing_that_was_acknowledged() -> None:
    """[R36 R37 R38 R39 C36]: with synchronous replication, and one cluster for all databases."""
    async with failing_over() as failover:
        outcome = await failover.play("primary killed", type(failover).kill_primary)

        assert outcome.lost == (0, 0)
        assert outcome.findings == 0
        assert min(outcome.acknowledged) > 0
        assert set((await failover.fleet.stop()).values()) == {0}
