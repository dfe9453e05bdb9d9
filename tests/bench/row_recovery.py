"""Recovery: how many due sagas a second a replica ends, and what a second replica adds."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import statistics
import time
from collections.abc import AsyncIterator

import psycopg

from tests.bench.lab import CHEAP, Lab
from tests.bench.report import Finding, Ratio, at_least
from tests.bench.stack import StackError, sharing

# So many that a replica's pause of a second before its first look is a small part of the time.
SAGAS, QUICK_SAGAS = 3_000, 600
RATE, GAIN = 200.0, 1.5
# Each replica gets a share of a core, as if the machine had enough cores for all.
SHARE = 0.3
SECONDS_MAX = 120.0
# Sagas that have nothing to do but their commits: there are no such users.
BEGIN = """
INSERT INTO sagas (id, kind, state, payload, user_id, next_run_at)
SELECT gen_random_uuid(), 'email_verification', 'RUNNING', '{}', gen_random_uuid(), now()
FROM generate_series(1, %s)
"""
LEFT = "SELECT count(*) FROM sagas WHERE state = 'RUNNING'"


async def recovery(lab: Lab) -> list[Finding]:
    """Let one replica of Auth recover sagas, and then two replicas."""
    number, rounds = (QUICK_SAGAS, 2) if lab.is_quick else (SAGAS, 5)
    async with lab.running(**CHEAP):
        lab.say("one replica recovers")
        rates = [await _rate(lab, number) for _ in range(rounds)]
    async with lab.running(**CHEAP, workers="2"):
        first, second = lab.stack.pids("auth")
        alone, together = [], []
        for turn in range(rounds):
            lab.say(f"one replica against two, {turn + 1} of {rounds}")
            async with _frozen(second), sharing([first], SHARE):
                alone.append(await _rate(lab, number))
            async with sharing([first, second], SHARE):
                together.append(await _rate(lab, number))
    rate, spread = statistics.median(rates), f"{min(rates):.0f} to {max(rates):.0f}"
    figure = "sagas a second and replica that have only commits to make"
    goal = f">= {RATE:.0f}/s"
    measured = (
        f"{statistics.median(together):.0f}/s; one {statistics.median(alone):.0f}/s"
        f" (each with {SHARE:.0%} of a core)"
    )
    return [
        Finding("recovery", figure, f"{rate:.0f}/s", f"{spread}/s", goal, is_met=rate >= RATE),
        at_least("recovery", "two replicas, of one", measured, Ratio.of(together, alone), GAIN),
    ]


async def _rate(lab: Lab, number: int) -> float:
    url = lab.stack.database_url("auth")
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(BEGIN, [number])
        began = time.perf_counter()
        while await _left(connection):
            if time.perf_counter() - began > SECONDS_MAX:
                raise StackError("the sagas were not recovered")
            await asyncio.sleep(0.02)
        return number / (time.perf_counter() - began)


async def _left(connection: psycopg.AsyncConnection) -> int:
    row = await (await connection.execute(LEFT)).fetchone()
    assert row is not None
    return int(row[0])


@contextlib.asynccontextmanager
async def _frozen(pid: int) -> AsyncIterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
