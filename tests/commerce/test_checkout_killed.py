"""Checkout when the process that drives it dies, or sleeps and wakes up again.

In brackets: the rows of the fault matrix in docs/reliability.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from pathlib import Path

import pytest
from lockstep_clients import FailedPrecondition, LockstepError

from tests.commerce.checkouts import State, assert_bought, with_cart
from tests.commerce.replicas import another
from tests.commerce.wallet_proxy import Held
from tests.commerce.world import Shop, refusal

pytestmark = pytest.mark.processes


@pytest.mark.parametrize(
    "edge",
    [
        "commerce.T1.commit.acked",
        "commerce.T2.statement#1",
        "commerce.T2.commit.acked",
    ],
)
async def test_commerce_killed_anywhere_leaves_all_or_nothing(
    shop: Shop, tmp_path: Path, edge: str
) -> None:
    """[C3 C9 C19 R10 R27 R30]: SIGKILL; then another replica answers the same key."""
    buyer = await with_cart(shop)
    async with another(shop, tmp_path / "log", edge) as (replica, process):
        with pytest.raises(LockstepError):
            await replica.place(buyer, key="once")
        await process.gone()
    await shop.settled()
    shop.check()
    assert (await shop.place(buyer, key="once")).state == State.ORDER_STATE_PAID
    await assert_bought(shop, buyer)


async def test_commerce_killed_while_it_undoes_is_taken_over(shop: Shop, tmp_path: Path) -> None:
    """[R34 R43]"""
    buyer = await shop.buyer(10)
    await shop.add(buyer, await shop.product(stock=5))
    edge = "commerce.T3.commit.acked"
    async with another(shop, tmp_path / "log", edge) as (replica, process):
        with pytest.raises(LockstepError):
            await replica.place(buyer, key="once")
        await process.gone()
    await shop.settled()
    with refusal("INSUFFICIENT_FUNDS", FailedPrecondition):
        await shop.place(buyer, key="once")
    assert [row.stock for row in shop.rows("SELECT stock FROM products")] == [5]
    assert await shop.balance(buyer) == 10


async def test_commerce_killed_while_the_debit_is_on_its_way_is_taken_over(
    shop: Shop, tmp_path: Path
) -> None:
    """[C9 C12]: the debit is done, and its coordinator is dead."""
    buyer, held = await with_cart(shop), Held()
    shop.wallets.fault("DebitWallet", held)
    async with another(shop, tmp_path / "log", "") as (replica, process):
        placing = asyncio.ensure_future(replica.place(buyer, key="once"))
        await held.reached.wait()
        process.signal(signal.SIGKILL)
        await process.gone()
        with pytest.raises(LockstepError):
            await placing
    held.released.set()
    await shop.settled()
    assert (await shop.place(buyer, key="once")).state == State.ORDER_STATE_PAID
    await assert_bought(shop, buyer)


async def test_a_zombie_that_wakes_up_after_recovery_changes_nothing(
    shop: Shop, tmp_path: Path
) -> None:
    """[C20 C33 R48 R50]: SIGSTOP before T2, recovery by another replica, SIGCONT."""
    buyer = await with_cart(shop)
    edge = "commerce.T1.commit.acked"
    async with another(shop, tmp_path / "log", edge, "STOP") as (zombie, process):
        placing = asyncio.ensure_future(zombie.place(buyer, key="once"))
        async with asyncio.timeout(10):
            while not await asyncio.to_thread(shop.rows, "SELECT 1 FROM sagas"):
                pass
        await shop.settled()
        shop.check()
        settled = await shop.history(buyer)
        process.signal(signal.SIGCONT)
        with contextlib.suppress(LockstepError):
            await placing
    assert await shop.history(buyer) == settled
