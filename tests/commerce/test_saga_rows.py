"""The rows of Commerce's sagas: processes of the first version and of now read each other's."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from services.commerce.sagas.kinds import CANCELLATION, CHECKOUT, RELEASE, RETURN
from services.kernel.errors import Internal
from tests.busy import all_connections_taken
from tests.commerce.people import money
from tests.commerce.world import Shop
from tests.saga_rows import row, written_again

PAYLOAD = {"order_id": "01a21977-3bee-7648-8608-d977ef9e669f"}
PAID: dict[str, Any] = {
    "id": "01a21977-3bee-7648-8608-d977ef9e669f",
    "user_id": "01a21977-3c1d-75f7-a2c5-383b64fd03cf",
    "state": "PAID",
    "items": [
        {
            "product_id": "01a21977-3c9d-770b-bbb1-5065734f2772",
            "name": "Tea",
            "quantity": 3,
            "unit_price": 250,
        }
    ],
    "total": 750,
    "create_time": "2026-11-26T20:06:14.265293Z",
    "failure_reason": None,
    "debit_id": "01a21977-3bee-7648-8608-d97885d84280",
    "refund_id": None,
}
CANCELLED = PAID | {"state": "CANCELLED", "refund_id": "01a21977-3d04-727f-8320-4b03a0f84d12"}
FORGOTTEN = CANCELLED | {"user_id": None}


@pytest.mark.parametrize(
    ("kind", "result"), [(CHECKOUT, PAID), (CANCELLATION, CANCELLED), (CANCELLATION, FORGOTTEN)]
)
def test_a_saga_of_an_order_is_read_and_written_as_before(kind: Any, result: object) -> None:
    assert written_again(kind, payload=PAYLOAD, result=result) == (PAYLOAD, result)
    assert kind.outcome_of(row(kind, result=result, version=1)).result is not None


def test_a_return_of_before_is_read_and_a_new_one_is_left_alone_there() -> None:
    assert (RETURN.version, list(RETURN.versions)) == (2, [1, 2])
    assert written_again(RETURN, payload=PAYLOAD, result=PAID) == (PAYLOAD, PAID)
    for version in (1, 2):
        assert RETURN.outcome_of(row(RETURN, result=PAID, version=version)).result is not None


def test_a_release_is_read_and_written_as_before() -> None:
    assert RELEASE.version == 1
    assert written_again(RELEASE, payload=PAYLOAD, result={}) == (PAYLOAD, {})


@pytest.mark.parametrize(
    "result",
    [PAID | {"discount": 1}, PAID | {"items": [{**PAID["items"][0], "discount": 1}]}],
)
def test_a_field_that_is_not_known_is_refused(result: object) -> None:
    with pytest.raises(Internal):
        CHECKOUT.outcome_of(row(CHECKOUT, result=result))


@pytest.mark.parametrize("kept", [{}, None])
def test_an_order_that_was_forgotten_with_its_user_has_no_outcome(kept: Any) -> None:
    assert CHECKOUT.outcome_of(row(CHECKOUT, payload=kept, result=kept)).is_forgotten


async def test_a_new_row_has_a_version_that_processes_of_before_leave_alone(shop: Shop) -> None:
    buyer, product = await shop.buyer(5000), await shop.product(name="Tea", price=250)
    order = await shop.bought(buyer, product, 3)
    [saga] = shop.rows("SELECT id, version, payload, result FROM sagas")
    assert (saga.version, saga.payload) == (2, {"order_id": order.id})
    assert saga.result == PAID | {
        "number": order.number,
        "id": order.id,
        "user_id": str(buyer.id),
        "items": [PAID["items"][0] | {"product_id": product.id}],
        "create_time": saga.result["create_time"],
        "debit_id": str(saga.id),
    }


async def test_a_return_that_a_process_of_before_has_begun_is_driven_to_its_end(
    shop: Shop,
) -> None:
    buyer, admin = await shop.buyer(5000), shop.login("admin")
    product = await shop.product(price=250)
    order = await shop.bought(buyer, product, 2)
    await shop.fulfil(admin, order.id)
    await shop.refund(admin, order.id, (product, 1))
    # As if that process had been killed after T1. The wallet has the refund, and says so again.
    shop.rows("UPDATE refunds SET state = 'OPEN'")
    shop.rows("UPDATE order_items SET restocked_quantity = 0")
    shop.rows("UPDATE products SET stock = stock - 1, taken = taken + 1")
    shop.rows(
        "UPDATE sagas SET version = 1, state = 'RUNNING', result = NULL, next_run_at = saga_now()"
        " WHERE kind = 'return'"
    )
    await shop.settled()
    assert (await shop.order(buyer, order.id)).refunded == money(250)
    assert await shop.balance(buyer) == 4750


async def test_a_checkout_is_recovered_while_requests_hold_every_connection(shop: Shop) -> None:
    buyer, product = await shop.buyer(5000), await shop.product(name="Tea", price=250)
    await shop.bought(buyer, product)
    async with all_connections_taken(shop.database):
        shop.rows("UPDATE orders SET state = 'PENDING', pay_time = NULL")
        shop.rows("UPDATE sagas SET state = 'RUNNING', result = NULL, next_run_at = saga_now()")
        async with asyncio.timeout(20):
            while await asyncio.to_thread(shop.rows, "SELECT 1 FROM sagas WHERE state = 'RUNNING'"):
                pass
    assert await shop.balance(buyer) == 4750
