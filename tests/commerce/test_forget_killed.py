"""ForgetUser of somebody with very much to forget, when its process dies in the middle."""

from __future__ import annotations

from pathlib import Path

import pytest
from lockstep.commerce.v1 import order_service_pb2 as order_pb
from lockstep_clients import Aborted, LockstepError, Unauthenticated

from services.common.forgetting import FORGOTTEN_AT_ONCE
from services.kernel.ids import new_id
from tests.commerce.replicas import another
from tests.commerce.world import Buyer, Shop, refusal

pytestmark = pytest.mark.processes

MANY = FORGOTTEN_AT_ONCE * 3 + 1
# Orders that failed a year ago, with all that there is of an order that has just failed.
OLD_ORDERS = """
WITH old AS (
  INSERT INTO orders (id, user_id, state, total, failure_reason, debit_id, shipping_address,
                      create_time)
  SELECT gen_random_uuid(), user_id, 'FAILED', 0, 'NO_STOCK', gen_random_uuid(), '1 Main St',
         create_time - n * interval '1 hour'
    FROM orders, generate_series(1, %s) AS n WHERE id = %s
  RETURNING id, user_id, debit_id
), lines AS (
  INSERT INTO order_items (order_id, position, product_id, name, quantity, unit_price)
  SELECT id, 0, %s, 'Thing', 1, 0 FROM old
), ended AS (
  INSERT INTO sagas (id, kind, state, payload, result, user_id, next_run_at)
  SELECT debit_id, 'checkout', 'ABORTED', jsonb_build_object('order_id', id),
         jsonb_build_object('user_id', user_id), user_id, now() FROM old
), keys AS (
  INSERT INTO idempotency (scope, method, key_hmac, fingerprint, saga_id, expire_time)
  SELECT scope, 'PlaceOrder', uuid_send(debit_id), '', debit_id, now() + interval '1 day'
    FROM old, unnest(ARRAY['user:' || user_id, 'user:' || gen_random_uuid()]) AS scope
)
INSERT INTO audit_log (id, event, user_id, actor, address, detail)
SELECT id, 'order_cancelled', user_id, user_id::text, '192.0.2.1', '{}' FROM old
"""
LEFT = """
SELECT (SELECT count(*) FROM orders WHERE user_id = %s OR shipping_address <> '') AS orders,
       (SELECT count(*) FROM sagas WHERE user_id IS NOT NULL OR result <> '{}') AS sagas,
       (SELECT count(*) FROM idempotency WHERE method = 'PlaceOrder') AS keys,
       (SELECT count(*) FROM audit_log WHERE actor = %s::text AND address IS NOT NULL) AS addresses
"""
# The most rows that one transaction has written.
MOST = """
SELECT max(n) AS most FROM (
  SELECT count(*) AS n FROM orders WHERE user_id IS NULL GROUP BY xmin::text
  UNION ALL SELECT count(*) FROM sagas WHERE user_id IS NULL GROUP BY xmin::text
  UNION ALL SELECT count(*) FROM audit_log WHERE address IS NULL GROUP BY xmin::text) AS written
"""


async def old_customer(shop: Shop) -> tuple[Buyer, order_pb.Order]:
    """Return a buyer with more than three ranges of orders, and the newest of them."""
    buyer, product = await shop.buyer(), await shop.product()
    order = await shop.bought(buyer, product)
    shop.rows(OLD_ORDERS, MANY, order.id, product.id)
    return buyer, order


@pytest.mark.parametrize(
    "edge",
    [
        "commerce.ForgetUser.commit.acked",
        "commerce.ForgetRange.statement#1",
        "commerce.ForgetRange.commit.acked",
    ],
)
async def test_a_buyer_with_many_orders_is_forgotten_although_the_process_dies(
    shop: Shop, tmp_path: Path, edge: str
) -> None:
    """[C58]: half of it is done; a repeat does the rest, and answers the same."""
    buyer, order = await old_customer(shop)
    saga_id, admin = new_id(), shop.login("admin")
    async with another(shop, tmp_path / "log", edge) as (replica, process):
        with pytest.raises(LockstepError):
            await replica.forget(buyer, saga_id=saga_id)
        await process.gone()
    (half,) = shop.rows(LEFT, buyer.id, buyer.id)
    assert 0 < half.orders < MANY
    with refusal("SESSION_ENDED", Unauthenticated):
        await shop.cancel(buyer, order.id)
    with refusal("ETAG_MISMATCH", Aborted):
        await shop.cancel(admin, order.id)
    for _ in "ab":
        await shop.forget(buyer, saga_id=saga_id)
    assert shop.rows(LEFT, buyer.id, buyer.id) == [(0, 0, 0, 0)]
    assert shop.rows(MOST)[0].most <= FORGOTTEN_AT_ONCE
    assert (await shop.cancel(admin, order.id)).state == order_pb.ORDER_STATE_CANCELLED
