"""Shares of sellers: pending with the sale, spendable once shipped, back with a refund."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from uuid import UUID

import pytest
from lockstep.profile.v1 import wallet_service_pb2 as wallet_pb
from lockstep_clients import FailedPrecondition, InvalidArgument, NotFound

from services.kernel.ids import new_id
from tests.kernel.saga_world import Stop
from tests.profile.world import World, fails, profile_world, shares_of

POSTED = wallet_pb.TRANSFER_STATE_POSTED
REFUSED = wallet_pb.TRANSFER_STATE_REFUSED
VOIDED = wallet_pb.TRANSFER_STATE_VOIDED


class Sale:
    """A debit of 300, of which one seller gets 180 and another 90."""

    world: World
    buyer: UUID
    one: UUID
    other: UUID
    id: UUID

    @classmethod
    async def of(cls, world: World) -> Sale:
        sale = cls()
        sale.world, sale.id = world, new_id()
        sale.buyer = await world.user_with(1000)
        sale.one, sale.other = await world.register(), await world.register()
        await sale.sell()
        return sale

    async def sell(self) -> wallet_pb.Transfer:
        shares = shares_of({self.one: 180, self.other: 90})
        return await self.world.debit(self.buyer, 300, transfer_id=self.id, shares=shares)

    async def sums(self) -> tuple[int, ...]:
        """Return the buyer's balance, then balance and pending money of both sellers."""
        world = self.world
        return (
            await world.balance(self.buyer),
            await world.balance(self.one),
            await world.pending(self.one),
            await world.balance(self.other),
            await world.pending(self.other),
        )

    def system(self) -> tuple[int, int, int]:
        assert self.world.wrong_balances() == []
        kinds = ("sales", "suspense", "forfeited")
        sales, suspense, forfeited = map(self.world.system_balance, kinds)
        return sales, suspense, forfeited


async def test_shares_are_pending_until_they_are_released_once(world: World) -> None:
    sale, release_id = await Sale.of(world), new_id()
    assert await sale.sums() == (700, 0, 180, 0, 90)
    assert (await sale.sell()).state == POSTED
    for _ in range(2):
        await world.release(sale.id, {sale.one: 100}, release_id)
    assert await sale.sums() == (700, 100, 80, 0, 90)
    await world.release(sale.id, {sale.one: 80, sale.other: 90})
    assert await sale.sums() == (700, 180, 0, 90, 0)
    assert sale.system() == (30, 0, 0)
    assert (await world.debit(sale.one, 180)).state == POSTED


async def test_pending_money_cannot_be_spent(world: World) -> None:
    sale = await Sale.of(world)
    assert (await world.debit(sale.one, 1)).state == REFUSED


async def test_no_more_is_released_than_is_pending_of_the_debit(world: World) -> None:
    sale, second = await Sale.of(world), new_id()
    await world.debit(sale.buyer, 300, transfer_id=second, shares=shares_of({sale.one: 250}))
    with fails(FailedPrecondition, "ILLEGAL_STATE"):
        await world.release(sale.id, {sale.one: 181})
    await world.release(sale.id, {sale.one: 180})
    with fails(FailedPrecondition, "ILLEGAL_STATE"):
        await world.release(sale.id, {sale.one: 1})
    with fails(NotFound, "TRANSFER_NOT_FOUND"):
        await world.release(new_id(), {sale.one: 1})
    await world.void(second)
    with fails(FailedPrecondition, "ILLEGAL_STATE"):
        await world.release(second, {sale.one: 1})
    assert await sale.sums() == (700, 180, 0, 0, 90)


async def test_a_debit_that_is_refused_gives_no_shares(world: World) -> None:
    sale, debit_id = await Sale.of(world), new_id()
    shares = shares_of({sale.one: 701})
    for _ in range(2):
        refused = await world.debit(sale.buyer, 701, transfer_id=debit_id, shares=shares)
        assert refused.state == REFUSED
    assert await sale.sums() == (700, 0, 180, 0, 90)


async def test_a_void_takes_all_shares_back_once(world: World) -> None:
    sale = await Sale.of(world)
    for _ in range(2):
        assert (await world.void(sale.id)).state == VOIDED
    assert await sale.sums() == (1000, 0, 0, 0, 0)
    assert sale.system() == (0, 0, 0)


