"""Commerce's migrations keep every row of the commit before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import namedtuple_row

import services.commerce
from services.cli.postgres import EmbeddedPostgres
from services.kernel.db.migrations import downgrade, upgrade
from tests.commerce.world import SCRIPT
from tests.postgres import fresh_database

HISTORY = Path(services.commerce.__file__).parent / "migrations"
BUYER, SELLER, GONE = (f"00000000-0000-4000-8000-00000000000{n}" for n in "123")
FILL = f"""
INSERT INTO categories (id, name, description) SELECT gen_random_uuid(), 'Things', '';
INSERT INTO products (id, category_id, seller_id, name, description, price, stock, image_url,
                      taken)
  SELECT gen_random_uuid(), categories.id, seller.id, 'Thing ' || n, '', 100 * n, 10, '',
         CASE WHEN n <= 2 THEN 2 ELSE 0 END
  FROM categories, generate_series(1, 3) AS n,
       (VALUES (NULL::uuid), ('{SELLER}'), ('{GONE}')) AS seller (id);
INSERT INTO users VALUES ('{BUYER}'), ('{SELLER}');
INSERT INTO forgotten_users (user_id) VALUES ('{GONE}');
INSERT INTO carts (user_id) VALUES ('{BUYER}');
INSERT INTO cart_items SELECT '{BUYER}', id, 1, 2, price FROM products WHERE seller_id = '{SELLER}'
  ORDER BY id LIMIT 1;
INSERT INTO orders (id, user_id, state, total, failure_reason, debit_id, refund_id)
  VALUES (gen_random_uuid(), '{BUYER}', 'PAID', 600, NULL, gen_random_uuid(), NULL),
         (gen_random_uuid(), NULL, 'PAID', 600, NULL, gen_random_uuid(), NULL),
         (gen_random_uuid(), '{BUYER}', 'FAILED', 600, 'NO_STOCK', gen_random_uuid(), NULL),
         (gen_random_uuid(), '{BUYER}', 'CANCELLED', 600, NULL, gen_random_uuid(),
          gen_random_uuid());
"""
# Each order has two of all three "Thing 1" and "Thing 2", but of one seller alone.
FILL_ITEMS = """
INSERT INTO order_items (order_id, position, product_id, name, quantity, unit_price)
  SELECT orders.id, row_number() OVER (PARTITION BY orders.id), products.id, products.name, 1,
         products.price
  FROM orders CROSS JOIN products WHERE products.price <= 200 AND products.taken > 0
"""
RECOUNT = """
UPDATE products SET taken = (SELECT coalesce(sum(quantity), 0) FROM order_items
  JOIN orders ON orders.id = order_id WHERE product_id = products.id AND state = 'PAID');
UPDATE orders SET total = (SELECT sum(quantity * unit_price) FROM order_items
  WHERE order_id = orders.id)
"""
INSERT_CATEGORY = (
    "INSERT INTO categories (id, name, description) VALUES (gen_random_uuid(), %s, '')"
)


@pytest.fixture
def url(postgres: EmbeddedPostgres) -> Iterator[str]:
    with fresh_database(postgres) as url:
        yield url


def rows(url: str, query: str) -> list[Any]:
    with psycopg.connect(url, row_factory=namedtuple_row) as connection:
        return connection.execute(query.encode()).fetchall()


def fill(url: str) -> None:
    """Fill a database at the first revision whose tables these rows fit."""
    with psycopg.connect(url) as connection:
        for statement in (FILL, FILL_ITEMS, RECOUNT):
            connection.execute(statement.encode())


def everything(url: str) -> dict[str, list[Any]]:
    """Return the rows of the tables, each as what it had at revision 0007."""
    return {
        "orders": rows(
            url,
            "SELECT id, user_id, state, total, failure_reason, debit_id FROM orders ORDER BY id",
        ),
        "order_items": rows(
            url,
            "SELECT order_id, position, product_id, name, quantity, unit_price FROM order_items"
            " ORDER BY order_id, position",
        ),
        "products": rows(url, "SELECT id, name, price, stock, taken FROM products ORDER BY id"),
        "carts": rows(url, "SELECT * FROM cart_items ORDER BY product_id"),
    }


def test_rows_of_before_are_kept_and_add_up(url: str) -> None:
    upgrade(url, HISTORY, "0007")
    fill(url)
    before = everything(url)
    assert all(before.values())
    upgrade(url, HISTORY)
    assert everything(url) == before
    assert rows(url, SCRIPT.read_text()) == []
    downgrade(url, HISTORY, "0007")
    assert everything(url) == before
    upgrade(url, HISTORY)
    assert everything(url) == before


# What became of the first paid order since 0.1: a line is shipped, and a part of it came back.
LIVE_ON = f"""
UPDATE order_items SET seller_id = '{SELLER}' WHERE position = 2;
INSERT INTO shipments (id, order_id, tracking)
  SELECT gen_random_uuid(), id, 'RM 1' FROM orders WHERE state = 'PAID' AND user_id IS NOT NULL;
