-- Lists everything in Commerce that does not agree: no row is good news.
-- It locks nothing and sees one moment. Run it with: lockstep psql commerce < this file
WITH held AS (
      SELECT items.product_id,
             sum(items.quantity - items.cancelled_quantity - items.restocked_quantity) AS quantity
        FROM order_items AS items
        JOIN orders ON orders.id = items.order_id
       WHERE orders.state <> 'FAILED'
       GROUP BY items.product_id
     ),
     lines AS (
      SELECT order_id,
             sum(quantity * unit_price) AS total,
             bool_and(cancelled_quantity = quantity) AS is_gone,
             bool_and(shipment_id IS NOT NULL OR cancelled_quantity = quantity) AS is_settled
        FROM order_items GROUP BY order_id
     ),
     -- What a line says of refunds, and what the refunds say of it.
     refunded AS (
      SELECT refunds.order_id, given.product_id,
             coalesce(sum(given.quantity) FILTER (WHERE kind = 'CANCEL'), 0) AS cancelled,
             coalesce(sum(given.quantity) FILTER (WHERE kind = 'RETURN'), 0) AS returned,
             coalesce(sum(given.quantity) FILTER (
               WHERE kind = 'RETURN' AND state = 'DONE' AND is_restocked), 0) AS restocked
        FROM refunds JOIN refund_items AS given ON given.refund_id = refunds.id
       GROUP BY refunds.order_id, given.product_id
     ),
     -- What the saga of an order must look like; finished ones may have been cleaned up.
     expected (order_state, saga_states) AS (
      VALUES ('PENDING', ARRAY['RUNNING', 'COMPENSATING']),
             ('PAID', ARRAY['DONE']),
             ('FULFILLED', ARRAY['DONE']),
             ('FAILED', ARRAY['ABORTED']),
             ('CANCELLING', ARRAY['DONE']),
             ('CANCELLED', ARRAY['DONE'])
     )
SELECT 'goods held by orders differ from products.taken' AS problem,
       products.id,
       format('%s held, %s taken', coalesce(held.quantity, 0), products.taken) AS detail
  FROM products LEFT JOIN held ON held.product_id = products.id
 WHERE products.taken <> coalesce(held.quantity, 0)
UNION ALL
SELECT 'the total is not the sum of the lines', orders.id, format('%s, %s', orders.total, lines.total)
  FROM orders LEFT JOIN lines ON lines.order_id = orders.id
 WHERE orders.total IS DISTINCT FROM lines.total
UNION ALL
SELECT 'the state does not follow from the lines', orders.id, orders.state
  FROM orders JOIN lines ON lines.order_id = orders.id
 WHERE orders.state NOT IN ('PENDING', 'FAILED')
   AND orders.state IS DISTINCT FROM CASE
         WHEN is_gone AND EXISTS (SELECT 1 FROM refunds
                                   WHERE refunds.order_id = orders.id AND refunds.state = 'OPEN')
           THEN 'CANCELLING'
         WHEN is_gone THEN 'CANCELLED'
         WHEN is_settled THEN 'FULFILLED'
         ELSE 'PAID'
       END
UNION ALL
SELECT 'a line does not agree with the refunds', items.order_id,
       format('%s: %s cancelled, %s back, %s restocked', items.product_id,
              cancelled_quantity, returned_quantity, restocked_quantity)
  FROM order_items AS items
  LEFT JOIN refunded USING (order_id, product_id)
 WHERE (cancelled_quantity, returned_quantity, restocked_quantity)
       IS DISTINCT FROM (coalesce(cancelled, 0), coalesce(returned, 0), coalesce(restocked, 0))
UNION ALL
SELECT 'a refund is not what its products cost', refunds.id, refunds.amount::text
  FROM refunds
 WHERE amount IS DISTINCT FROM (
         SELECT sum(given.quantity * items.unit_price)
           FROM refund_items AS given
           JOIN order_items AS items
             ON items.order_id = refunds.order_id AND items.product_id = given.product_id
          WHERE given.refund_id = refunds.id)
UNION ALL
SELECT 'the saga does not fit the order', orders.id, format('%s, %s', orders.state, sagas.state)
  FROM orders
  JOIN expected ON expected.order_state = orders.state
  LEFT JOIN sagas ON sagas.id = orders.debit_id
 WHERE NOT coalesce(sagas.state = ANY (expected.saga_states), orders.state <> 'PENDING')
