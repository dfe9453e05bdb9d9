"""CartService on the wire."""

from __future__ import annotations

from dataclasses import dataclass

from lockstep.commerce.v1 import cart_service_pb2 as cart_pb

from services.commerce.servicers.messages import Messages
from services.commerce.usecases.add_cart_item import AddCartItem
from services.commerce.usecases.clear_cart import ClearCart
from services.commerce.usecases.get_cart import GetCart
from services.commerce.usecases.remove_cart_item import RemoveCartItem
from services.commerce.usecases.update_cart_item import UpdateCartItem
from services.kernel.rpc.call import Call
from services.kernel.sagas.idempotency import RequestKeys

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

    async def GetCart(self, request: cart_pb.GetCartRequest, call: Call) -> cart_pb.Cart:
        """Get the caller's cart."""
        return self.messages.cart(await self.get_cart(user_id=call.user.id))

    async def AddCartItem(self, request: cart_pb.AddCartItemRequest, call: Call) -> cart_pb.Cart:
        """Put a product into the cart."""
        cart = await self.add_cart_item(
            user_id=call.user.id,
            product_id=request.product_id,
            quantity=request.quantity,
            key=self.request_keys.of(call),
        )
        return self.messages.cart(cart)

    async def UpdateCartItem(
        self, request: cart_pb.UpdateCartItemRequest, call: Call
    ) -> cart_pb.Cart:
        """Set the quantity of a product."""
        cart = await self.update_cart_item(
            user_id=call.user.id,
            product_id=request.product_id,
            quantity=request.quantity if request.HasField("quantity") else None,
        )
        return self.messages.cart(cart)

    async def RemoveCartItem(
        self, request: cart_pb.RemoveCartItemRequest, call: Call
    ) -> cart_pb.Cart:
        """Take a product out of the cart."""
        cart = await self.remove_cart_item(user_id=call.user.id, product_id=request.product_id)
        return self.messages.cart(cart)

    async def ClearCart(self, request: cart_pb.ClearCartRequest, call: Call) -> cart_pb.Cart:
        """Take everything out of the cart."""
        return self.messages.cart(await self.clear_cart(user_id=call.user.id))
