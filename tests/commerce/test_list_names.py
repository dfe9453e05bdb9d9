"""The names of lists, to which page tokens are bound: two versions of the code write the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, fields, make_dataclass
from typing import Any
from uuid import UUID

import pytest

from services.commerce.model import Filters, OrderFilters, OrderState, SaleFilters, Sort
from services.commerce.usecases import list_orders, list_products
from services.kernel.paging import listing_of

ONE = UUID(int=1)
PRODUCTS = Filters(category_id=ONE, min_price=None, max_price=5, words="a", sort=Sort.NEWEST)
ORDERS = OrderFilters(user_id=ONE, states=(OrderState.PAID,))
SALES = SaleFilters(seller_id=ONE)


def sales(filters: SaleFilters) -> str:
    return listing_of("sales", **asdict(filters))


@pytest.mark.parametrize(
    ("filters", "name"),
    [(PRODUCTS, list_products._name), (ORDERS, list_orders._name), (SALES, sales)],
)
def test_a_filter_that_a_newer_version_adds_leaves_the_name_of_a_list_without_it(
    filters: Any, name: Callable[[Any], str]
) -> None:
    newer = make_dataclass(
        "Newer", [("colour", str | None, None)], bases=(type(filters),), frozen=True
    )
    given = {each.name: getattr(filters, each.name) for each in fields(filters)}
    assert name(newer(**given)) == name(filters)
    assert name(newer(**given, colour="red")) != name(filters)


def test_the_name_of_a_list_of_products_is_that_of_0_1() -> None:
    assert list_products._name(PRODUCTS) == (
        "products Filters(category_id=UUID('00000000-0000-0000-0000-000000000001'),"
        " min_price=None, max_price=5, words='a', sort=<Sort.NEWEST: 'newest'>)"
    )


@pytest.mark.parametrize("added", [{"min_stock": 0}, {"max_stock": 1}, {"seller_id": ONE}])
def test_each_filter_has_part_in_the_name(added: dict[str, Any]) -> None:
    given = asdict(PRODUCTS) | added
    assert list_products._name(Filters(**given)) != list_products._name(PRODUCTS)
