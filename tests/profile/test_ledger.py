"""The ledger against a model: any sequence of requests, repeats and crashes.

Whatever comes: money is conserved, no balance is negative, every id has one outcome.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast
from uuid import UUID

import psycopg
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from lockstep.profile.v1 import wallet_service_pb2 as wallet_pb

from services.kernel.errors import CommitUnknown
from services.kernel.ids import new_id
from tests.profile.world import SCRIPT, World, minor_of, outcome, profile_world

T = TypeVar("T")

POSTED = wallet_pb.TRANSFER_STATE_POSTED
REFUSED = wallet_pb.TRANSFER_STATE_REFUSED
VOIDED = wallet_pb.TRANSFER_STATE_VOIDED
OWNERS = 3
FAULTS = ("statement#1", "statement#2", "statement#3", "commit.sent", "commit.acked")

amounts = st.integers(min_value=1, max_value=300)
owners = st.integers(min_value=0, max_value=OWNERS - 1)


class Debit:
    """A debit in the model."""

    def __init__(self, owner: int, amount: int) -> None:
        self.id = new_id()
        self.owner = owner
        self.amount = amount
        self.state = 0
        self.given_back = 0
        self.refunds: dict[UUID, int] = {}


class Faults:
    """Breaks the next transaction at one of its edges."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.armed = ""

    async def __call__(self, edge: str) -> None:
        if not self.armed or not edge.endswith(self.armed):
            return
        self.armed = ""
        if edge.endswith("commit.acked"):
            raise CommitUnknown
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND state = 'idle in transaction'"
            )


