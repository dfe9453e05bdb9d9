"""Wallets: money goes in, out and back, and each id has one outcome."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import psycopg
import pytest
from google.type.money_pb2 import Money
from lockstep.profile.v1 import wallet_service_pb2 as wallet_pb
from lockstep_clients import (
    Aborted,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
)

from services.common.service import opened
from services.kernel.db.cleaner import Cleaner
from services.kernel.db.database import Database
from services.kernel.ids import new_id
from services.profile.store import transfers
from tests.profile.world import (
    World,
    debit_request,
    fails,
    minor_of,
    money,
    registration,
    soon,
)

POSTED = wallet_pb.TRANSFER_STATE_POSTED
REFUSED = wallet_pb.TRANSFER_STATE_REFUSED
VOIDED = wallet_pb.TRANSFER_STATE_VOIDED


async def top_up(world: World, *, key: str | None = None, **fields: Any) -> wallet_pb.Transfer:
    metadata = world.admin if key is None else (*world.admin, ("idempotency-key", key))
    return await world.wallets.TopUpWallet(
        wallet_pb.TopUpWalletRequest(**fields), metadata=metadata
    )


async def page(world: World, user_id: UUID, **fields: Any) -> wallet_pb.ListWalletTransfersResponse:
    request = wallet_pb.ListWalletTransfersRequest(user_id=str(user_id), **fields)
    return await world.wallets.ListWalletTransfers(request, metadata=world.admin)


async def test_a_wallet_is_read_by_its_owner_and_administrators_alone(world: World) -> None:
    user_id = await world.user_with(1234)
    mine, theirs = (wallet_pb.GetWalletRequest(user_id=text) for text in ("me", str(user_id)))
    read = await world.wallets.GetWallet(mine, metadata=world.as_user(user_id))
    assert read.user_id == str(user_id)
    assert read.balance == money(1234)
    assert await world.wallets.GetWallet(theirs, metadata=world.admin) == read
    stranger = world.as_user(new_id())
    with fails(PermissionDenied, "FORBIDDEN"):
        await world.wallets.GetWallet(theirs, metadata=stranger)
    with fails(PermissionDenied, "FORBIDDEN"):
        await world.wallets.ListWalletTransfers(
            wallet_pb.ListWalletTransfersRequest(user_id=str(user_id)), metadata=stranger
        )


async def test_a_wallet_that_is_not_there_is_not_found(world: World) -> None:
    with fails(NotFound, "WALLET_NOT_FOUND"):
        await world.balance(new_id())
    with fails(NotFound, "WALLET_NOT_FOUND"):
        await page(world, new_id())
    with fails(NotFound, "WALLET_NOT_FOUND"):
        await world.top_up(new_id(), 100)


# Topping up


async def test_money_that_is_put_in_can_be_spent(world: World) -> None:
    user_id, transfer_id = await world.register(), new_id()
    transfer = await world.top_up(user_id, 1050, transfer_id=transfer_id)
    assert transfer.id == str(transfer_id)
    assert transfer.user_id == str(user_id)
    assert transfer.kind == wallet_pb.TRANSFER_KIND_TOP_UP
    assert transfer.state == POSTED
    assert transfer.amount == money(1050)
    assert await world.balance(user_id) == 1050
    assert world.system_balance("treasury") == -1050


async def test_the_same_top_up_again_gets_the_same_answer(world: World) -> None:
    user_id, transfer_id = await world.register(), new_id()
    first = await world.top_up(user_id, 500, transfer_id=transfer_id)
    assert await world.top_up(user_id, 500, transfer_id=transfer_id) == first
    assert await world.balance(user_id) == 500


@pytest.mark.parametrize("what", ["amount", "user", "kind"])
async def test_an_id_with_another_content_is_refused(world: World, what: str) -> None:
    user_id, transfer_id = await world.user_with(1000), new_id()
    other_id = await world.user_with(1000)
    await world.top_up(user_id, 500, transfer_id=transfer_id)
    again: dict[str, Callable[[], Awaitable[object]]] = {
        "amount": lambda: world.top_up(user_id, 501, transfer_id=transfer_id),
        "user": lambda: world.top_up(other_id, 500, transfer_id=transfer_id),
        "kind": lambda: world.debit(user_id, 500, transfer_id=transfer_id),
    }
    with fails(InvalidArgument, "INVALID_FIELD", "transfer_id"):
        await again[what]()
    assert await world.balance(user_id) == 1500
    assert await world.balance(other_id) == 1000


async def test_an_idempotency_key_belongs_to_one_request(world: World) -> None:
    user_id, transfer_id = await world.register(), new_id()
    request = {
        "user_id": str(user_id),
        "transfer_id": str(transfer_id),
        "amount": money(100),
    }
    first = await top_up(world, key="once", **request)
    assert await top_up(world, key="once", **request) == first
    assert await top_up(world, key="again", **request) == first
    for key in ("once", "again"):
        with fails(InvalidArgument, "IDEMPOTENCY_KEY_REUSED"):
            await top_up(world, key=key, **request | {"transfer_id": str(new_id())})
    assert await world.balance(user_id) == 100


async def test_an_administrator_may_top_up_their_own_wallet(world: World) -> None:
    user_id = await world.register()
    request = wallet_pb.TopUpWalletRequest(
        user_id="me", transfer_id=str(new_id()), amount=money(100)
    )
    admin = world.as_user(user_id, role="admin")
    assert (await world.wallets.TopUpWallet(request, metadata=admin)).user_id == str(user_id)


WRONG_AMOUNTS = {
    "none": (None, "amount"),
    "zero": (Money(currency_code="USD"), "amount"),
    "negative units": (Money(currency_code="USD", units=-1), "amount"),
    "negative nanos": (Money(currency_code="USD", nanos=-10_000_000), "amount"),
    "mixed signs": (Money(currency_code="USD", units=1, nanos=-10_000_000), "amount"),
    "too many decimals": (Money(currency_code="USD", units=1, nanos=1_000_000), "amount.nanos"),
    "too many nanos": (Money(currency_code="USD", nanos=1_000_000_000), "amount.nanos"),
    "another currency": (Money(currency_code="EUR", units=1), "amount.currency_code"),
    "no currency at all": (Money(currency_code="usd", units=1), "amount.currency_code"),
    "beyond the limit": (money(10**12 + 1), "amount"),
    "far beyond": (Money(currency_code="USD", units=2**63 - 1), "amount"),
}


@pytest.mark.parametrize("name", WRONG_AMOUNTS)
async def test_a_wrong_amount_is_refused_everywhere(world: World, name: str) -> None:
    amount, field = WRONG_AMOUNTS[name]
    user_id, transfer_id = str(new_id()), str(new_id())
    with fails(InvalidArgument, "INVALID_FIELD", field):
        await top_up(world, user_id=user_id, transfer_id=transfer_id, amount=amount)
    debit = wallet_pb.DebitWalletRequest(
        user_id=user_id, transfer_id=transfer_id, amount=amount, reference="x", not_after=soon()
    )
    with fails(InvalidArgument, "INVALID_FIELD", field):
        await world.by_commerce.DebitWallet(debit)
    with fails(InvalidArgument, "INVALID_FIELD", field):
        await world.by_commerce.RefundWallet(
            wallet_pb.RefundWalletRequest(
                transfer_id=transfer_id, original_id=user_id, amount=amount
            )
        )
    assert world.rows("SELECT 1 FROM transfers") == []


async def test_the_largest_amount_and_the_smallest_pass(world: World) -> None:
    user_id = await world.register()
    await world.top_up(user_id, 10**12)
    await world.top_up(user_id, 1)
    assert await world.balance(user_id) == 10**12 + 1


async def test_every_wrong_field_is_named_at_once(world: World) -> None:
    with fails(InvalidArgument, "INVALID_FIELD", "transfer_id", "user_id", "amount"):
        await top_up(world, user_id="x", transfer_id="y")
    with fails(
        InvalidArgument,
        "INVALID_FIELD",
        "reference",
        "transfer_id",
        "user_id",
        "amount",
        "not_after",
    ):
        await world.by_commerce.DebitWallet(wallet_pb.DebitWalletRequest())
    with fails(InvalidArgument, "INVALID_FIELD", "transfer_id", "original_id", "amount"):
        await world.by_commerce.RefundWallet(wallet_pb.RefundWalletRequest())
    with fails(InvalidArgument, "INVALID_FIELD", "transfer_id"):
        await world.by_commerce.VoidTransfer(wallet_pb.VoidTransferRequest())


# Debits


async def test_a_debit_takes_money_once_however_often_it_comes(world: World) -> None:
    user_id, transfer_id = await world.user_with(1000), new_id()
    first = await world.debit(user_id, 300, transfer_id=transfer_id)
    assert first.kind == wallet_pb.TRANSFER_KIND_DEBIT
    assert first.state == POSTED
    assert first.reference == "an order"
    assert not first.HasField("refusal_reason")
    assert await world.debit(user_id, 300, transfer_id=transfer_id) == first
    assert await world.balance(user_id) == 700
    assert world.system_balance("sales") == 300


async def test_the_last_cent_can_be_spent_and_not_one_more(world: World) -> None:
    user_id = await world.user_with(100)
    assert (await world.debit(user_id, 101)).state == REFUSED
    assert (await world.debit(user_id, 100)).state == POSTED
    assert (await world.debit(user_id, 1)).state == REFUSED
    assert await world.balance(user_id) == 0


async def test_a_refusal_for_lack_of_funds_stays_one(world: World) -> None:
    user_id, transfer_id = await world.user_with(100), new_id()
    first = await world.debit(user_id, 200, transfer_id=transfer_id)
    assert first.state == REFUSED
    assert first.refusal_reason == "INSUFFICIENT_FUNDS"
    await world.top_up(user_id, 1000)
    assert await world.debit(user_id, 200, transfer_id=transfer_id) == first
    assert (await world.void(transfer_id)).state == REFUSED
    assert await world.debit(user_id, 200, transfer_id=transfer_id) == first
    assert await world.balance(user_id) == 1100


@pytest.mark.parametrize("was_there", [True, False])
async def test_a_debit_of_no_wallet_is_refused_for_ever(world: World, was_there: bool) -> None:
    user_id = await world.user_with(100) if was_there else new_id()
    if was_there:
        await world.forget(user_id)
    transfer_id = new_id()
    first = await world.debit(user_id, 50, transfer_id=transfer_id)
    assert first.state == REFUSED
    assert first.refusal_reason == "WALLET_NOT_FOUND"
    assert first.user_id == str(user_id)
    if not was_there:
        await world.by_auth.CreateProfile(registration(user_id=user_id))
        await world.top_up(user_id, 100)
    assert await world.debit(user_id, 50, transfer_id=transfer_id) == first


@pytest.mark.parametrize("state", ["posted", "refused"])
@pytest.mark.parametrize("what", ["amount", "user", "reference"])
async def test_a_debit_with_another_content_is_refused(world: World, what: str, state: str) -> None:
    user_id, transfer_id = await world.user_with(100), new_id()
    first = debit_request(user_id, 50 if state == "posted" else 500, transfer_id=transfer_id)
    await world.by_commerce.DebitWallet(first)
    other = wallet_pb.DebitWalletRequest()
    other.CopyFrom(first)
    if what == "amount":
        other.amount.CopyFrom(money(51))
    elif what == "user":
        other.user_id = str(await world.user_with(100))
    else:
        other.reference = "another order"
    with fails(InvalidArgument, "INVALID_FIELD", "transfer_id"):
        await world.by_commerce.DebitWallet(other)


async def test_a_debit_that_comes_too_late_is_refused_by_the_clock_of_the_database(
    world: World,
) -> None:
    user_id, transfer_id = await world.user_with(100), new_id()
    for amount in (50, 500):
        with fails(Aborted, "SAGA_CANCELLED"):
            await world.debit(user_id, amount, not_after=soon(-1))
    assert await world.balance(user_id) == 100
    first = await world.debit(user_id, 50, transfer_id=transfer_id)
    again = await world.debit(user_id, 50, transfer_id=transfer_id, not_after=soon(-1))
    assert again == first


# Voids


async def test_a_void_gives_a_debit_back_once(world: World) -> None:
    user_id, transfer_id = await world.user_with(1000), new_id()
    await world.debit(user_id, 300, transfer_id=transfer_id)
    first = await world.void(transfer_id)
    assert first.id == str(transfer_id)
    assert first.state == VOIDED
    assert await world.void(transfer_id) == first
    assert await world.balance(user_id) == 1000
    assert world.system_balance("sales") == 0
    with fails(Aborted, "SAGA_CANCELLED"):
        await world.debit(user_id, 300, transfer_id=transfer_id)
    assert await world.balance(user_id) == 1000


async def test_a_void_in_advance_refuses_the_debit(world: World) -> None:
    user_id, transfer_id = await world.user_with(1000), new_id()
    first = await world.void(transfer_id)
    assert first.state == VOIDED
    assert await world.void(transfer_id) == first
    for _ in range(2):
        with fails(Aborted, "SAGA_CANCELLED"):
            await world.debit(user_id, 300, transfer_id=transfer_id)
    assert await world.balance(user_id) == 1000


async def test_only_debits_can_be_voided(world: World) -> None:
    user_id, transfer_id = await world.register(), new_id()
    await world.top_up(user_id, 100, transfer_id=transfer_id)
    with fails(InvalidArgument, "INVALID_FIELD", "transfer_id"):
        await world.void(transfer_id)
    assert await world.balance(user_id) == 100


@pytest.mark.parametrize("refunded", [100, 300])
async def test_a_void_after_a_refund_gives_the_rest_back(world: World, refunded: int) -> None:
    user_id, transfer_id = await world.user_with(1000), new_id()
    await world.debit(user_id, 300, transfer_id=transfer_id)
    await world.refund(transfer_id, refunded)
    assert (await world.void(transfer_id)).state == VOIDED
    assert await world.balance(user_id) == 1000
    assert world.wrong_balances() == []


async def test_a_void_for_a_wallet_that_is_gone_goes_to_suspense(world: World) -> None:
    user_id, transfer_id = await world.user_with(1000), new_id()
    await world.debit(user_id, 300, transfer_id=transfer_id)
    await world.forget(user_id)
    assert (await world.void(transfer_id)).state == VOIDED
    assert world.system_balance("suspense") == 300
    assert world.system_balance("forfeited") == 700
    assert world.system_balance("sales") == 0
    assert world.wrong_balances() == []


# Refunds


async def test_a_refund_gives_money_of_a_debit_back(world: World) -> None:
    user_id, debit_id, refund_id = await world.user_with(1000), new_id(), new_id()
    await world.debit(user_id, 300, transfer_id=debit_id)
    first = await world.refund(debit_id, 100, transfer_id=refund_id)
    assert first.kind == wallet_pb.TRANSFER_KIND_REFUND
    assert first.state == POSTED
    assert first.user_id == str(user_id)
    assert first.reference == "an order"
    assert await world.refund(debit_id, 100, transfer_id=refund_id) == first
    assert await world.balance(user_id) == 800


async def test_refunds_never_exceed_their_debit(world: World) -> None:
    user_id, debit_id = await world.user_with(1000), new_id()
    await world.debit(user_id, 300, transfer_id=debit_id)
    with fails(FailedPrecondition, "ILLEGAL_STATE"):
        await world.refund(debit_id, 301)
    await world.refund(debit_id, 200)
    with fails(FailedPrecondition, "ILLEGAL_STATE"):
        await world.refund(debit_id, 101)
    await world.refund(debit_id, 100)
    with fails(FailedPrecondition, "ILLEGAL_STATE"):
        await world.refund(debit_id, 1)
    assert await world.balance(user_id) == 1000


async def test_only_posted_debits_can_be_refunded(world: World) -> None:
    user_id = await world.user_with(100)
    refused, voided, buried, topped_up = (new_id() for _ in range(4))
    await world.debit(user_id, 500, transfer_id=refused)
    await world.debit(user_id, 50, transfer_id=voided)
    await world.void(voided)
    await world.void(buried)
    await world.top_up(user_id, 100, transfer_id=topped_up)
    for original_id in (refused, voided, buried, topped_up):
        with fails(FailedPrecondition, "ILLEGAL_STATE"):
            await world.refund(original_id, 10)
    with fails(NotFound, "TRANSFER_NOT_FOUND"):
        await world.refund(new_id(), 10)
    assert await world.balance(user_id) == 200


async def test_a_refund_with_another_content_is_refused(world: World) -> None:
    user_id, one, two, refund_id = await world.user_with(1000), new_id(), new_id(), new_id()
    await world.debit(user_id, 300, transfer_id=one)
    await world.debit(user_id, 300, transfer_id=two)
    await world.refund(one, 100, transfer_id=refund_id)
    with fails(InvalidArgument, "INVALID_FIELD", "transfer_id"):
        await world.refund(one, 101, transfer_id=refund_id)
    with fails(InvalidArgument, "INVALID_FIELD", "transfer_id"):
        await world.refund(two, 100, transfer_id=refund_id)
    with fails(InvalidArgument, "INVALID_FIELD", "transfer_id"):
        await world.refund(two, 100, transfer_id=one)
    assert await world.balance(user_id) == 500


async def test_a_refund_is_repeated_with_its_answer_after_the_debit_was_voided(
    world: World,
) -> None:
    user_id, debit_id, refund_id = await world.user_with(1000), new_id(), new_id()
    await world.debit(user_id, 300, transfer_id=debit_id)
    first = await world.refund(debit_id, 100, transfer_id=refund_id)
    await world.void(debit_id)
    assert await world.refund(debit_id, 100, transfer_id=refund_id) == first
    assert await world.balance(user_id) == 1000


async def test_a_refund_for_a_wallet_that_is_gone_goes_to_suspense(world: World) -> None:
    user_id, debit_id, refund_id = await world.user_with(1000), new_id(), new_id()
    await world.debit(user_id, 300, transfer_id=debit_id)
    await world.forget(user_id)
    first = await world.refund(debit_id, 300, transfer_id=refund_id)
    assert first.state == POSTED
    assert first.user_id == ""
    assert await world.refund(debit_id, 300, transfer_id=refund_id) == first
    assert world.system_balance("suspense") == 300
    assert world.wrong_balances() == []


# Lists


async def test_transfers_are_listed_newest_first_in_pages(world: World) -> None:
    user_id, debit_id = await world.user_with(1000), new_id()
    await world.user_with(77)
    await world.debit(user_id, 300, transfer_id=debit_id)
    await world.debit(user_id, 5000)
    await world.refund(debit_id, 100)
    await world.void(debit_id)
    seen = []
    token = ""
    while True:
        answer = await page(world, user_id, page_size=2, page_token=token)
        seen += [
            (wallet_pb.TransferKind.Name(each.kind)[14:], each.state, minor_of(each.amount))
            for each in answer.transfers
        ]
        assert all(each.user_id == str(user_id) for each in answer.transfers)
        token = answer.next_page_token
        if not token:
            break
    assert seen == [
        ("VOID", POSTED, 200),
        ("REFUND", POSTED, 100),
        ("DEBIT", REFUSED, 5000),
        ("DEBIT", POSTED, 300),
        ("TOP_UP", POSTED, 1000),
    ]


async def test_wrong_pages_are_refused(world: World) -> None:
    one, two = await world.user_with(100), await world.user_with(100)
    await world.top_up(one, 1)
    token = (await page(world, one, page_size=1)).next_page_token
    assert token
    with fails(InvalidArgument, "INVALID_FIELD", "page_token"):
        await page(world, two, page_token=token)
    with fails(InvalidArgument, "INVALID_FIELD", "page_token"):
        await page(world, one, page_token="made up")
    with fails(InvalidArgument, "INVALID_FIELD", "page_size"):
        await page(world, one, page_size=-1)
    with fails(InvalidArgument, "INVALID_FIELD", "user_id"):
        await world.wallets.ListWalletTransfers(
            wallet_pb.ListWalletTransfersRequest(user_id="x"), metadata=world.admin
        )


# The rules that the database itself enforces


@pytest.mark.parametrize("change", ["UPDATE transfers SET amount = 1", "DELETE FROM transfers"])
async def test_a_transfer_is_never_changed_or_removed(world: World, change: str) -> None:
    await world.user_with(100)
    with pytest.raises(psycopg.errors.RestrictViolation):
        world.execute(change)


async def test_no_balance_can_be_negative(world: World) -> None:
    await world.user_with(100)
    with pytest.raises(psycopg.errors.CheckViolation) as caught:
        world.execute("UPDATE accounts SET balance = -1 WHERE kind = 'wallet'")
    assert caught.value.diag.constraint_name == "ck_accounts_balance"


async def test_the_script_finds_a_balance_that_does_not_follow(world: World) -> None:
    user_id = await world.user_with(100)
    await world.user_with(50)
    assert world.wrong_balances() == []
    world.execute("UPDATE accounts SET balance = balance + 7 WHERE user_id = %s", user_id)
    (wrong,) = world.wrong_balances()
    assert (wrong.kind, wrong.stored, wrong.recomputed, wrong.difference) == (
        "wallet",
        107,
        100,
        7,
    )


async def test_the_script_finds_a_line_with_another_balance(world: World) -> None:
    user_id = await world.user_with(100)
    await world.top_up(user_id, 50)
    assert world.wrong_balances() == []
    world.execute(
        "ALTER TABLE transfers DISABLE TRIGGER transfers_stay;"
        " UPDATE transfers SET credit_balance = 149 WHERE amount = 50"
    )
    (wrong,) = world.wrong_balances()
    assert (wrong.difference, wrong.wrong_lines) == (0, 1)


async def test_old_tombstones_are_cleaned_up_and_nothing_else(world: World) -> None:
    user_id, debit_id, old, new = await world.user_with(100), new_id(), new_id(), new_id()
    await world.debit(user_id, 50, transfer_id=debit_id)
    for transfer_id in (debit_id, old, new):
        await world.void(transfer_id)
    world.execute(
        "UPDATE transfers SET create_time = create_time - interval '8 days' WHERE id = %s", old
    )
    database = Database(world.url, name="janitor", connections=2)
    async with opened(database):
        assert await Cleaner(database, [transfers.OLD_TOMBSTONES]).sweep() == 1
    assert {row.id for row in world.rows("SELECT id FROM transfers WHERE state = 'voided'")} == {
        new
    }
