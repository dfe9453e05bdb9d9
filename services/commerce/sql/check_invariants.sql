-- Lists everything in Commerce that does not agree: no row is good news.
-- It locks nothing and sees one moment. Run it with: lockstep psql commerce < this file
WITH held AS (
      SELECT items.product_id, sum(items.quantity) AS quantity
        FROM order_items AS items
        JOIN orders ON orders.id = items.order_id
       WHERE orders.state IN ('PENDING', 'PAID', 'CANCELLING')
       GROUP BY items.product_id
     ),
     lines AS (
      SELECT order_id, sum(quantity * unit_price) AS total FROM order_items GROUP BY order_id
     ),
     -- What the saga of an order must look like; finished ones may have been cleaned up.
     expected (order_state, saga_states) AS (
      VALUES ('PENDING', ARRAY['RUNNING', 'COMPENSATING']),
             ('PAID', ARRAY['DONE']),
             ('FAILED', ARRAY['ABORTED']),
             ('CANCELLING', ARRAY['RUNNING']),
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
SELECT 'the saga does not fit the order', orders.id, format('%s, %s', orders.state, sagas.state)
  FROM orders
  JOIN expected ON expected.order_state = orders.state
  LEFT JOIN sagas ON sagas.id = coalesce(orders.refund_id, orders.debit_id)
 WHERE NOT coalesce(
         sagas.state = ANY (expected.saga_states),
         orders.state NOT IN ('PENDING', 'CANCELLING')
       )
UNION ALL
SELECT 'an order is in flight for more than an hour', id, format('%s since %s', state, update_time)
  FROM orders
 WHERE state IN ('PENDING', 'CANCELLING') AND update_time < now() - interval '1 hour'
UNION ALL
SELECT 'a saga that has not ended lost its payload', id, kind
  FROM sagas
 WHERE state IN ('RUNNING', 'COMPENSATING') AND NOT payload ? 'order_id'
UNION ALL
SELECT 'a saga has no order', sagas.id, sagas.kind
  FROM sagas
 WHERE NOT EXISTS (SELECT 1 FROM orders WHERE sagas.id IN (orders.debit_id, orders.refund_id))
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
SELECT 'something is left of a user who was forgotten', gone.user_id, ''
  FROM forgotten_users AS gone
 WHERE EXISTS (SELECT 1 FROM carts WHERE carts.user_id = gone.user_id)
    OR EXISTS (SELECT 1 FROM users WHERE users.user_id = gone.user_id)
    OR EXISTS (SELECT 1 FROM orders WHERE orders.user_id = gone.user_id)
    OR EXISTS (SELECT 1 FROM products WHERE products.seller_id = gone.user_id)
    OR EXISTS (SELECT 1 FROM sagas WHERE sagas.user_id = gone.user_id)
    OR EXISTS (SELECT 1 FROM idempotency WHERE scope = 'user:' || gone.user_id);
