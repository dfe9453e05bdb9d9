"""The RPCs of OrderService."""

from __future__ import annotations

from dataclasses import dataclass

from lockstep.commerce.v1 import order_service_pb2 as order_pb

from services.commerce.servicers.catalog import REASON_MAX
from services.commerce.servicers.messages import Messages
from services.commerce.servicers.order_filters import read_order_filters, read_sale_filters
from services.commerce.servicers.refund_items import read_refund_items, tell_repeats
from services.commerce.usecases.cancel_order import CancelOrder
from services.commerce.usecases.forget_user import ForgetUser
from services.commerce.usecases.fulfil_order import FulfilOrder
from services.commerce.usecases.get_order import GetOrder
from services.commerce.usecases.list_orders import ListOrders
from services.commerce.usecases.list_sales import ListSales
from services.commerce.usecases.place_order import PlaceOrder
from services.commerce.usecases.refund_order import RefundOrder
from services.common.vocabulary import ADDRESS_MAX
from services.kernel.paging import page_size
from services.kernel.rpc.call import Call
from services.kernel.rpc.timestamps import read_moment
from services.kernel.sagas.idempotency import RequestKeys
from services.kernel.validation import Violations

TRACKING_MAX = 200

ORDER = order_pb.DESCRIPTOR.services_by_name["OrderService"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderServicer:
    """Serves OrderService."""

    messages: Messages
    request_keys: RequestKeys
    place_order: PlaceOrder
    get_order: GetOrder
    list_orders: ListOrders
    list_sales: ListSales
    cancel_order: CancelOrder
    fulfil_order: FulfilOrder
    refund_order: RefundOrder
    forget_user: ForgetUser

    async def PlaceOrder(self, request: order_pb.PlaceOrderRequest, call: Call) -> order_pb.Order:
        """Order what is in the caller's cart."""
        expected = None
        with Violations() as v:
            if request.HasField("expected_total"):
                expected = self.messages.amount(v, request.expected_total, "expected_total")
            given = request.shipping_address
            address = v.text(given, "shipping_address", max_length=ADDRESS_MAX, multiline=True)
        if request.validate_only:
            order = await self.place_order.validate(
                user_id=call.user.id, expected_total=expected, shipping_address=address or ""
            )
        else:
            order = await self.place_order(
                user_id=call.user.id,
                expected_total=expected,
                shipping_address=address or "",
                key=self.request_keys.of(call),
            )
        return self.messages.order(order)

    async def GetOrder(self, request: order_pb.GetOrderRequest, call: Call) -> order_pb.Order:
        """Get an order."""
        with Violations() as v:
            order_id = v.uuid(request.order_id, "order_id")
        order = await self.get_order(caller=call.caller, order_id=order_id)
        return self.messages.order(order)

    async def ListOrders(
        self, request: order_pb.ListOrdersRequest, call: Call
    ) -> order_pb.ListOrdersResponse:
        """List orders."""
        with Violations() as v:
            filters = read_order_filters(v, request, me=call.caller.own_id)
            limit = page_size(request.page_size)
        found = await self.list_orders(
            caller=call.caller, filters=filters, limit=limit, token=request.page_token
        )
        orders, token = found.written(self.messages.order)
        return order_pb.ListOrdersResponse(orders=orders, next_page_token=token)

    async def ListSales(
        self, request: order_pb.ListSalesRequest, call: Call
    ) -> order_pb.ListSalesResponse:
        """List sales."""
        with Violations() as v:
            filters = read_sale_filters(v, request, me=call.caller.own_id)
            limit = page_size(request.page_size)
        found = await self.list_sales(
            caller=call.caller, filters=filters, limit=limit, token=request.page_token
        )
        sales, token = found.written(self.messages.sale)
        return order_pb.ListSalesResponse(sales=sales, next_page_token=token)

    async def CancelOrder(self, request: order_pb.CancelOrderRequest, call: Call) -> order_pb.Order:
        """Cancel an order."""
        key = self.request_keys.of(call)
        with Violations() as v:
            order_id = v.uuid(request.order_id, "order_id")
            items = read_refund_items(v, request.items)
        order = await self.cancel_order(
            caller=call.caller, order_id=order_id, items=items, origin=call.origin, key=key
        )
        return self.messages.order(order)

    async def FulfilOrder(self, request: order_pb.FulfilOrderRequest, call: Call) -> order_pb.Order:
        """Mark products of an order as shipped."""
        with Violations() as v:
            order_id = v.uuid(request.order_id, "order_id")
            product_ids = [
                v.uuid(each, f"product_ids[{place}]")
                for place, each in enumerate(request.product_ids)
            ]
            tell_repeats(v, product_ids, "product_ids[{}]")
            tracking = v.text(request.tracking, "tracking", max_length=TRACKING_MAX)
        order = await self.fulfil_order(
            caller=call.caller,
            order_id=order_id,
            product_ids=product_ids,
            tracking=tracking or "",
            origin=call.origin,
            key=self.request_keys.of(call),
        )
        return self.messages.order(order)

    async def RefundOrder(self, request: order_pb.RefundOrderRequest, call: Call) -> order_pb.Order:
        """Refund products that came back."""
        with Violations() as v:
            order_id = v.uuid(request.order_id, "order_id")
            items = read_refund_items(v, request.items)
            if not items:
                v.add("items", "is required")
            reason = v.text(request.reason, "reason", max_length=REASON_MAX, required=True)
        order = await self.refund_order(
            caller=call.caller,
            order_id=order_id,
            items=items,
            reason=reason,
            is_restocked=request.restock if request.HasField("restock") else True,
            origin=call.origin,
            key=self.request_keys.of(call),
        )
        return self.messages.order(order)

    async def ForgetUser(
        self, request: order_pb.ForgetUserRequest, call: Call
    ) -> order_pb.ForgetUserResponse:
        """Forget a user."""
        with Violations() as v:
            saga_id = v.uuid(request.saga_id, "saga_id")
            user_id = v.uuid(request.user_id, "user_id")
            not_after = None
            if request.HasField("not_after"):
                not_after = read_moment(v, request, "not_after")
        await self.forget_user(saga_id=saga_id, user_id=user_id, not_after=not_after)
        return order_pb.ForgetUserResponse()
