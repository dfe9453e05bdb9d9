"""Checkout when things fail in the middle: order, goods and money, or none of them.

In brackets: the rows of the fault matrix in docs/reliability.md.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import grpc
import psycopg
import pytest
from lockstep.commerce.v1 import order_service_pb2 as order_pb
from lockstep_clients import (
    Aborted,
    DeadlineExceeded,
    FailedPrecondition,
    LockstepError,
    Unavailable,
)

from services.commerce.errors import PaymentUnavailable
from services.commerce.sagas.checkout import CheckoutSaga
from services.kernel.sagas.protocol import Deadline
from tests.commerce.checkouts import State, assert_bought, assert_not_bought, with_cart
from tests.commerce.people import minor_of
from tests.commerce.wallet_proxy import Fault, Held, duplicated, refused, reply_lost
from tests.commerce.world import Shop, refusal, shop_world
from tests.fakes.early_answers import told_early
from tests.kernel.saga_world import Stop
from tests.postgres import set_clock_offset

Code = grpc.StatusCode


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a checkout half a second."""
    monkeypatch.setattr(CheckoutSaga, "deadline", Deadline(0.5, PaymentUnavailable))


@pytest.mark.parametrize(
    "fault",
    [
        refused(),
        refused(Code.UNKNOWN),
        reply_lost(),
        reply_lost(Code.INTERNAL),
        reply_lost(Code.UNKNOWN),
        reply_lost(Code.CANCELLED),
        duplicated,
    ],
    ids=["lost", "broken", "reply lost", "internal", "unknown", "cancelled", "duplicated"],
)
async def test_a_debit_that_meets_a_fault_is_repeated_and_moves_money_once(
    shop: Shop, fault: Fault
) -> None:
    """[C12 C15 C18 C21]"""
    buyer = await with_cart(shop)
    shop.wallets.fault("DebitWallet", fault, fault)
    assert (await shop.place(buyer)).state == State.ORDER_STATE_PAID
    await assert_bought(shop, buyer)
    assert "VoidTransfer" not in shop.wallets.calls


async def test_a_duplicate_that_comes_after_the_end_changes_nothing(shop: Shop) -> None:
    """[C15]"""
    buyer = await with_cart(shop)
    await shop.place(buyer)
    await shop.wallets.repeat("DebitWallet")
    await assert_bought(shop, buyer)


async def test_with_profile_down_nothing_is_charged_and_the_stock_comes_back(
    shop: Shop, hurried: None
) -> None:
    """[R12 C24] The answer is final at once; the undo waits for Profile."""
    buyer = await with_cart(shop)
    shop.wallets.is_down = True
    with refusal("PROFILE_UNAVAILABLE", Unavailable):
        await shop.place(buyer, key="once")
    with refusal("CHECKOUT_IN_PROGRESS", Aborted):
        await shop.place(buyer, key="once")
    shop.wallets.is_down = False
    await shop.settled()
    await assert_not_bought(shop, buyer, "PROFILE_UNAVAILABLE")
    # PROFILE_UNAVAILABLE frees the key: the next try is a new order.
    assert (await shop.place(buyer, key="once")).state == State.ORDER_STATE_PAID


async def test_a_debit_that_is_done_but_not_heard_of_in_time_is_taken_back(
    shop: Shop, hurried: None
) -> None:
    """[C13 C25]"""
    buyer = await with_cart(shop)
    shop.wallets.fault("DebitWallet", *[reply_lost()] * 100)
    shop.wallets.fault("VoidTransfer", reply_lost(), duplicated)
    with refusal("PROFILE_UNAVAILABLE", Unavailable):
        await shop.place(buyer)
    await shop.settled()
    await assert_not_bought(shop, buyer, "PROFILE_UNAVAILABLE")


async def test_a_debit_that_arrives_after_it_was_taken_back_is_refused(
    shop: Shop, hurried: None
) -> None:
    """[C14 C27 C33]"""
    buyer, held = await with_cart(shop), Held()
    shop.wallets.fault("DebitWallet", held)
    with refusal("PROFILE_UNAVAILABLE", Unavailable):
        await shop.place(buyer)
    await shop.settled()
    held.released.set()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await shop.wallets.repeat("DebitWallet")
    assert caught.value.code() is Code.ABORTED
    await assert_not_bought(shop, buyer, "PROFILE_UNAVAILABLE")


