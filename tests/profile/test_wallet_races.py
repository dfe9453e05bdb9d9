"""Wallets with many calls at once: each id has one outcome, and no cent is lost or made."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable
from pathlib import Path

import pytest
from lockstep.profile.v1 import wallet_service_pb2 as wallet_pb
from lockstep_clients import Aborted

from services.kernel.ids import new_id
from tests.kernel.saga_world import Stop
from tests.profile.world import World, outcome, profile_world

POSTED = wallet_pb.TRANSFER_STATE_POSTED
REFUSED = wallet_pb.TRANSFER_STATE_REFUSED
VOIDED = wallet_pb.TRANSFER_STATE_VOIDED


async def test_64_debits_of_one_wallet_take_what_it_holds_and_no_more(world: World) -> None:
    user_id = await world.user_with(40 * 25)
    answers = await asyncio.gather(*(world.debit(user_id, 25) for _ in range(64)))
    assert Counter(answer.state for answer in answers) == {POSTED: 40, REFUSED: 24}
    assert await world.balance(user_id) == 0
    assert world.system_balance("sales") == 40 * 25
    assert world.wrong_balances() == []


async def test_64_debits_between_top_ups_refunds_and_voids_never_deadlock(
    profile_url: str, keys: Path
) -> None:
    """Profile repeats a transaction after a deadlock; it repeats none here."""
    begun: Counter[str] = Counter()

    async def observer(edge: str) -> None:
        begun[edge] += 1

    async with profile_world(profile_url, keys, observer=observer) as world:
        users = [await world.user_with(10_000) for _ in range(2)]

        async def one(number: int) -> None:
            user_id, transfer_id = users[number % 2], new_id()
            await world.debit(user_id, 100, transfer_id=transfer_id)
            match number % 4:
                case 0:
                    await world.void(transfer_id)
                case 1:
                    await world.refund(transfer_id, 30)
                case 2:
                    await world.top_up(user_id, 10)
                case _:
                    await world.debit(user_id, 100, transfer_id=transfer_id)

        await asyncio.gather(*map(one, range(64)))
        assert await world.balance(users[0]) == 10_000 - 32 * 100 + 16 * 100 + 16 * 10
        assert await world.balance(users[1]) == 10_000 - 32 * 100 + 16 * 30
        assert world.wrong_balances() == []
    assert begun["profile.DebitWallet.statement#1"] == 64 + 16
    assert begun["profile.VoidTransfer.statement#1"] == 16
    assert begun["profile.RefundWallet.statement#1"] == 16
    assert begun["profile.TopUpWallet.statement#1"] == 2 + 16


@pytest.mark.parametrize("first", ["larger", "smaller"])
async def test_two_debits_race_for_the_last_money(profile_url: str, keys: Path, first: str) -> None:
    """Both orders are tried; the second call waits for the first one's commit."""
    stop = Stop("profile.DebitWallet.commit.sent")
    amounts = (100, 60) if first == "larger" else (60, 100)
    async with profile_world(profile_url, keys, observer=stop) as world:
        user_id = await world.user_with(100)
        leading = asyncio.ensure_future(world.debit(user_id, amounts[0]))
        await stop.reached.wait()
        following = asyncio.ensure_future(world.debit(user_id, amounts[1]))
        await world.until_blocked()
        stop.released.set()
        assert (await leading).state == POSTED
        assert (await following).refusal_reason == "INSUFFICIENT_FUNDS"
        assert await world.balance(user_id) == 100 - amounts[0]


async def test_repeats_of_a_debit_at_the_same_time_take_once(world: World) -> None:
    user_id, transfer_id = await world.user_with(100), new_id()
    answers = await asyncio.gather(
        *(world.debit(user_id, 10, transfer_id=transfer_id) for _ in range(16))
    )
    assert all(answer == answers[0] for answer in answers)
    assert await world.balance(user_id) == 90


