"""Registrations while the clock of Profile's database differs from that of Auth's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from lockstep_clients import Unavailable
from structlog.testing import capture_logs

from tests.postgres import set_clock_offset
from tests.system import System, student, system

KEY = (("idempotency-key", "once"),)
Skewed = Callable[[str], AbstractAsyncContextManager[System]]


@pytest.fixture
def skewed(auth_url: str, profile_url: str, keys: Path, tmp_path: Path) -> Skewed:
    @asynccontextmanager
    async def skewed(offset: str) -> AsyncIterator[System]:
        set_clock_offset(profile_url, offset)
        async with system(auth_url, profile_url, keys, tmp_path) as lockstep:
            yield lockstep

    return skewed


@pytest.mark.parametrize("offset", ["6 s", "-6 s", "10 min", "-10 min", "55 min", "-55 min"])
async def test_clocks_that_differ_refuse_nobody_and_are_warned_of(
    skewed: Skewed, offset: str
) -> None:
    """[R55]"""
    async with skewed(offset) as lockstep:
        with capture_logs() as logs:
            made = await lockstep.auth.Register(student(), metadata=KEY)
            assert await lockstep.auth.Register(student(), metadata=KEY) == made
            await lockstep.auth.Register(student("bob@example.com"))
        warnings = [each for each in logs if each["event"] == "clocks differ"]
        assert [each["saga"] for each in warnings] == ["registration"]  # the second is spared
        ahead = warnings[0]["participant_ahead_seconds"]
        minutes = float(offset.split(maxsplit=1)[0]) / (1 if "min" in offset else 60)
        # Of a clock behind, only what it is behind the saga's beginning is sure.
        assert ahead == pytest.approx(minutes * 60, abs=2.0)
        await lockstep.agree()


async def test_clocks_that_agree_are_not_warned_of(skewed: Skewed) -> None:
    async with skewed("0") as lockstep:
        with capture_logs() as logs:
            await lockstep.auth.Register(student())
        assert "clocks differ" not in [each["event"] for each in logs]


async def test_clocks_that_differ_by_hours_cost_a_try_and_no_key(
    skewed: Skewed, profile_url: str
) -> None:
    """[R55]: the same key succeeds as soon as the clocks are right again."""
    async with skewed("3 hours") as lockstep:
        with capture_logs() as logs, pytest.raises(Unavailable) as caught:
            await lockstep.auth.Register(student(), metadata=KEY)
        assert caught.value.reason == "PROFILE_UNAVAILABLE"
        warnings = [each for each in logs if each["event"] == "clocks differ"]
        assert [round(each["participant_ahead_seconds"] / 60) for each in warnings] == [180]
        await lockstep.settled()
        set_clock_offset(profile_url, "0")
        made = await lockstep.auth.Register(student(), metadata=KEY)
        assert await lockstep.auth.Register(student(), metadata=KEY) == made
        await lockstep.agree()