async def test_a_refused_debit_stays_refused_when_there_is_money(shop: Shop) -> None:
    """[C11 P3]"""
    buyer = await shop.buyer(10)
    await shop.add(buyer, await shop.product(stock=5))
    with refusal("INSUFFICIENT_FUNDS", FailedPrecondition):
        await shop.place(buyer)
    await shop.people.top_up(buyer.id, 5000)
    with contextlib.suppress(grpc.aio.AioRpcError):
        await shop.wallets.repeat("DebitWallet")
    assert await shop.balance(buyer) == 5010
    assert "VoidTransfer" in shop.wallets.calls


async def test_the_snapshot_is_charged_whatever_changes_before_the_debit(shop: Shop) -> None:
    """[C2 J7]"""
    buyer, product = await shop.buyer(5000), await shop.product(price=1000, stock=5)
    await shop.add(buyer, product)
    held = Held()
    shop.wallets.fault("DebitWallet", held)
    placing = asyncio.ensure_future(shop.place(buyer))
    await held.reached.wait()
    await shop.change(product, price=4000, name="Another name")
    await shop.remove(product)
    held.released.set()
    order = await placing
    assert (minor_of(order.total), order.items[0].name) == (1000, product.name)
    assert await shop.balance(buyer) == 4000


async def test_what_is_added_during_a_checkout_stays_in_the_cart(shop: Shop) -> None:
    buyer, other = await with_cart(shop, 2), await shop.product()
    held = Held()
    shop.wallets.fault("DebitWallet", held)
    placing = asyncio.ensure_future(shop.place(buyer))
    await held.reached.wait()
    ordered = (await shop.cart(buyer)).items[0].product
    await shop.add(buyer, ordered, 1)
    await shop.add(buyer, other, 4)
    held.released.set()
    await placing
    assert [(item.product.id, item.quantity) for item in (await shop.cart(buyer)).items] == [
        (ordered.id, 1),
        (other.id, 4),
    ]


async def test_while_an_order_is_in_flight_there_is_no_other(shop: Shop) -> None:
    """[C1 R5]"""
    buyer, held = await with_cart(shop), Held()
    shop.wallets.fault("DebitWallet", held)
    placing = asyncio.ensure_future(shop.place(buyer, key="first"))
    await held.reached.wait()
    for validate_only in (False, True):
        with refusal("CHECKOUT_IN_PROGRESS", Aborted) as caught:
            await shop.place(buyer, validate_only=validate_only)
        assert caught.value.retry_after_seconds
    request = order_pb.PlaceOrderRequest()
    metadata = (*buyer.metadata, ("idempotency-key", "first"))
    with told_early() as seconds, refusal("REQUEST_IN_PROGRESS", Aborted):
        await shop.orders.PlaceOrder(request, metadata=metadata, timeout=seconds)
    (pending,) = await shop.history(buyer)
    assert pending.state == State.ORDER_STATE_PENDING
    with refusal("ILLEGAL_STATE", FailedPrecondition):
        await shop.cancel(buyer, pending.id)
    attached = asyncio.ensure_future(shop.place(buyer, key="first"))
    held.released.set()
    assert await attached == await placing
    await assert_bought(shop, buyer)


async def test_a_caller_who_leaves_ends_the_waiting_and_nothing_else(shop: Shop) -> None:
    """[C31 R11]"""
    buyer, held = await with_cart(shop), Held()
    shop.wallets.fault("DebitWallet", held)
    metadata = (*buyer.metadata, ("idempotency-key", "once"))
    request = order_pb.PlaceOrderRequest()
    leaving = asyncio.ensure_future(shop.orders.PlaceOrder(request, metadata=metadata))
    await held.reached.wait()
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    held.released.set()
    await shop.settled()
    await assert_bought(shop, buyer)
    assert [await shop.place(buyer, key="once")] == await shop.history(buyer)


async def test_too_little_time_begins_nothing(shop: Shop) -> None:
    """[R1]"""
    buyer = await with_cart(shop)
    with pytest.raises(DeadlineExceeded):
        await shop.orders.PlaceOrder(
            order_pb.PlaceOrderRequest(), metadata=buyer.metadata, timeout=0.04
        )
    await shop.settled()
    assert await shop.history(buyer) == []


async def test_a_refund_is_sent_until_it_is_done(shop: Shop) -> None:
    """[C24 C25] A cancellation goes forward only."""
    buyer = await with_cart(shop)
    order = await shop.place(buyer)
    shop.wallets.is_down = True
    request = order_pb.CancelOrderRequest(order_id=order.id)
    with told_early() as seconds:
        with pytest.raises(DeadlineExceeded):
            await shop.orders.CancelOrder(request, metadata=buyer.metadata, timeout=seconds)
        with refusal("REQUEST_IN_PROGRESS", Aborted):
            await shop.orders.CancelOrder(request, metadata=buyer.metadata, timeout=seconds)
    assert (await shop.order(buyer, order.id)).state == State.ORDER_STATE_CANCELLING
    shop.wallets.fault("RefundWallet", reply_lost(), reply_lost(Code.INTERNAL), duplicated)
    shop.wallets.is_down = False
    await shop.settled()
    assert (await shop.cancel(buyer, order.id)).state == State.ORDER_STATE_CANCELLED
    assert await shop.balance(buyer) == 5000
    assert [row.stock for row in shop.rows("SELECT stock FROM products")] == [5]