class Ledger(RuleBasedStateMachine):
    """Does the same to Profile and to the model."""

    debits = Bundle("debits")

    def __init__(self, url: str, keys: Path) -> None:
        super().__init__()
        self.url, self.keys = url, keys
        self.faults = Faults(url)
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.look = psycopg.connect(url, autocommit=True)
        self.balances = [0] * OWNERS
        self.closed = [False] * OWNERS
        self.repeats: list[tuple[Callable[[], Awaitable[object]], object]] = []
        self.world: World
        self.owners: list[UUID]

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def call(self, request: Callable[[], Awaitable[T]]) -> T | str:
        """Repeat a call as services do; return the answer or the reason of an error."""

        async def answered() -> T | str:
            for _ in range(4):
                answer = await outcome(request())
                if answer != "DATABASE_UNAVAILABLE":
                    return answer
            raise AssertionError("never answered")

        return self.run(answered())

    def transfer(self, request: Callable[[], Awaitable[wallet_pb.Transfer]]) -> wallet_pb.Transfer:
        """Make a call that Profile must not refuse."""
        answer = self.call(request)
        assert not isinstance(answer, str), answer
        return answer

    @initialize()
    def open(self) -> None:
        async def open_world() -> World:
            return await self.stack.enter_async_context(
                profile_world(self.url, self.keys, observer=self.faults)
            )

        self.world = self.run(open_world())
        self.owners = [self.run(self.world.register()) for _ in range(OWNERS)]

    @rule(edge=st.sampled_from(FAULTS))
    def break_what_comes_next(self, edge: str) -> None:
        self.faults.armed = edge

    @rule(owner=owners, amount=amounts)
    def top_up(self, owner: int, amount: int) -> None:
        transfer_id = new_id()

        def request() -> Awaitable[wallet_pb.Transfer]:
            return self.world.top_up(self.owners[owner], amount, transfer_id=transfer_id)

        if self.closed[owner]:
            assert self.call(request) == "WALLET_NOT_FOUND"
            return
        answer = self.transfer(request)
        assert answer.state == POSTED
        self.balances[owner] += amount
        self.repeats.append((request, answer))

    @rule(target=debits, owner=owners, amount=amounts)
    def debit(self, owner: int, amount: int) -> Debit:
        debit = Debit(owner, amount)
        answer = self.transfer(lambda: self._debit(debit))
        self._adopt(debit, answer)
        assert (debit.state == POSTED) == (self.balances[owner] >= 0)
        if debit.state != POSTED:
            self.balances[owner] += amount
        return debit

    def _debit(self, debit: Debit) -> Awaitable[wallet_pb.Transfer]:
        return self.world.debit(self.owners[debit.owner], debit.amount, transfer_id=debit.id)

    def _adopt(self, debit: Debit, answer: wallet_pb.Transfer) -> None:
        debit.state = answer.state
        self.balances[debit.owner] -= debit.amount
        expected = "WALLET_NOT_FOUND" if self.closed[debit.owner] else "INSUFFICIENT_FUNDS"
        assert answer.refusal_reason == ("" if debit.state == POSTED else expected)

    @rule(target=debits, owner=owners, wanted=st.lists(amounts, min_size=2, max_size=8))
    def debit_at_once(self, owner: int, wanted: list[int]) -> Any:
        debits = [Debit(owner, amount) for amount in wanted]

        async def all_at_once() -> list[wallet_pb.Transfer]:
            return await asyncio.gather(*map(self._debit, debits))

        self.faults.armed = ""
        before = self.balances[owner]
        for debit, answer in zip(debits, self.run(all_at_once()), strict=True):
            debit.state = answer.state
        left = before - sum(debit.amount for debit in debits if debit.state == POSTED)
        assert left >= 0
        assert all(debit.amount > left for debit in debits if debit.state == REFUSED)
        self.balances[owner] = left
        return multiple(*debits)

    @rule(debit=debits)
    def void(self, debit: Debit) -> None:
        answer = self.transfer(lambda: self.world.void(debit.id))
        if debit.state == POSTED:
            debit.state = VOIDED
            self._give(debit, debit.amount - debit.given_back)
        assert answer.state == debit.state

    @rule(target=debits, owner=owners, amount=amounts)
    def void_in_advance(self, owner: int, amount: int) -> Debit:
        debit = Debit(owner, amount)
        debit.state = VOIDED
        assert self.transfer(lambda: self.world.void(debit.id)).state == VOIDED
        return debit

    @rule(debit=debits, amount=amounts)
    def refund(self, debit: Debit, amount: int) -> None:
        transfer_id = new_id()
        may = debit.state == POSTED and debit.given_back + amount <= debit.amount

        def request() -> Awaitable[wallet_pb.Transfer]:
            return self.world.refund(debit.id, amount, transfer_id=transfer_id)

        if not may:
            assert self.call(request) == "ILLEGAL_STATE"
            return
        assert self.transfer(request).state == POSTED
        self._give(debit, amount)
        debit.refunds[transfer_id] = amount

    def _give(self, debit: Debit, amount: int) -> None:
        debit.given_back += amount
        if not self.closed[debit.owner]:
            self.balances[debit.owner] += amount

    @rule(debit=debits)
    def repeat_a_debit(self, debit: Debit) -> None:
        answer = self.call(lambda: self._debit(debit))
        if debit.state == VOIDED:
            assert answer == "SAGA_CANCELLED"
        else:
            assert not isinstance(answer, str)
            assert answer.state == debit.state

    @rule(debit=debits)
    def repeat_refunds(self, debit: Debit) -> None:
        for transfer_id, amount in debit.refunds.items():
            request = partial(self.world.refund, debit.id, amount, transfer_id=transfer_id)
            assert self.transfer(request).state == POSTED

    @precondition(lambda self: self.repeats)
    @rule(data=st.data())
    def repeat_a_top_up(self, data: st.DataObject) -> None:
        request, answer = data.draw(st.sampled_from(self.repeats))
        assert self.call(request) == answer

    @rule(debit=debits, amount=amounts)
    def reuse_an_id(self, debit: Debit, amount: int) -> None:
        request = partial(self.world.top_up, self.owners[0], amount, transfer_id=debit.id)
        assert self.call(request) == "INVALID_FIELD"

    @rule(owner=owners)
    def forget(self, owner: int) -> None:
        self.call(lambda: self.world.forget(self.owners[owner]))
        self.closed[owner] = True
        self.balances[owner] = 0

    @invariant()
    def balances_follow_from_transfers_and_match(self) -> None:
        if not hasattr(self, "owners"):
            return
        assert self.look.execute(SCRIPT.read_bytes()).fetchall() == []
        rows = self.look.execute("SELECT user_id, balance FROM accounts WHERE user_id IS NOT NULL")
        stored: dict[UUID, int] = dict(rows.fetchall())
        for owner, user_id in enumerate(self.owners):
            assert stored.get(user_id, 0) == self.balances[owner] >= 0

    @invariant()
    def the_list_alone_gives_the_balance(self) -> None:
        if not hasattr(self, "owners"):
            return
        self.faults.armed = ""
        for owner, user_id in enumerate(self.owners):
            if not self.closed[owner]:
                listed = self.run(self._listed(user_id))
                assert sum(map(moved, listed)) == self.balances[owner]
                assert self._after(listed) == self.balances[owner]

    @staticmethod
    def _after(listed: list[wallet_pb.Transfer]) -> int:
        """Return the newest balance of a statement, after those before it were held against it."""
        balance = 0
        for line in reversed(listed):
            assert line.HasField("balance_after") == (line.state == POSTED)
            if line.state == POSTED:
                balance += moved(line)
                assert minor_of(line.balance_after) == balance
        return balance

    async def _listed(self, user_id: UUID) -> list[wallet_pb.Transfer]:
        request = wallet_pb.ListWalletTransfersRequest(user_id=str(user_id), page_size=100)
        found = await self.world.wallets.ListWalletTransfers(request, metadata=self.world.admin)
        assert not found.next_page_token
        return list(found.transfers)

    @invariant()
    def no_debit_is_given_back_more_than_once(self) -> None:
        given_back = self.look.execute(
            "SELECT 1 FROM transfers debit JOIN transfers back ON back.original_id = debit.id"
            " GROUP BY debit.id HAVING sum(back.amount) > debit.amount"
        )
        assert given_back.fetchall() == []

    def teardown(self) -> None:
        self.faults.armed = ""
        self.run(self.stack.aclose())
        self.runner.close()
        self.look.close()


def moved(transfer: wallet_pb.Transfer) -> int:
    """Return what a line of a statement adds to the balance."""
    if transfer.state != POSTED:
        return 0
    takes = transfer.kind in (wallet_pb.TRANSFER_KIND_DEBIT, wallet_pb.TRANSFER_KIND_FORFEIT)
    return -minor_of(transfer.amount) if takes else minor_of(transfer.amount)


def test_any_sequence_leaves_the_books_in_order(profile_url: str, keys: Path) -> None:
    machine = cast("type[Ledger]", partial(Ledger, profile_url, keys))
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=12,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
