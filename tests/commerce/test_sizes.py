"""Answers that would be larger than callers take: pages end earlier, batches are refused."""

from __future__ import annotations

from lockstep.commerce.v1 import catalog_service_pb2 as catalog_pb
from lockstep.commerce.v1 import order_service_pb2 as order_pb
from lockstep_clients import InvalidArgument

from services.commerce.model import LINES_MAX, PRODUCT_NAME_MAX
from services.commerce.servicers.catalog import BATCH_TEXT_BYTES_MAX
from services.common.vocabulary import DESCRIPTION_MAX
from services.kernel.paging import PAGE_SIZE_MAX
from services.kernel.validation import URL_MAX
from tests.commerce.people import money
from tests.commerce.world import Buyer, Shop, fields_of, refusal

GRPC_DEFAULT_BYTES = 4 * 1024 * 1024
LONG_NAME = "\u4e66" * PRODUCT_NAME_MAX

_ORDERS = """
WITH made AS (
  INSERT INTO orders (id, user_id, state, failure_reason, total, debit_id)
  SELECT gen_random_uuid(), %s, 'FAILED', 'NO_STOCK', %s, gen_random_uuid()
  FROM generate_series(1, %s)
  RETURNING id)
INSERT INTO order_items (order_id, position, product_id, name, quantity, unit_price)
SELECT made.id, line, %s, %s, 1, 1 FROM made, generate_series(1, %s) AS line
"""


async def pages(shop: Shop, buyer: Buyer) -> list[order_pb.ListOrdersResponse]:
    """Read a buyer's orders page by page."""
    found = []
    token = ""
    while True:
        request = order_pb.ListOrdersRequest(page_size=PAGE_SIZE_MAX, page_token=token)
        found.append(await shop.orders.ListOrders(request, metadata=buyer.metadata))
        token = found[-1].next_page_token
        if not token:
            return found


async def test_a_page_of_large_orders_ends_earlier_and_no_order_is_left_out(shop: Shop) -> None:
    buyer, product = shop.login(), await shop.product()
    values = (buyer.id, LINES_MAX, PAGE_SIZE_MAX, product.id, LONG_NAME, LINES_MAX)
    shop.rows(_ORDERS, *values)

    found = await pages(shop, buyer)

    assert len(found) == 3
    assert all(page.ByteSize() < GRPC_DEFAULT_BYTES for page in found)
    orders = [order for page in found for order in page.orders]
    assert len({order.id for order in orders}) == PAGE_SIZE_MAX
    assert all(len(order.items) == LINES_MAX for order in orders)


def batch(category_id: str, text_bytes: int) -> catalog_pb.BatchCreateProductsRequest:
    """Ask for products whose texts have this many bytes together."""
    of_each = [DESCRIPTION_MAX] * (text_bytes // DESCRIPTION_MAX)
    rest = text_bytes - sum(of_each)
    products = [
        catalog_pb.Product(
            name="x", description="x" * (size - 1), category_id=category_id, price=money(1)
        )
        for size in [*of_each, rest]
    ]
    return catalog_pb.BatchCreateProductsRequest(products=products)


async def test_a_batch_whose_answer_would_be_too_large_creates_nothing(shop: Shop) -> None:
    category = await shop.category()
    too_large = batch(category.id, BATCH_TEXT_BYTES_MAX + 1)
    with refusal("INVALID_FIELD", InvalidArgument) as caught:
        await shop.catalog.BatchCreateProducts(too_large, metadata=shop.admin)
    assert fields_of(caught) == {"products"}
    assert shop.rows("SELECT count(*) FROM products")[0].count == 0

    largest = batch(category.id, BATCH_TEXT_BYTES_MAX)
    created = await shop.catalog.BatchCreateProducts(largest, metadata=shop.admin)
    assert len(created.products) == len(largest.products)
    assert created.ByteSize() < GRPC_DEFAULT_BYTES


async def test_the_texts_of_a_batch_are_measured_as_they_are_stored(shop: Shop) -> None:
    """NFC makes three characters of one: a request may be much smaller than its answer."""
    category = await shop.category()
    name = "\U0001d160"  # a musical symbol: 4 bytes, 12 in NFC
    product = catalog_pb.Product(
        name="x",
        description=name * (DESCRIPTION_MAX // 3),
        category_id=category.id,
        price=money(1),
        image_url="https://example.com/".ljust(URL_MAX, "x"),
    )
    request = catalog_pb.BatchCreateProductsRequest(products=[product] * 160)
    assert request.ByteSize() < BATCH_TEXT_BYTES_MAX / 2
    with refusal("INVALID_FIELD", InvalidArgument) as caught:
        await shop.catalog.BatchCreateProducts(request, metadata=shop.admin)
    assert fields_of(caught) == {"products"}