UPDATE order_items SET shipment_id = shipments.id FROM shipments
  WHERE shipments.order_id = order_items.order_id AND position = 1;
INSERT INTO refunds (id, order_id, kind, state, amount, is_restocked, reason)
  SELECT gen_random_uuid(), order_id, 'RETURN', 'DONE', 0, true, 'Too small.' FROM shipments;
INSERT INTO refund_items (refund_id, product_id, quantity, share)
  SELECT refunds.id, product_id, 1, 0 FROM refunds JOIN order_items USING (order_id)
   WHERE position = 1 AND kind = 'RETURN';
UPDATE refunds SET amount = unit_price FROM order_items
  WHERE order_items.order_id = refunds.order_id AND position = 1 AND kind = 'RETURN';
UPDATE order_items SET returned_quantity = 1, restocked_quantity = 1 FROM refunds
  WHERE refunds.order_id = order_items.order_id AND position = 1 AND kind = 'RETURN';
UPDATE products SET taken = taken - 1, stock = stock + 1 FROM order_items
  WHERE products.id = product_id AND returned_quantity = 1;
INSERT INTO stock_adjustments (id, product_id, delta, stock, reason)
  SELECT gen_random_uuid(), id, 1, stock, 'Found.' FROM products
"""
LATER_TABLES = "orders", "order_items", "shipments", "refunds", "refund_items", "products", "users"


def content(url: str) -> dict[str, list[dict[str, Any]]]:
    """Return all rows of the tables, in no order of meaning."""
    return {
        table: sorted((row._asdict() for row in rows(url, f"SELECT * FROM {table}")), key=str)
        for table in (*LATER_TABLES, "stock_adjustments", "carts", "cart_items", "categories")
    }


def test_orders_that_live_on_are_kept_by_each_migration(url: str) -> None:
    upgrade(url, HISTORY, "0007")
    fill(url)
    upgrade(url, HISTORY, "0013")
    with psycopg.connect(url) as connection:
        connection.execute(LIVE_ON.encode())
    before = content(url)
    assert all(before[table] for table in LATER_TABLES)
    assert rows(url, SCRIPT.read_text()) == []
    upgrade(url, HISTORY)
    assert rows(url, SCRIPT.read_text()) == []
    assert not rows(url, "SELECT 1 FROM orders WHERE pay_time IS NOT NULL")
    for table, found in content(url).items():
        known = before[table][0].keys() - {"words"}  # what a search reads is derived
        kept = [{key: row[key] for key in known} for row in found]
        was = [{key: row[key] for key in known} for row in before[table]]
        assert sorted(kept, key=str) == sorted(was, key=str), table


def test_names_that_have_become_one_stay_and_the_oldest_counts(url: str) -> None:
    upgrade(url, HISTORY, "0013")
    with psycopg.connect(url) as connection:
        for name in ("Stra\u00dfe", "STRASSE", "Books", "Bo\u200dOKS", "Caf\u00e9"):
            connection.execute(INSERT_CATEGORY, [name])
    before = rows(url, "SELECT id, name FROM categories ORDER BY id")
    upgrade(url, HISTORY)
    assert rows(url, "SELECT id, name FROM categories ORDER BY id") == before
    twins = rows(url, "SELECT name FROM categories WHERE is_twin ORDER BY name")
    assert [row.name for row in twins] == ["Bo\u200dOKS", "STRASSE"]
    for name, is_taken in (("strasse", True), ("BOOKS", True), ("cafe", False)):
        with psycopg.connect(url) as connection:
            if is_taken:
                with pytest.raises(psycopg.errors.UniqueViolation):
                    connection.execute(INSERT_CATEGORY, [name])
            else:
                connection.execute(INSERT_CATEGORY, [name])
    downgrade(url, HISTORY, "0013")
    assert len(rows(url, "SELECT 1 FROM categories")) == len(before) + 1


def test_the_products_of_brands_who_are_gone_leave_the_catalog(url: str) -> None:
    upgrade(url, HISTORY, "0007")
    fill(url)
    upgrade(url, HISTORY)
    listed = rows(url, "SELECT seller_id FROM products WHERE delete_time IS NULL")
    assert {str(row.seller_id) for row in listed} == {"None", SELLER}
    assert len(listed) == 6
    assert rows(url, f"SELECT 1 FROM products WHERE seller_id = '{GONE}'") == []