async def test_a_void_takes_what_is_left_and_suspense_stands_in_for_what_was_released(
    world: World,
) -> None:
    """Only an order that was lost with a database is voided so late."""
    sale = await Sale.of(world)
    await world.refund(sale.id, 20, shares=shares_of({sale.one: 18}))
    await world.release(sale.id, {sale.one: 100})
    await world.refund(sale.id, 10, shares=shares_of({sale.one: 9}), released=True)
    assert await sale.sums() == (730, 91, 62, 0, 90)
    await world.void(sale.id)
    assert await sale.sums() == (1000, 91, 0, 0, 0)
    assert sale.system() == (0, -91, 0)


async def test_a_cancellation_takes_what_is_pending_and_a_return_what_is_spendable(
    world: World,
) -> None:
    sale, refund_id = await Sale.of(world), new_id()
    for _ in range(2):
        part = shares_of({sale.one: 60, sale.other: 45})
        refund = await world.refund(sale.id, 120, transfer_id=refund_id, shares=part)
        assert refund.state == POSTED
    assert await sale.sums() == (820, 0, 120, 0, 45)
    await world.release(sale.id, {sale.one: 120})
    back = shares_of({sale.one: 60})
    assert (await world.refund(sale.id, 70, shares=back, released=True)).state == POSTED
    assert await sale.sums() == (890, 60, 0, 0, 45)
    assert sale.system() == (5, 0, 0)


async def test_a_seller_who_has_spent_the_share_refuses_the_return_for_ever(world: World) -> None:
    sale, refund_id = await Sale.of(world), new_id()
    await world.release(sale.id, {sale.one: 180, sale.other: 90})
    await world.debit(sale.one, 130)
    shares = shares_of({sale.one: 60, sale.other: 30})
    for _ in range(2):
        refund = await world.refund(
            sale.id, 100, transfer_id=refund_id, shares=shares, released=True
        )
        assert (refund.state, refund.refusal_reason) == (REFUSED, "INSUFFICIENT_FUNDS")
        await world.top_up(sale.one, 1000)
    assert await sale.sums() == (700, 2050, 0, 90, 0)
    assert (await world.refund(sale.id, 300, shares=shares, released=True)).state == POSTED
    assert await sale.sums() == (1000, 1990, 0, 60, 0)
    assert sale.system() == (130 + 300 - 270 - 300 + 90, 0, 0)


async def test_a_buyer_who_sells_to_the_own_self_pays_the_commission_at_most(
    world: World,
) -> None:
    user_id, debit_id = await world.user_with(300), new_id()
    await world.debit(user_id, 300, transfer_id=debit_id, shares=shares_of({user_id: 270}))
    await world.release(debit_id, {user_id: 270})
    await world.debit(user_id, 270)
    back = await world.refund(debit_id, 300, shares=shares_of({user_id: 270}), released=True)
    assert back.state == POSTED
    assert await world.balance(user_id) == 30
    assert world.wrong_balances() == []


async def test_what_is_pending_of_a_seller_who_goes_is_in_suspense(world: World) -> None:
    sale, late = await Sale.of(world), new_id()
    await world.release(sale.id, {sale.one: 100})
    await world.forget(sale.one)
    assert sale.system() == (30, 80, 100)
    await world.release(sale.id, {sale.one: 80, sale.other: 90}, late)
    await world.release(sale.id, {sale.other: 90, sale.one: 80}, late)
    assert await world.balance(sale.other) == 90
    await world.refund(sale.id, 50, shares=shares_of({None: 40}))
    await world.refund(sale.id, 50, shares=shares_of({sale.one: 30}), released=True)
    assert sale.system() == (0, 10, 100)
    second = new_id()
    await world.debit(sale.buyer, 10, transfer_id=second, shares=shares_of({sale.one: 9}))
    assert sale.system() == (1, 19, 100)
    await world.void(second)
    assert sale.system() == (0, 10, 100)
    assert world.rows("SELECT 1 FROM accounts WHERE seller_id = %s", sale.one) == []


async def test_a_void_after_the_seller_has_gone_comes_from_suspense(world: World) -> None:
    sale = await Sale.of(world)
    await world.forget(sale.one)
    await world.void(sale.id)
    assert sale.system() == (0, 0, 0)