async def test_repeats_of_a_top_up_at_the_same_time_give_once(world: World) -> None:
    user_id, transfer_id = await world.register(), new_id()
    answers = await asyncio.gather(
        *(world.top_up(user_id, 10, transfer_id=transfer_id) for _ in range(16))
    )
    assert all(answer == answers[0] for answer in answers)
    assert await world.balance(user_id) == 10


async def test_voids_and_debits_of_one_id_end_without_a_debit(world: World) -> None:
    user_id, transfer_id = await world.user_with(100), new_id()

    def call(number: int) -> Awaitable[wallet_pb.Transfer]:
        if number % 2:
            return world.debit(user_id, 60, transfer_id=transfer_id)
        return world.void(transfer_id)

    answers = await asyncio.gather(*(outcome(call(number)) for number in range(16)))
    states = {each if isinstance(each, str) else each.state for each in answers}
    assert states <= {POSTED, VOIDED, "SAGA_CANCELLED"}
    assert await world.balance(user_id) == 100
    assert len(world.rows("SELECT 1 FROM transfers WHERE kind = 'void'")) <= 1


async def test_a_void_sees_the_debit_that_it_waited_for(profile_url: str, keys: Path) -> None:
    stop = Stop("profile.DebitWallet.commit.sent")
    async with profile_world(profile_url, keys, observer=stop) as world:
        user_id, transfer_id = await world.user_with(100), new_id()
        debiting = asyncio.ensure_future(world.debit(user_id, 60, transfer_id=transfer_id))
        await stop.reached.wait()
        voiding = asyncio.ensure_future(world.void(transfer_id))
        await world.until_blocked()
        stop.released.set()
        assert (await debiting).state == POSTED
        assert (await voiding).state == VOIDED
        assert await world.balance(user_id) == 100


async def test_a_debit_meets_the_tombstone_that_it_waited_for(profile_url: str, keys: Path) -> None:
    stop = Stop("profile.VoidTransfer.commit.sent")
    async with profile_world(profile_url, keys, observer=stop) as world:
        user_id, transfer_id = await world.user_with(100), new_id()
        voiding = asyncio.ensure_future(world.void(transfer_id))
        await stop.reached.wait()
        debiting = asyncio.ensure_future(world.debit(user_id, 60, transfer_id=transfer_id))
        await world.until_blocked()
        stop.released.set()
        assert (await voiding).state == VOIDED
        with pytest.raises(Aborted):
            await debiting
        assert await world.balance(user_id) == 100


async def test_a_void_sees_the_void_that_it_waited_for(profile_url: str, keys: Path) -> None:
    stop = Stop("profile.VoidTransfer.commit.sent")
    async with profile_world(profile_url, keys, observer=stop) as world:
        user_id, transfer_id = await world.user_with(100), new_id()
        await world.debit(user_id, 60, transfer_id=transfer_id)
        first = asyncio.ensure_future(world.void(transfer_id))
        await stop.reached.wait()
        second = asyncio.ensure_future(world.void(transfer_id))
        await world.until_blocked()
        stop.released.set()
        assert await first == await second
        assert await world.balance(user_id) == 100


async def test_refunds_at_the_same_time_never_exceed_their_debit(world: World) -> None:
    user_id, debit_id = await world.user_with(1000), new_id()
    await world.debit(user_id, 1000, transfer_id=debit_id)

    answers = await asyncio.gather(*(outcome(world.refund(debit_id, 300)) for _ in range(10)))
    assert answers.count("ILLEGAL_STATE") == 7
    assert await world.balance(user_id) == 900


async def test_one_id_for_refunds_of_two_debits_refunds_one(world: World) -> None:
    user_id, debits, refund_id = await world.user_with(1000), [new_id(), new_id()], new_id()
    for debit_id in debits:
        await world.debit(user_id, 100, transfer_id=debit_id)

    answers = await asyncio.gather(
        *(outcome(world.refund(debits[n % 2], 100, transfer_id=refund_id)) for n in range(8))
    )
    assert answers.count("INVALID_FIELD") == 4
    assert await world.balance(user_id) == 900
