"""Plays one schedule, heals everything, and says which promises were broken."""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import itertools
from dataclasses import dataclass
from typing import Any, cast

import grpc
from lockstep_clients import LockstepError

from tests.faults.edges import BENIGN, SKEWS, Run, Schedule
from tests.faults.remains import Remains, broken
from tests.faults.scenario import Outcome, Scenario
from tests.faults.wire import Wire
from tests.faults.world import World

CLIENT_SECONDS = 60.0
# More than the clock's resolution: only when everybody waits for time to pass.
IDLE_SECONDS = 1e-3
SETTLE_STEPS = 600
STEP_SECONDS = 2.0
# Longer than the pauses before somebody tries again.
GOING_ON_SECONDS = 1.0
# How many calls a second a saga may make of a participant that does not answer.
CALLS_A_SECOND, CALLS_MORE = 2.5, 12


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a schedule.

    Attributes:
        trace: The edges that were passed.
        hit: The faults that happened, as `edge:fault`.
        violations: Broken promises; none is good news.
        state: A hash of the trace and of how it ended.
        outcome: What the client was told.
        is_done: Whether the request had its effect when all was at rest.
    """

    scenario: str
    schedule: Schedule
    trace: list[str]
    hit: list[str]
    violations: list[str]
    state: str
    outcome: str
    is_done: bool

    def __str__(self) -> str:
        line = " ".join([self.scenario, *map(str, self.schedule)])
        problems = "".join(f"\n    {problem}" for problem in self.violations[:5])
        return f"python -m tests.faults replay '{line}'{problems}"


async def play(world: World, kind: type[Scenario], schedule: Schedule) -> Result:
    """Play a schedule of a scenario."""
    run = world.begin(schedule)
    scenario = kind(world)
    for name in scenario.replicas:
        await world.replica(name)
    world.look = scenario
    world.prepared = world.ground.everything()
    try:
        return await _play(world, run, scenario, schedule)
    finally:
        world.look = None
        await world.end()


async def _play(world: World, run: Run, scenario: Scenario, schedule: Schedule) -> Result:
    begin = world.loop.time()
    outcome = await _ask(world, run, scenario)
    if outcome.kind == "fail" and _copy_is_behind(run):
        outcome = Outcome("unknown", outcome.reason)
    await _settle(world, run, scenario)
    state, is_done = _state(run, scenario, outcome), scenario.happened()
    _check(run, scenario, outcome)
    _check_benign(run, scenario)
    for method, count in run.sent.items():
        most = CALLS_MORE + CALLS_A_SECOND * (world.loop.time() - begin)
        if count > most:
            run.blame(f"{method} was sent {count} times")
    trace = list(run.trace)
    run.healed = True
    is_aged = run.has_met("age")
    if run.late:
        await _deliver_late(world, run, scenario)
        _check(run, scenario, outcome)
    # Keys are kept for a day, and a mailed code can be repeated for ten minutes.
    is_too_late = is_aged or (not scenario.keyed and run.has_met("ahead"))
    if scenario.is_repeated and not is_too_late:
        await _ask_again(world, run, scenario, outcome)
    run.violations.extend(f"an unexpected error: {error}" for error in run.unexpected)
    run.violations.extend(scenario.secrets())
    return Result(
        scenario=scenario.name,
        schedule=schedule,
        trace=trace,
        hit=run.hit,
        violations=run.violations,
        state=state,
        outcome=outcome.kind,
        is_done=is_done,
    )


async def _ask(world: World, run: Run, scenario: Scenario) -> Outcome:
    metadata = {"idempotency-key": scenario.key}
    wire = cast(Any, Wire(world, run.client, scenario.principal, metadata))
    asking = asyncio.get_running_loop().create_task(
        scenario.ask(wire), context=contextvars.Context()
    )
    run.on_leave = asking.cancel
    if not world.is_recovering:
        world.loop.call_later(IDLE_SECONDS, world.recover)
    await asyncio.wait([asking], timeout=CLIENT_SECONDS)
    if asking.cancelled() or not asking.done():
        return Outcome("unknown", "left")
    error = asking.exception()
    if error is None:
        return Outcome("ok", answer=asking.result())
    if isinstance(error, LockstepError):
        if error.code is grpc.StatusCode.INTERNAL:
            run.blame("the client was told INTERNAL")
        return Outcome.of(error)
    raise error


def _copy_is_behind(run: Run) -> bool:
    """Say whether a copy of the request had not begun when the request was answered.

    Nobody knew of it, so it may yet go through, as the client's own repeat would: the
    refusal speaks of the one copy, and the key tells of both.
    """
    method = run.trace[0].split(".")[1]
    if f"client.{method}.request:twice" not in run.hit:
        return False
    until_answered = itertools.takewhile(lambda edge: f".{method}.handled" not in edge, run.trace)
    return not any(".T1.commit.acked" in edge for edge in until_answered)


async def _settle(world: World, run: Run, scenario: Scenario) -> None:
    """Let time pass until nothing is left to do."""
    if run.hit:
        await asyncio.sleep(STEP_SECONDS)
    for _ in range(SETTLE_STEPS):
        if _is_settled(world, run, scenario):
            # Who was stopped until now has not gone on yet.
            await asyncio.sleep(GOING_ON_SECONDS)
            if _is_settled(world, run, scenario):
                return
        await world.reinforce()
        await asyncio.sleep(STEP_SECONDS)
    run.blame("a saga never ended")


def _is_settled(world: World, run: Run, scenario: Scenario) -> bool:
    is_stopping = any(
        each.actor.stopping and not each.actor.dead for each in world.replicas.values()
    )
    return not run.is_held() and not is_stopping and not scenario.unfinished()


async def _deliver_late(world: World, run: Run, scenario: Scenario) -> None:
    scenario.take_reason_away()
    for message in run.late:
        for _ in range(2):
            try:
                await message()
            except LockstepError:
                continue
    await _settle(world, run, scenario)


async def _ask_again(world: World, run: Run, scenario: Scenario, first: Outcome) -> None:
    """Send the same request with the same key, now that nothing fails."""
    happened = scenario.happened()
    is_kept = first.is_kept and scenario.keyed
    if is_kept:
        scenario.take_reason_away()
    await world.reinforce()
    scenario.retried = True  # type: ignore[attr-defined]
    second = await _ask(world, run, scenario)
    await _settle(world, run, scenario)
    _check(run, scenario, second)
    if first.kind == "ok" and second.kind == "ok" and first.answer != second.answer:
        run.blame("the same key got another answer")
    if is_kept and second.reason != first.reason:
        run.blame(f"the same key got {second.reason or second.kind} after {first.reason}")
    if first.kind == "fail" and second.kind == "ok" and not first.may_pass:
        run.blame(f"the client was told {first.reason}, and then ok")
    if first.kind == "ok" and second.kind == "fail" and second.reason != "USER_NOT_FOUND":
        run.blame(f"the same key got {second.reason} after ok")
    if happened and second.kind == "fail" and second.reason != "USER_NOT_FOUND":
        run.blame(f"it has happened, and the same key got {second.reason}")
    if second.kind == "unknown":
        run.blame(f"nothing fails, and the same key got {second.reason or 'no answer'}")


def _check(run: Run, scenario: Scenario, outcome: Outcome) -> None:
    world = scenario.world
    left = Remains(world.ground.everything(), world.prepared, is_aged=world.is_aged())
    for problem in (*scenario.always(), *scenario.in_the_end(outcome), *broken(left)):
        run.blame(problem)


def _check_benign(run: Run, scenario: Scenario) -> None:
    faults = {hit.rpartition(":")[2] for hit in run.hit}
    # The clock of the participant's database, or a commit of the participant.
    is_theirs = bool(run.hit) and run.hit[0].startswith(("p", "client"))
    small = BENIGN | {"overlap"} | SKEWS if is_theirs else BENIGN
    is_before = any(name in str(run.hit) for name in scenario.tried_once)
    is_small = len(run.hit) <= 1 and faults <= small and not is_before
    if is_small and not scenario.refused and not scenario.happened():
        run.blame("one small fault made it fail")


def _state(run: Run, scenario: Scenario, outcome: Outcome) -> str:
    digest = hashlib.sha256()
    for part in (*run.trace, outcome.kind, outcome.reason, str(scenario.happened())):
        digest.update(part.encode())
    return digest.hexdigest()[:16]
