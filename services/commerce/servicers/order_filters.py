"""Reading which orders and sales to list."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from lockstep.commerce.v1 import order_service_pb2 as order_pb

from services.commerce.model import OrderFilters, OrderState, SaleFilters
from services.kernel.rpc.timestamps import read_optional_moment
from services.kernel.validation import Violations

EVERYBODY = "-"  # AIP-159


def read_order_filters(
    v: Violations, request: order_pb.ListOrdersRequest, *, me: UUID | None
) -> OrderFilters:
    """Read which orders to list; `me` is the caller's own id, which a service lacks."""
    user_id, product_id = None, None
    if request.user_id != EVERYBODY:
        user_id = v.user_id(request.user_id or "me", "user_id", me=me)
    if request.product_id:
        product_id = v.uuid(request.product_id, "product_id")
        if user_id is not None:
            v.add("product_id", "must be absent unless user_id is -")
    start, end = _times(v, request)
    return OrderFilters(user_id, _states(v, request), start, end, product_id)


def read_sale_filters(
    v: Violations, request: order_pb.ListSalesRequest, *, me: UUID | None
) -> SaleFilters:
    """Read which sales to list; `me` is the caller's own id, which a service lacks."""
    start, end = _times(v, request)
    return SaleFilters(
        seller_id=v.user_id(request.seller_id or "me", "seller_id", me=me),
        product_id=v.uuid(request.product_id, "product_id") if request.product_id else None,
        is_fulfilled=request.fulfilled if request.HasField("fulfilled") else None,
        start=start,
        end=end,
    )


def _times(
    v: Violations, request: order_pb.ListOrdersRequest | order_pb.ListSalesRequest
) -> tuple[datetime | None, datetime | None]:
    start, end = (read_optional_moment(v, request, name) for name in ("start_time", "end_time"))
    if start is not None and end is not None and start >= end:
        v.add("end_time", "must be after start_time")
    return start, end


def _states(v: Violations, request: order_pb.ListOrdersRequest) -> tuple[OrderState, ...]:
    states = set[OrderState]()
    for place, number in enumerate(request.states):
        known = order_pb.OrderState.DESCRIPTOR.values_by_number.get(number)
        if known is None or not number:
            v.add(f"states[{place}]", "must be a state of an order")
        else:
            states.add(OrderState(known.name.removeprefix("ORDER_STATE_")))
    return tuple(sorted(states))