async def test_wrong_shares_are_refused_everywhere(world: World) -> None:
    sale = await Sale.of(world)
    wrong = {
        "shares": shares_of({sale.one: 60, sale.other: 41}),
        "shares[0].amount": [wallet_pb.Share(seller_id=str(sale.one))],
        "shares[0].seller_id": [
            wallet_pb.Share(seller_id="x", amount=shares_of({None: 1})[0].amount)
        ],
        "shares[1].seller_id": shares_of({sale.one: 1}) * 2,
    }
    for field, shares in wrong.items():
        with fails(InvalidArgument, "INVALID_FIELD", field):
            await world.debit(sale.buyer, 100, shares=shares)
        with fails(InvalidArgument, "INVALID_FIELD", field):
            await world.refund(sale.id, 100, shares=shares)
    with fails(InvalidArgument, "INVALID_FIELD", "shares"):
        many: dict[UUID | None, int] = {new_id(): 1 for _ in range(101)}
        await world.debit(sale.buyer, 1000, shares=shares_of(many))
    with fails(InvalidArgument, "INVALID_FIELD", "release_id", "original_id", "shares"):
        await world.by_commerce.ReleaseSales(wallet_pb.ReleaseSalesRequest())


@pytest.mark.parametrize("change", ["shares", "released"])
async def test_an_id_stands_for_its_shares_too(world: World, change: str) -> None:
    sale, refund_id = await Sale.of(world), new_id()
    with fails(InvalidArgument, "INVALID_FIELD", "transfer_id"):
        await world.debit(sale.buyer, 300, transfer_id=sale.id, shares=shares_of({sale.one: 180}))
    await world.refund(sale.id, 10, transfer_id=refund_id, shares=shares_of({sale.one: 9}))
    again = await world.refund(sale.id, 10, transfer_id=refund_id, shares=shares_of({None: 9}))
    assert again.state == POSTED
    other = 8 if change == "shares" else 9
    with fails(InvalidArgument, "INVALID_FIELD", "transfer_id"):
        await world.refund(
            sale.id,
            10,
            transfer_id=refund_id,
            shares=shares_of({sale.one: other}),
            released=change == "released",
        )


async def test_sales_between_people_who_buy_from_each_other_never_deadlock(
    profile_url: str, keys: Path
) -> None:
    """Profile repeats a transaction after a deadlock; it repeats none here."""
    begun: Counter[str] = Counter()

    async def observer(edge: str) -> None:
        begun[edge] += 1

    async with profile_world(profile_url, keys, observer=observer) as world:
        users = [await world.user_with(10_000) for _ in range(3)]
        few = asyncio.Semaphore(8)  # all of them lock the same three accounts

        async def one(number: int) -> None:
            buyer, *sellers = (users[(number + place) % 3] for place in (0, 1, 2))
            debit_id = new_id()
            share: dict[UUID | None, int] = dict.fromkeys(sellers, 40)
            await world.debit(buyer, 100, transfer_id=debit_id, shares=shares_of(share))
            match number % 4:
                case 0:
                    await world.void(debit_id)
                case 1:
                    await world.refund(debit_id, 100, shares=shares_of(share))
                case 2:
                    await world.release(debit_id, share)
                    await world.refund(debit_id, 100, shares=shares_of(share), released=True)
                case _:
                    await world.release(debit_id, share)

        async def in_turn(number: int) -> None:
            async with few:
                await one(number)

        await asyncio.gather(*map(in_turn, range(32)))
        assert world.wrong_balances() == []
        assert world.system_balance("sales") == 8 * 20
        assert sum([await world.balance(each) for each in users]) == 30_000 - 8 * 20
        assert [await world.pending(each) for each in users] == [0, 0, 0]
    assert begun["profile.DebitWallet.statement#1"] == 32
    assert begun["profile.VoidTransfer.statement#1"] == 8
    assert begun["profile.RefundWallet.statement#1"] == 16
    assert begun["profile.ReleaseSales.statement#1"] == 16


async def test_a_seller_who_goes_while_the_first_sale_is_made_leaves_nothing(
    profile_url: str, keys: Path
) -> None:
    stop = Stop("profile.DebitWallet.commit.sent")
    async with profile_world(profile_url, keys, observer=stop) as world:
        buyer, seller = await world.user_with(100), await world.user_with(5)
        selling = asyncio.ensure_future(world.debit(buyer, 60, shares=shares_of({seller: 50})))
        await stop.reached.wait()
        leaving = asyncio.ensure_future(world.forget(seller))
        await world.until_blocked()
        stop.released.set()
        assert (await selling).state == POSTED
        await leaving
        assert world.rows("SELECT 1 FROM accounts WHERE seller_id IS NOT NULL") == []
        assert (world.system_balance("suspense"), world.system_balance("forfeited")) == (50, 5)
        assert world.wrong_balances() == []
