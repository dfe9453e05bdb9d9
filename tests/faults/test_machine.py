"""Programs of requests and faults, made up by Hypothesis and shortened when one fails."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tests.faults.databases import _Committing
from tests.faults.edges import Schedule, Strike, parse
from tests.faults.explore import strikes
from tests.faults.forms import IS_LONG
from tests.faults.orders import STOCK
from tests.faults.play import play
from tests.faults.scenarios import SCENARIOS
from tests.faults.world import World

EXAMPLES, STEPS = (80, 12) if IS_LONG else (6, 5)

AGREE = f"""
SELECT
  (SELECT count(*) FROM auth.sagas WHERE state IN ('RUNNING', 'COMPENSATING'))
  + (SELECT count(*) FROM commerce.sagas WHERE state IN ('RUNNING', 'COMPENSATING')) AS unfinished,
  (SELECT count(*) FROM auth.users WHERE status IN ('PENDING', 'DELETING')) AS halfway,
  (SELECT count(*) FROM auth.users u WHERE NOT EXISTS
     (SELECT FROM profile.profiles p WHERE p.user_id = u.id)) AS without_profile,
  (SELECT count(*) FROM commerce.products WHERE stock + taken <> {STOCK}) AS wrong_stock,
  (SELECT count(*) FROM profile.accounts a WHERE kind = 'wallet' AND balance <>
     (SELECT coalesce(sum(CASE WHEN debit_account_id = a.id THEN -amount ELSE amount END), 0)
        FROM profile.transfers WHERE state = 'posted'
         AND a.id IN (debit_account_id, credit_account_id))) AS wrong_balances
"""

OVERLAPPING = "p1.DebitWallet.commit.sent:overlap c1.T2.commit.sent:pause"


class Machine(RuleBasedStateMachine):
    """One request after the other, each with faults of its own; what they leave adds up."""

    world: ClassVar[World]
    traces: ClassVar[dict[str, list[Strike]]]

    @rule(data=st.data(), name=st.sampled_from(sorted(SCENARIOS)))
    def ask(self, data: Any, name: str) -> None:
        """Ask for something while up to three things go wrong."""
        chosen = data.draw(st.lists(st.sampled_from(self.traces[name]), max_size=3, unique=True))
        schedule: Schedule = tuple({strike.edge: strike for strike in chosen}.values())
        result = self.world.loop.run_until_complete(play(self.world, SCENARIOS[name], schedule))
        assert not result.violations, str(result)

    @invariant()
    def everything_adds_up(self) -> None:
        """Look at all that has ever happened."""
        assert set(self.world.ground.one(AGREE)) == {0}


def test_any_program_of_requests_and_faults_leaves_a_world_that_adds_up(world: World) -> None:
    run = world.loop.run_until_complete
    Machine.world = world
    world.keeps_rows = True
    plain = {name: run(play(world, kind, ())) for name, kind in SCENARIOS.items()}
    assert [str(result) for result in plain.values() if result.violations] == []
    Machine.traces = {name: list(strikes(result.trace)) for name, result in plain.items()}
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=not IS_LONG,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )


def test_a_database_that_is_only_slow_does_not_let_time_pass(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long commit, while others wait for its locks, must not end as a lock timeout."""
    run, checkout = world.loop.run_until_complete, SCENARIOS["checkout"]
    fast = run(play(world, checkout, parse(OVERLAPPING)))
    original = _Committing.command

    async def command(self: _Committing, text: bytes) -> bytes | None:
        await self._connection.execute(b"SELECT pg_sleep(0.05)")
        return await original(self, text)

    monkeypatch.setattr(_Committing, "command", command)
    slow = run(play(world, checkout, parse(OVERLAPPING)))
    assert slow.violations == []
    assert slow.hit == fast.hit