async def test_a_driver_that_lost_the_race_to_t3_follows_it(
    commerce_url: str, profile_url: str, keys: Path, tmp_path: Path
) -> None:
    """[C20 R28] The debit is done, but the saga was turned back in between."""
    stop = Stop("commerce.T2.statement#1")
    async with shop_world(commerce_url, profile_url, keys, tmp_path, observer=stop) as shop:
        buyer = await with_cart(shop)
        placing = asyncio.ensure_future(shop.place(buyer))
        await stop.reached.wait()
        # As if another replica had claimed it: the driver can no longer renew its lease.
        shop.rows(
            "UPDATE sagas SET deadline_at = saga_now(), next_run_at = saga_now(),"
            " lease_epoch = lease_epoch + 1"
        )
        async with asyncio.timeout(10):
            while not await asyncio.to_thread(
                shop.rows, "SELECT 1 FROM sagas WHERE state <> 'RUNNING'"
            ):
                pass
        stop.released.set()
        with refusal("PROFILE_UNAVAILABLE", Unavailable):
            await placing
        await shop.settled()
        await assert_not_bought(shop, buyer, "PROFILE_UNAVAILABLE")
        shop.check()


async def test_connections_cut_at_every_commit_leave_all_or_nothing(
    commerce_url: str, profile_url: str, keys: Path, tmp_path: Path
) -> None:
    """[C3 C21 C30 R9 R29 R33 R45]"""
    cut: set[str] = set()

    async def cut_once(edge: str) -> None:
        if edge.startswith("commerce.T") and edge.endswith("commit.sent") and edge not in cut:
            cut.add(edge)
            await asyncio.to_thread(_cut, commerce_url)

    async with shop_world(commerce_url, profile_url, keys, tmp_path, observer=cut_once) as shop:
        rich, poor, product = await shop.buyer(5000), await shop.buyer(10), await shop.product()
        for buyer in (rich, poor):
            await shop.add(buyer, product)
            with contextlib.suppress(LockstepError):
                await shop.place(buyer)
            await shop.settled()
            shop.check()
        assert {f"commerce.T{n}.commit.sent" for n in (1, 2, 3, 4)} <= cut
        assert await shop.balance(rich) == 4000
        assert await shop.balance(poor) == 10
        assert await shop.stock(product) == 9


async def test_one_that_is_refused_while_its_copy_goes_through_gets_the_order(
    commerce_url: str, profile_url: str, keys: Path, tmp_path: Path
) -> None:
    """[C1] The cart was empty for one of them, and filled for the other."""
    orders = []

    async def let_the_copy_go_first(edge: str) -> None:
        if edge == "commerce.PlaceOrder.refusal.statement#1":
            await shop.add(buyer, product)
            orders.append(await shop.place(buyer, key="once"))

    async with shop_world(
        commerce_url, profile_url, keys, tmp_path, observer=let_the_copy_go_first
    ) as shop:
        buyer, product = await shop.buyer(), await shop.product()
        orders.append(await shop.place(buyer, key="once"))
        assert orders == await shop.history(buyer) * 2


def _cut(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )


@pytest.mark.parametrize("offset", ["6 s", "-6 s", "30 min", "-30 min"])
async def test_clocks_that_differ_refuse_no_order(shop: Shop, offset: str) -> None:
    """[R55]"""
    buyer = await with_cart(shop)
    set_clock_offset(shop.people.url, offset)
    await shop.place(buyer, key="once")
    await assert_bought(shop, buyer)


async def test_clocks_that_differ_by_hours_cost_an_order_and_no_key(shop: Shop) -> None:
    """[R55]"""
    buyer = await with_cart(shop)
    set_clock_offset(shop.people.url, "3 hours")
    with pytest.raises(Unavailable) as caught:
        await shop.place(buyer, key="once")
    assert caught.value.reason == "PROFILE_UNAVAILABLE"
    await shop.settled()
    await assert_not_bought(shop, buyer, "PROFILE_UNAVAILABLE")
    set_clock_offset(shop.people.url, "0")
    await shop.place(buyer, key="once")
    await assert_bought(shop, buyer)
