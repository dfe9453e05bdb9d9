"""A cached message is that of the row as it is now."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from lockstep.commerce.v1 import catalog_service_pb2 as catalog_pb

from services.commerce.model import CartLine, Product
from services.commerce.servicers.messages import Messages
from services.kernel.money import Currency

KETTLE = Product(
    id=UUID(int=1),
    category_id=UUID(int=2),
    category_name="Kitchen",
    seller_id=None,
    name="Kettle",
    description="Boils",
    price=1999,
    stock=3,
    image_url="https://example.com/kettle.png",
    version=1,
    create_time=datetime(2026, 1, 1, tzinfo=UTC),
    update_time=datetime(2026, 1, 2, tzinfo=UTC),
    thumbnail_url="/v1/images/0",
)
OTHERWISE: dict[type, Any] = {
    UUID: UUID(int=9),
    type(None): UUID(int=9),
    str: "Teapot",
    int: 7,
    datetime: datetime(2026, 2, 1, tzinfo=UTC),
}


@pytest.mark.parametrize("field", [each.name for each in fields(Product)])
def test_a_product_is_written_anew_whatever_of_it_has_changed(field: str) -> None:
    messages = Messages(Currency("USD", digits=2))
    before = messages.product(KETTLE)
    changed = replace(KETTLE, **{field: OTHERWISE[type(getattr(KETTLE, field))]})
    assert messages.product(changed) != before
    assert messages.product(KETTLE) == before


@pytest.mark.parametrize(
    "change",
    [
        {"product": replace(KETTLE, version=2, stock=0)},
        {"quantity": 3},
        {"known_price": 1},
        {"is_gone": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_line_is_written_anew_whatever_of_it_has_changed(change: dict[str, Any]) -> None:
    messages = Messages(Currency("USD", digits=2))
    line = CartLine(KETTLE, quantity=2, known_price=KETTLE.price, is_gone=False)
    before = messages.line(line)
    assert messages.line(replace(line, **change)) != before
    assert messages.line(line) == before


def test_a_message_that_is_kept_is_copied_into_the_answers_that_show_it() -> None:
    messages = Messages(Currency("USD", digits=2))
    page = catalog_pb.ListProductsResponse(products=[messages.product(KETTLE)])
    page.products[0].name = "Teapot"
    assert messages.product(KETTLE).name == "Kettle"
