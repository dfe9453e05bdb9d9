"""The filters of ListProducts, which come as texts because they stand in a URL."""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from lockstep.commerce.v1 import catalog_service_pb2 as catalog_pb

from services.commerce.model import PRODUCT_NAME_MAX, Filters, Sort
from services.kernel.money import Currency
from services.kernel.validation import Violations

_DECIMAL = re.compile(r"[0-9]{1,15}(\.[0-9]{1,9})?", re.ASCII)


def read_filters(
    v: Violations, request: catalog_pb.ListProductsRequest, currency: Currency
) -> Filters:
    """Read the products to list, and their order."""
    category_id = v.uuid(request.category, "category") if request.category else None
    seller_id = v.uuid(request.seller, "seller") if request.seller else None
    min_price = _price(v, request.min_price, "min_price", currency, ROUND_CEILING)
    max_price = _price(v, request.max_price, "max_price", currency, ROUND_FLOOR)
    are_given = min_price is not None and max_price is not None
    if are_given and Decimal(request.min_price) > Decimal(request.max_price):
        v.add("min_price", "must not be above max_price")
    min_stock, max_stock = (_stock(v, request, name) for name in ("min_stock", "max_stock"))
    if min_stock is not None and max_stock is not None and min_stock > max_stock:
        v.add("min_stock", "must not be above max_stock")
    words = v.text(request.q, "q", max_length=PRODUCT_NAME_MAX)
    return Filters(
        category_id=category_id,
        min_price=min_price,
        max_price=max_price,
        words=words,
        sort=_sort(v, request, words),
        min_stock=min_stock,
        max_stock=max_stock,
        seller_id=seller_id,
    )


def _sort(v: Violations, request: catalog_pb.ListProductsRequest, words: str | None) -> Sort:
    """Read the order; a search that names none begins with what it is likeliest about."""
    sort = v.choice(request.sort, "sort", tuple(Sort))
    if sort is None:
        return Sort.NEWEST if words is None else Sort.RELEVANCE
    if sort == Sort.RELEVANCE and words is None:
        v.add("sort", "must be another order when q is empty")
    return Sort(sort)


def _stock(v: Violations, request: catalog_pb.ListProductsRequest, field: str) -> int | None:
    """Read a bound of the stock; 0 is one, too."""
    if not request.HasField(field):  # type: ignore[arg-type]  # its stub lists the fields
        return None
    return v.at_least(0, getattr(request, field), field)


def _price(v: Violations, text: str, field: str, currency: Currency, rounding: str) -> int | None:
    """Read a bound of the price, rounded inwards to minor units."""
    if not text:
        return None
    if not _DECIMAL.fullmatch(text):
        v.add(field, "must be a plain decimal such as 9.99, at most 15 digits before the point")
        return None
    minor = Decimal(text).scaleb(currency.digits)
    return int(minor.to_integral_value(rounding))
