"""Loops that stand still are started anew, and told of by readiness when that does not help."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from services.common.service import loops_probe
from services.kernel.db.cleaner import OLD_KEYS, Cleaner
from services.kernel.db.database import Database
from services.kernel.rpc.server import NotReady
from services.kernel.tasks import BEAT_SECONDS, Loop, Pulse, Watchdog
from services.kernel.telemetry.metrics import Telemetry
from tests.kernel.saga_world import Stop, World
from tests.telemetry.test_metrics import read

SECONDS_MAX = 20.0


class Still(Loop):
    """Counts how often it is started anew, and never works."""

    def __init__(self) -> None:
        self.pulse = Pulse("still")
        self.started = 0

    async def restart(self) -> None:
        self.started += 1


async def look(watchdog: Watchdog, seconds: float) -> None:
    for _ in range(round(seconds)):
        await watchdog.look()


async def test_a_loop_without_a_beat_is_started_anew_and_then_told() -> None:
    loop, telemetry = Still(), Telemetry("probe")
    watchdog = Watchdog([loop], telemetry.meter)
    with capture_logs() as logged:
        await look(watchdog, BEAT_SECONDS)
        assert loop.started == 0
        await look(watchdog, 1)
        assert (loop.started, watchdog.trouble) == (1, None)
        await look(watchdog, BEAT_SECONDS)
        assert loop.started == 2
    assert watchdog.trouble == "the loop still has not worked for 61 s"
    assert [each["event"] for each in logged] == ["loop restarted"] * 2
    assert read(telemetry)["lockstep_loop_restarts_total"] == [({"lockstep_loop_name": "still"}, 2)]
    loop.pulse.beat()
    assert watchdog.trouble is None
    await look(watchdog, BEAT_SECONDS)
    assert loop.started == 2


async def test_a_service_with_such_a_loop_is_not_ready() -> None:
    async def answers() -> None:
        """Find that the database answers."""

    loop = Still()
    probe = loops_probe(answers, Watchdog([loop]))
    await probe()
    loop.pulse.silence = 2 * BEAT_SECONDS + 1
    with pytest.raises(NotReady, match="the loop still has not worked for 61 s"):
        await probe()


async def test_a_restart_that_fails_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Still):
        async def restart(self) -> None:
            raise RuntimeError

    monkeypatch.setattr("services.kernel.tasks.LOOK_SECONDS", 0.001)
    broken, other = Broken(), Still()
    broken.pulse.silence = other.pulse.silence = BEAT_SECONDS
    watchdog = Watchdog([broken, other])
    with capture_logs() as logged:
        watchdog.start()
        async with asyncio.timeout(SECONDS_MAX):
            while not other.started:  # noqa: ASYNC110 - it only counts
                await asyncio.sleep(0.001)
        await watchdog.stop()
    assert "cannot restart a loop" in {each["event"] for each in logged}


async def beaten(loop: Loop) -> None:
    """Wait for a beat."""
    loop.pulse.silence = 1.0
    async with asyncio.timeout(SECONDS_MAX):
        while loop.pulse.silence:  # noqa: ASYNC110 - it only counts
            await asyncio.sleep(0.01)


async def test_recovery_whose_claim_hangs_goes_on(w: World) -> None:
    """Again and again: each time a connection hangs, and there are only two."""
    stop = Stop("auth.K.statement#1", times=3)
    engine = await w.engine(observer=stop, poll_seconds=0.01)
    engine.start()
    for _ in range(3):
        async with asyncio.timeout(SECONDS_MAX):
            await stop.reached.wait()
        stop.reached.clear()
        await engine.recovery.restart()
    await beaten(engine.recovery)
    saga = await w.run(engine)
    assert saga.result is not None


async def test_recovery_that_was_stopped_stays_so(w: World) -> None:
    engine = await w.engine()
    engine.start()
    await engine.retire()
    await engine.recovery.restart()
    tasks = [each.get_name() for each in asyncio.all_tasks()]
    assert "saga-recovery" not in tasks


@pytest.fixture
async def hanging(kernel_url: str) -> AsyncIterator[tuple[Database, Stop]]:
    stop = Stop("kernel.sweep.statement#1")
    database = Database(kernel_url, name="kernel", connections=1, observer=stop)
    await database.open()
    yield database, stop
    await database.close()


async def test_a_clean_up_that_hangs_is_given_up(hanging: tuple[Database, Stop]) -> None:
    database, stop = hanging
    cleaner = Cleaner(database, [OLD_KEYS])
    round_ = asyncio.ensure_future(cleaner.sweep())
    await asyncio.wait_for(stop.reached.wait(), SECONDS_MAX)
    await cleaner.restart()
    await asyncio.wait([round_], timeout=SECONDS_MAX)
    await cleaner.stop()
    cleaner.pulse.silence = 1.0
    assert await cleaner.sweep() == 0  # on the one connection, which is free again
    assert cleaner.pulse.silence == 0
