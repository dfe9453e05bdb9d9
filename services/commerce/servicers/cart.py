"""The RPCs of CartService."""

from __future__ import annotations

from dataclasses import dataclass

from lockstep.commerce.v1 import cart_service_pb2 as cart_pb

from services.commerce.model import LINES_MAX
from services.commerce.servicers.messages import Messages
from services.commerce.servicers.refund_items import tell_repeats
from services.commerce.usecases.add_cart_item import AddCartItem
from services.commerce.usecases.clear_cart import ClearCart
from services.commerce.usecases.get_cart import GetCart
from services.commerce.usecases.merge_cart import GuestLine, MergeCart
from services.commerce.usecases.remove_cart_item import RemoveCartItem
from services.commerce.usecases.update_cart_item import UpdateCartItem
from services.kernel.errors import InvalidField, Violation
from services.kernel.rpc.call import Call
from services.kernel.sagas.idempotency import RequestKeys
from services.kernel.validation import Violations

CART = cart_pb.DESCRIPTOR.services_by_name["CartService"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CartServicer:
    """Serves CartService."""

    messages: Messages
    request_keys: RequestKeys
    get_cart: GetCart
    add_cart_item: AddCartItem
    update_cart_item: UpdateCartItem
    remove_cart_item: RemoveCartItem
    clear_cart: ClearCart
    merge_cart: MergeCart

    async def GetCart(self, request: cart_pb.GetCartRequest, call: Call) -> cart_pb.Cart:
        """Get the caller's cart."""
        return self.messages.cart(await self.get_cart(user_id=call.user.id))

    async def AddCartItem(self, request: cart_pb.AddCartItemRequest, call: Call) -> cart_pb.Cart:
        """Put a product into the cart."""
        with Violations() as v:
            product_id = v.uuid(request.product_id, "product_id")
            quantity = v.at_least(1, request.quantity, "quantity")
        cart = await self.add_cart_item(
            user_id=call.user.id,
            product_id=product_id,
            quantity=quantity,
            key=self.request_keys.of(call),
        )
        return self.messages.cart(cart)

    async def UpdateCartItem(
        self, request: cart_pb.UpdateCartItemRequest, call: Call
    ) -> cart_pb.Cart:
        """Set the quantity of a product."""
        with Violations() as v:
            product_id = v.uuid(request.product_id, "product_id")
            quantity = v.at_least(0, request.quantity, "quantity")
            if not request.HasField("quantity"):
                v.add("quantity", "is required")
        cart = await self.update_cart_item(
            user_id=call.user.id, product_id=product_id, quantity=quantity
        )
        return self.messages.cart(cart)

    async def RemoveCartItem(
        self, request: cart_pb.RemoveCartItemRequest, call: Call
    ) -> cart_pb.Cart:
        """Take a product out of the cart."""
        with Violations() as v:
            product_id = v.uuid(request.product_id, "product_id")
        cart = await self.remove_cart_item(user_id=call.user.id, product_id=product_id)
        return self.messages.cart(cart)

    async def MergeCart(
        self, request: cart_pb.MergeCartRequest, call: Call
    ) -> cart_pb.MergeCartResponse:
        """Take the cart of a guest into the caller's."""
        with Violations() as v:
            if not 1 <= len(request.items) <= LINES_MAX:
                raise InvalidField(Violation("items", f"must be 1 to {LINES_MAX} items"))
            lines = [_guest_line(v, each, place) for place, each in enumerate(request.items)]
            tell_repeats(v, [each.product_id for each in lines], "items[{}].product_id")
        merged = await self.merge_cart(user_id=call.user.id, lines=lines)
        return cart_pb.MergeCartResponse(
            cart=self.messages.cart(merged.cart),
            skipped=[
                cart_pb.SkippedItem(product_id=str(product_id), reason=reason)
                for product_id, reason in merged.skipped.items()
            ],
        )

    async def ClearCart(self, request: cart_pb.ClearCartRequest, call: Call) -> cart_pb.Cart:
        """Take everything out of the cart."""
        return self.messages.cart(await self.clear_cart(user_id=call.user.id))


def _guest_line(v: Violations, given: cart_pb.GuestItem, place: int) -> GuestLine:
    path = f"items[{place}]"
    quantity = v.at_least(1, given.quantity, f"{path}.quantity")
    return GuestLine(v.uuid(given.product_id, f"{path}.product_id"), quantity)
