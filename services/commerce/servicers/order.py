"""The RPCs of OrderService."""

from __future__ import annotations

from dataclasses import dataclass

from lockstep.commerce.v1 import order_service_pb2 as order_pb

from services.commerce.servicers.messages import Messages
from services.commerce.usecases.cancel_order import CancelOrder
from services.commerce.usecases.forget_user import ForgetUser
from services.commerce.usecases.get_order import GetOrder
from services.commerce.usecases.list_orders import ListOrders
from services.commerce.usecases.place_order import PlaceOrder
from services.kernel.paging import page_size
from services.kernel.rpc.call import Call
from services.kernel.rpc.timestamps import read_moment
from services.kernel.sagas.idempotency import RequestKeys
from services.kernel.validation import Violations

ORDER = order_pb.DESCRIPTOR.services_by_name["OrderService"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderServicer:
    """Serves OrderService."""

    messages: Messages
    request_keys: RequestKeys
    place_order: PlaceOrder
    get_order: GetOrder
    list_orders: ListOrders
    cancel_order: CancelOrder
    forget_user: ForgetUser

    async def PlaceOrder(self, request: order_pb.PlaceOrderRequest, call: Call) -> order_pb.Order:
        """Order what is in the caller's cart."""
        expected = None
        with Violations() as v:
            if request.HasField("expected_total"):
                expected = self.messages.amount(v, request.expected_total, "expected_total")
        if request.validate_only:
            order = await self.place_order.validate(user_id=call.user.id, expected_total=expected)
        else:
            order = await self.place_order(
                user_id=call.user.id, expected_total=expected, key=self.request_keys.of(call)
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
            user_id = v.user_id(request.user_id or "me", "user_id", me=call.caller.own_id)
            limit = page_size(request.page_size)
        found = await self.list_orders(
            caller=call.caller, user_id=user_id, limit=limit, token=request.page_token
        )
        orders, token = found.written(self.messages.order)
        return order_pb.ListOrdersResponse(orders=orders, next_page_token=token)

    async def CancelOrder(self, request: order_pb.CancelOrderRequest, call: Call) -> order_pb.Order:
        """Cancel an order."""
        key = self.request_keys.of(call)
        with Violations() as v:
            order_id = v.uuid(request.order_id, "order_id")
        order = await self.cancel_order(caller=call.caller, order_id=order_id, key=key)
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