UNION ALL
SELECT 'the saga does not fit the refund', refunds.id, format('%s, %s', refunds.state, sagas.state)
  FROM refunds LEFT JOIN sagas ON sagas.id = refunds.id
 WHERE NOT coalesce(
         CASE refunds.state WHEN 'OPEN' THEN sagas.state IN ('RUNNING', 'COMPENSATING')
                            ELSE sagas.state = 'DONE' END,
         refunds.state = 'DONE'
       )
UNION ALL
SELECT 'refunds take another share than the seller got', items.order_id,
       format('%s: %s', items.product_id, sum(given.share))
  FROM order_items AS items
  JOIN refunds ON refunds.order_id = items.order_id
  JOIN refund_items AS given
    ON given.refund_id = refunds.id AND given.product_id = items.product_id
 CROSS JOIN LATERAL (
         SELECT items.unit_price * items.quantity AS price,
                items.unit_price * (items.quantity - cancelled_quantity - returned_quantity) AS kept,
                items.commission_bps AS bps) AS line
 GROUP BY items.order_id, items.product_id, price, kept, bps
HAVING sum(given.share) <> coalesce(
         (price - price * bps / 10000) - (kept - kept * bps / 10000), 0)
UNION ALL
SELECT 'a seller waits for a share for more than an hour', id, format('since %s', create_time)
  FROM sagas
 WHERE kind = 'release' AND state = 'RUNNING' AND create_time < now() - interval '1 hour'
UNION ALL
SELECT 'an order is in flight for more than an hour', id, format('%s since %s', state, update_time)
  FROM orders
 WHERE state = 'PENDING' AND update_time < now() - interval '1 hour'
UNION ALL
SELECT 'a refund is in flight for more than an hour', id, format('%s since %s', kind, create_time)
  FROM refunds
 WHERE state = 'OPEN' AND create_time < now() - interval '1 hour'
UNION ALL
SELECT 'an address is left without a need', id, state
  FROM orders
 WHERE user_id IS NULL AND shipping_address <> '' AND state <> 'PAID'
UNION ALL
SELECT 'a saga that has not ended lost its payload', id, kind
  FROM sagas
 WHERE state IN ('RUNNING', 'COMPENSATING') AND NOT payload ? 'order_id'
UNION ALL
SELECT 'a saga has no order', sagas.id, sagas.kind
  FROM sagas
 WHERE NOT EXISTS (SELECT 1 FROM orders WHERE orders.debit_id = sagas.id)
   AND NOT EXISTS (SELECT 1 FROM refunds WHERE refunds.id = sagas.id)
   AND NOT EXISTS (SELECT 1 FROM shipments WHERE shipments.id = sagas.id)
   -- A return that was refused has left its saga alone.
   AND NOT (sagas.kind = 'return' AND sagas.state = 'ABORTED')
UNION ALL
SELECT 'a key names a saga that is not there', keys.saga_id, keys.method
  FROM idempotency AS keys
 WHERE keys.saga_id IS NOT NULL
   AND NOT EXISTS (SELECT 1 FROM sagas WHERE sagas.id = keys.saga_id)
UNION ALL
SELECT 'a cart has too many lines', user_id, count(*)::text
  FROM cart_items GROUP BY user_id HAVING count(*) > 100
UNION ALL
SELECT 'two lines of a cart have one place', user_id, position::text
  FROM cart_items GROUP BY user_id, position HAVING count(*) > 1
UNION ALL
SELECT 'something is left of a user who was forgotten', gone.user_id, rest.found_in
  FROM forgotten_users AS gone
  JOIN (SELECT user_id, 'carts' AS found_in FROM carts
        UNION ALL SELECT user_id, 'users' FROM users
        UNION ALL SELECT user_id, 'orders' FROM orders
        UNION ALL SELECT seller_id, 'products' FROM products
        UNION ALL SELECT seller_id, 'order_items' FROM order_items
        UNION ALL SELECT user_id, 'sagas' FROM sagas) AS rest USING (user_id)
UNION ALL
-- An answer may be kept at the moment of the forgetting. The clean-up removes it soon.
SELECT 'a key is left of a user who was forgotten', gone.user_id, keys.method
  FROM forgotten_users AS gone
  JOIN idempotency AS keys ON keys.scope = 'user:' || gone.user_id
 WHERE gone.create_time < now() - interval '1 hour';
