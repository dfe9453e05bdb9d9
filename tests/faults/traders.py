"""Brands of the soak: they sell for a while, are paid, and delete their accounts."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep.auth.v1 import auth_service_pb2_grpc as auth_grpc
from lockstep.commerce.v1 import order_service_pb2 as order_pb

from services.kernel.ids import new_id

if TYPE_CHECKING:
    from tests.faults.soak import Soak

PASSWORD = "Secure-Horse-42"
STOCK = 1_000_000
PRICE = 333  # of which no part is a whole commission
LIFE_SECONDS = (2.0, 6.0)
AWAY_SECONDS = 0.2  # of those who got nothing
# Each of these has to go well in a long soak, or it has not shown that it survives.
KINDS = ("register", "order", "part", "ship", "return", "cancel", "delete", "leave")
_LINES = """
SELECT order_id::text, cancelled_quantity, returned_quantity, shipment_id IS NOT NULL
  FROM order_items
"""
_SELL = """
INSERT INTO products (id, category_id, seller_id, name, description, price, stock, image_url)
SELECT %(p)s, category_id, %(s)s, 'Brand thing', '', %(price)s, %(stock)s, ''
  FROM products WHERE id = %(like)s
"""


@dataclass
class Market:
    """What is for sale, and who can ship it: the administrator all, a brand its own.

    Attributes:
        open: The products of brands who have an account, with the proof of each.
        parted: The orders of which a part was cancelled, as its buyer was told.
        shipped: The orders that were shipped, as their seller was told.
        returned: The orders of which a part came back.
    """

    soak: Soak
    open: dict[str, Any] = field(default_factory=dict)
    parted: set[str] = field(default_factory=set)
    shipped: set[str] = field(default_factory=set)
    returned: set[str] = field(default_factory=set)

    def choose(self) -> tuple[str, Any]:
        """Return a product, and the proof of who ships it."""
        dice, soak = self.soak.dice, self.soak
        if self.open and dice.random() < 0.6:
            return dice.choice(sorted(self.open.items()))
        return str(soak.product), soak.staff

    async def trade(self, number: int, until: float, auth: Any) -> None:
        """Be one brand after the other."""
        turn = 0
        while time.monotonic() + LIFE_SECONDS[0] < until:
            turn += 1
            try:
                await self._sell(f"b{number}.{turn}@example.com", auth_grpc.AuthServiceStub(auth))
            except psycopg.OperationalError:
                await asyncio.sleep(0.2)

    async def _sell(self, email: str, auth: Any) -> None:
        soak = self.soak
        request = auth_pb.RegisterRequest(
            email=email,
            password=PASSWORD,
            role="brand",
            first_name="Bo",
            last_name="Brand",
            company="Acme",
            company_size="1-10",
            user_role="owner",
        )
        user_id, proof = await soak.join(auth, request)
        if not proof:
            await asyncio.sleep(AWAY_SECONDS)
            return
        product = new_id()
        values = {"p": product, "s": user_id, "price": PRICE, "like": soak.product}
        await asyncio.to_thread(soak.sql, "commerce", _SELL, stock=STOCK, **values)
        self.open[str(product)] = proof
        await asyncio.sleep(soak.dice.uniform(*LIFE_SECONDS))
        del self.open[str(product)]
        if soak.dice.random() < 0.7:
            await soak.leave("leave", auth, user_id, proof)

    async def refund(self, orders: Any, buyer: Any, seller: Any, order: order_pb.Order) -> None:
        """Cancel one of two goods, or ship them and take one back."""
        soak = self.soak
        one = [order_pb.RefundItem(product_id=order.items[0].product_id, quantity=1)]
        if soak.dice.random() < 0.5:
            part = order_pb.CancelOrderRequest(order_id=order.id, items=one)
            ended, _ = await soak.tell("part", lambda: orders.CancelOrder(part, metadata=buyer))
            self._note(ended, self.parted, order)
            return
        ship = order_pb.FulfilOrderRequest(order_id=order.id)
        ended, _ = await soak.tell("ship", lambda: orders.FulfilOrder(ship, metadata=seller))
        self._note(ended, self.shipped, order)
        back = order_pb.RefundOrderRequest(order_id=order.id, items=one, reason="Too small.")
        ended, _ = await soak.tell("return", lambda: orders.RefundOrder(back, metadata=seller))
        self._note(ended, self.returned, order)

    @staticmethod
    def _note(ended: str, orders: set[str], order: order_pb.Order) -> None:
        if ended == "ok":
            orders.add(order.id)

    def check(self) -> None:
        """Check that everything that was acknowledged is in the books."""
        lines = {order_id: rest for order_id, *rest in self.soak.sql("commerce", _LINES)}
        assert all(lines[order_id] == [1, 0, False] for order_id in self.parted)
        assert all(lines[order_id][2] for order_id in self.shipped)
        assert all(lines[order_id] == [0, 1, True] for order_id in self.returned)
