"""A mistaken top-up is taken back, and never more than was put in."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest
from lockstep.profile.v1 import wallet_service_pb2 as wallet_pb
from lockstep_clients import FailedPrecondition, InvalidArgument, NotFound, PermissionDenied, bearer

from services.kernel.ids import new_id
from tests.profile.world import World, fails, minor_of, money, outcome

REVERSAL = wallet_pb.TRANSFER_KIND_REVERSAL


async def reverse(
    world: World, user_id: UUID, top_up: str, minor: int | None = None, **more: Any
) -> wallet_pb.Transfer:
    request = wallet_pb.ReverseTransferRequest(
        **{"reversal_id": str(new_id()), "reason": "Typed twice."} | more,
        user_id=str(user_id),
        transfer_id=top_up,
    )
    if minor is not None:
        request.amount.CopyFrom(money(minor))
    return await world.wallets.ReverseTransfer(request, metadata=world.admin)


async def listed(world: World, user_id: UUID) -> list[wallet_pb.Transfer]:
    request = wallet_pb.ListWalletTransfersRequest(user_id=str(user_id))
    return list((await world.wallets.ListWalletTransfers(request, metadata=world.admin)).transfers)


async def test_a_top_up_is_reversed_in_parts_and_then_no_more(world: World) -> None:
    user_id = await world.user_with(500)
    top_up = await world.top_up(user_id, 300)
    part = await reverse(world, user_id, top_up.id, 100)
    assert (part.kind, part.original_id, part.reference) == (REVERSAL, top_up.id, "Typed twice.")
    assert part.state == wallet_pb.TRANSFER_STATE_POSTED
    with fails(FailedPrecondition, "ILLEGAL_STATE"):
        await reverse(world, user_id, top_up.id, 201)
    rest = await reverse(world, user_id, top_up.id)
    assert minor_of(rest.amount) == 200
    for amount in (1, None):
        with fails(FailedPrecondition, "ILLEGAL_STATE"):
            await reverse(world, user_id, top_up.id, amount)
    assert await world.balance(user_id) == 500
    assert (await listed(world, user_id))[:3] == [rest, part, top_up]
    assert world.wrong_balances() == []


@pytest.mark.parametrize("minor", [None, 100])
async def test_the_same_id_takes_money_once(world: World, minor: int | None) -> None:
    user_id = await world.user_with(0)
    top_up = await world.top_up(user_id, 100)
    same: dict[str, Any] = {"reversal_id": str(new_id())}
    first, *others = await asyncio.gather(
        *(reverse(world, user_id, top_up.id, minor, **same) for _ in range(5))
    )
    assert all(each == first for each in others)
    assert await world.balance(user_id) == 0
    wrongs: tuple[dict[str, Any], ...] = ({"minor": 99}, {"reason": "Another."})
    for wrong in wrongs:
        with fails(InvalidArgument, "INVALID_FIELD", "reversal_id"):
            await reverse(world, user_id, top_up.id, **{"minor": minor} | same | wrong)
    with fails(InvalidArgument, "INVALID_FIELD", "reversal_id"):
        await reverse(world, user_id, top_up.id, minor, reversal_id=top_up.id)


async def test_what_was_spent_cannot_be_taken(world: World) -> None:
    user_id = await world.user_with(0)
    top_up = await world.top_up(user_id, 100)
    await world.debit(user_id, 30)
    with fails(FailedPrecondition, "INSUFFICIENT_FUNDS"):
        await reverse(world, user_id, top_up.id)
    assert minor_of((await reverse(world, user_id, top_up.id, 70)).amount) == 70
    assert await world.balance(user_id) == 0


async def test_reversals_and_debits_at_once_leave_no_balance_below_zero(world: World) -> None:
    user_id = await world.user_with(0)
    top_up = await world.top_up(user_id, 100)
    calls = [outcome(reverse(world, user_id, top_up.id, 20)) for _ in range(8)]
    debits = [world.debit(user_id, 20) for _ in range(8)]
    came = await asyncio.gather(*calls, *debits)
    taken = [each for each in came if getattr(each, "state", 0) == wallet_pb.TRANSFER_STATE_POSTED]
    assert len(taken) == 5
    assert await world.balance(user_id) == 0
    assert world.wrong_balances() == []


async def test_only_a_top_up_of_this_wallet_is_reversed(world: World) -> None:
    user_id, other = await world.user_with(0), await world.user_with(100)
    top_up = await world.top_up(user_id, 100)
    debit = await world.debit(user_id, 10)
    with fails(FailedPrecondition, "ILLEGAL_STATE"):
        await reverse(world, user_id, debit.id)
    reversal = await reverse(world, user_id, top_up.id, 10)
    with fails(FailedPrecondition, "ILLEGAL_STATE"):
        await reverse(world, user_id, reversal.id)
    for of_user, transfer in ((other, top_up.id), (user_id, str(new_id()))):
        with fails(NotFound, "TRANSFER_NOT_FOUND"):
            await reverse(world, of_user, transfer)
    await world.forget(user_id)
    with fails(NotFound, "TRANSFER_NOT_FOUND"):
        await reverse(world, user_id, top_up.id)


async def test_only_administrators_reverse_and_say_why(world: World) -> None:
    user_id = await world.user_with(0)
    top_up = await world.top_up(user_id, 100)
    request = wallet_pb.ReverseTransferRequest(
        user_id="me", transfer_id=top_up.id, reversal_id=str(new_id()), reason="Mine."
    )
    with fails(PermissionDenied, "FORBIDDEN"):
        await world.wallets.ReverseTransfer(request, metadata=bearer(world.auth.token(user_id)))
    wrongs: tuple[tuple[str, dict[str, Any]], ...] = (
        ("reason", {"reason": ""}),
        ("reason", {"reason": "x" * 201}),
        ("reversal_id", {"reversal_id": "x"}),
        ("amount", {"minor": 0}),
        ("amount", {"minor": -5}),
    )
    for field, wrong in wrongs:
        with fails(InvalidArgument, "INVALID_FIELD", field):
            await reverse(world, user_id, top_up.id, **wrong)
    query = "SELECT detail FROM audit_log WHERE event = 'transfer_reversed' AND user_id = %s"
    assert world.rows(query, user_id) == []
    await reverse(world, user_id, top_up.id)
    (line,) = world.rows(query, user_id)
    assert (line.detail["amount"], line.detail["reason"]) == (100, "Typed twice.")


async def test_a_top_up_has_a_note_for_the_user(world: World) -> None:
    user_id = await world.user_with(0)
    request = wallet_pb.TopUpWalletRequest(
        user_id=str(user_id), transfer_id=str(new_id()), amount=money(5), reference="Voucher 7"
    )
    top_up = await world.wallets.TopUpWallet(request, metadata=world.admin)
    assert top_up.reference == "Voucher 7"
    assert await listed(world, user_id) == [top_up]
    request.reference = "Voucher 8"
    with fails(InvalidArgument, "INVALID_FIELD", "transfer_id"):
        await world.wallets.TopUpWallet(request, metadata=world.admin)


async def test_administrators_see_who_asked_for_a_transfer_and_the_user_what_was_left(
    world: World,
) -> None:
    user_id, debit_id = await world.user_with(0), new_id()
    top_up_id = new_id()
    await world.top_up(user_id, 100, transfer_id=top_up_id)
    await world.debit(user_id, 30, transfer_id=debit_id)
    await world.refund(debit_id, 10)
    await world.debit(user_id, 500)
    await reverse(world, user_id, str(top_up_id), 20)
    lines = await listed(world, user_id)
    kinds = [wallet_pb.TransferKind.Name(each.kind)[14:] for each in lines]
    assert kinds == ["REVERSAL", "DEBIT", "REFUND", "DEBIT", "TOP_UP"]
    actors = [each.actor.partition(":")[0] for each in lines]
    assert actors == ["user", "service", "service", "service", "user"]
    assert {each.actor for each in lines if each.kind == wallet_pb.TRANSFER_KIND_REFUND} == {
        "service:commerce"
    }
    own = wallet_pb.ListWalletTransfersRequest(user_id="me")
    page = await world.wallets.ListWalletTransfers(own, metadata=world.as_user(user_id))
    seen = page.transfers
    assert {each.actor for each in seen} == {""}
    assert [each.HasField("balance_after") for each in seen] == [True, False, True, True, True]
    assert [minor_of(each.balance_after) for each in seen] == [60, 0, 80, 70, 100]
