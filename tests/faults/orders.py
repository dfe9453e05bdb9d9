"""Orders of the schedules: placed, and cancelled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from google.type.money_pb2 import Money
from lockstep.commerce.v1 import order_service_pb2 as order_pb
from lockstep.commerce.v1 import order_service_pb2_grpc as order_grpc

from services.kernel.ids import new_id
from services.kernel.rpc.call import UserPrincipal
from services.profile.domain.shares import share_id
from services.profile.model import FORFEITED, TREASURY
from tests.faults.scenario import Outcome, Scenario
from tests.faults.world import COMMISSION_BPS, World

BALANCE, PRICE, QUANTITY = 10_000, 1_250, 3
STOCK = QUANTITY  # the order takes all
TOTAL = PRICE * QUANTITY


def share_of(price: int) -> int:
    """Return what the seller gets."""
    return price - price * COMMISSION_BPS // 10_000


SHARE = share_of(TOTAL)


class Shopping(Scenario):
    """Somebody with money in the wallet and goods in the cart."""

    coordinator = "c"
    balance = BALANCE
    paid = False
    shipped = False
    has_seller = True

    def prepare(self) -> None:
        self.user, self.product, self.order = new_id(), new_id(), new_id()
        self.debit, self.wallet = new_id(), new_id()
        self.seller, self.sellers_wallet = new_id(), new_id()
        self.principal = UserPrincipal(id=self.user, session_id=new_id(), role="customer")
        ids = {
            "u": self.user,
            "p": self.product,
            "o": self.order,
            "d": self.debit,
            "w": self.wallet,
            "balance": self.balance - (TOTAL if self.paid else 0),
            "full": self.balance,
            "price": PRICE,
            "q": QUANTITY,
            "taken": QUANTITY if self.paid else 0,
            "stock": STOCK - (QUANTITY if self.paid else 0),
            "total": TOTAL,
            "s": self.seller,
            "sw": self.sellers_wallet,
            "sp": new_id(),
            "share": SHARE,
            "bps": COMMISSION_BPS,
            "release": share_id(self.debit, self.seller),
        }
        order = (*_PAID, *(_SHIPPED if self.shipped else ())) if self.paid else _CART
        for sql in (*_SHOP, *order):
            self.world.ground.rows(sql, **ids)

    def look(self) -> Any:
        """Return the sums that everything here is about."""
        return self.world.ground.one(
            """WITH ordered AS (SELECT o.state, i.shipment_id, i.quantity - i.cancelled_quantity
                    - i.restocked_quantity AS held, i.quantity - i.cancelled_quantity
                    - i.returned_quantity AS kept, i.unit_price AS price,
                    EXISTS (SELECT FROM commerce.refunds r
                            WHERE r.order_id = o.id AND r.state = 'OPEN') AS open
                FROM commerce.orders o
                JOIN commerce.order_items i ON i.order_id = o.id WHERE i.product_id = %(p)s),
              mine AS (SELECT id FROM profile.transfers
                WHERE %(w)s IN (debit_account_id, credit_account_id))
              SELECT
              (SELECT balance FROM profile.accounts WHERE id = %(w)s) AS balance,
              (SELECT coalesce(sum(CASE WHEN debit_account_id = %(w)s THEN -amount ELSE amount END),
                 0) FROM profile.transfers WHERE state = 'posted'
                 AND %(w)s IN (debit_account_id, credit_account_id)) AS moved,
              (SELECT coalesce(sum(CASE WHEN kind = 'debit' THEN amount
                                        WHEN kind IN ('void', 'refund') THEN -amount ELSE 0 END), 0)
                 FROM profile.transfers WHERE state = 'posted'
                 AND %(w)s IN (debit_account_id, credit_account_id)) AS debited,
              (SELECT stock FROM commerce.products WHERE id = %(p)s) AS stock,
              (SELECT taken FROM commerce.products WHERE id = %(p)s) AS taken,
              (SELECT coalesce(sum(held), 0) FROM ordered WHERE state <> 'FAILED') AS held,
              (SELECT coalesce(sum(kept * price), 0) FROM ordered
                 WHERE state NOT IN ('PENDING', 'FAILED')) AS paid,
              (SELECT coalesce(sum(kept * price), 0) FROM ordered
                 WHERE state NOT IN ('PENDING', 'FAILED') AND shipment_id IS NULL) AS unshipped,
              (SELECT coalesce(sum(CASE kind WHEN 'sale' THEN amount ELSE -amount END), 0)
                 FROM profile.transfers WHERE kind IN ('sale', 'sale_refund')
                 AND (original_id IN (TABLE mine) OR original_id IN (
                   SELECT id FROM profile.transfers WHERE original_id IN (TABLE mine)))) AS shares,
              (SELECT coalesce(sum(balance), 0) FROM profile.accounts WHERE seller_id = %(s)s)
                 AS pending,
              (SELECT count(*) FROM ordered WHERE state IN ('PENDING', 'CANCELLING') OR open)
                 AS open,
              (SELECT coalesce(sum(quantity), 0) FROM commerce.cart_items
                 WHERE user_id = %(u)s) AS cart""",
            w=self.wallet,
            p=self.product,
            u=self.user,
            s=self.seller,
        )

    def always(self) -> Iterator[str]:
        now = self.look()
        if now.balance != now.moved:
            yield "the balance does not follow from the transfers"
        if now.stock + now.taken != STOCK:
            yield "goods have appeared or vanished"
        if now.taken != now.held:
            yield "what is taken is not what orders hold"
        if now.paid > now.debited:
            yield "an order is PAID without a debit"
        if now.shares != share_of(now.debited):
            yield f"sellers have {now.shares} of {now.debited}"

    def in_the_end(self, outcome: Outcome) -> Iterator[str]:
        now = self.look()
        if now.open:
            yield "an order is unfinished for ever"
        if now.paid != now.debited:
            yield f"{now.debited} were debited for orders of {now.paid}"
        if now.pending != share_of(now.unshipped) and self.has_seller:
            yield f"{now.pending} are pending for {now.unshipped} that are not shipped"
        if now.paid > TOTAL:
            yield "there are two orders"

    def move(self, kind: str, wallet: UUID, other: UUID, delta: int) -> None:
        """Change a wallet without Profile; the other account has the other side."""
        debited, credited = (other, wallet) if delta > 0 else (wallet, other)
        ids = {"w": wallet, "d": debited, "c": credited}
        for sql in _MOVE:
            self.world.ground.rows(sql, kind=kind, delta=delta, amount=abs(delta), **ids)


_SHOP = (
    (
        "INSERT INTO profile.accounts (id, kind, user_id, balance)"
        " VALUES (%(w)s, 'wallet', %(u)s, %(balance)s)"
    ),
    (
        "INSERT INTO profile.transfers (id, kind, state, debit_account_id,"
        " credit_account_id, amount,"
        " reference, fingerprint) SELECT gen_random_uuid(), 'top_up', 'posted',"
        " '00000000-0000-8000-8000-000000000001', %(w)s, %(full)s, '', 'f' WHERE %(full)s > 0"
    ),
    (
        "INSERT INTO profile.accounts (id, kind, user_id, balance)"
        " VALUES (%(sw)s, 'wallet', %(s)s, 0)"
    ),
    (
        "INSERT INTO commerce.categories (id, name, description) VALUES"
        " ('00000000-0000-8000-8000-00000000000c', 'Things', '') ON CONFLICT DO NOTHING"
    ),
    (
        "INSERT INTO commerce.products (id, category_id, name, description, price, stock, taken,"
        " image_url, seller_id) VALUES (%(p)s, '00000000-0000-8000-8000-00000000000c', 'Thing',"
        " '', %(price)s, %(stock)s, %(taken)s, '', %(s)s)"
    ),
)
_CART = (
    "INSERT INTO commerce.carts (user_id) VALUES (%(u)s)",
    (
        "INSERT INTO commerce.cart_items (user_id, product_id, position, quantity, known_price)"
        " VALUES (%(u)s, %(p)s, 1, %(q)s, %(price)s)"
    ),
)
_PAID = (
    (
        "INSERT INTO profile.transfers (id, kind, state, debit_account_id,"
        " credit_account_id, amount,"
        " reference, fingerprint) VALUES (%(d)s, 'debit', 'posted', %(w)s,"
        " '00000000-0000-8000-8000-000000000002', %(total)s, '', 'f')"
    ),
    (
        "INSERT INTO commerce.orders (id, user_id, state, total, debit_id)"
        " VALUES (%(o)s, %(u)s, 'PAID', %(total)s, %(d)s)"
    ),
    (
        "INSERT INTO commerce.order_items (order_id, position, product_id, name,"
        " quantity, unit_price, seller_id, commission_bps)"
        " VALUES (%(o)s, 0, %(p)s, 'Thing', %(q)s, %(price)s, %(s)s, %(bps)s)"
    ),
    (
        "INSERT INTO profile.accounts (id, kind, seller_id, balance)"
        " VALUES (%(sp)s, 'pending', %(s)s, %(share)s)"
    ),
    (
        "INSERT INTO profile.transfers (id, kind, state, debit_account_id,"
        " credit_account_id, amount, reference, fingerprint, original_id)"
        " VALUES (gen_random_uuid(), 'sale', 'posted', '00000000-0000-8000-8000-000000000002',"
        " %(sp)s, %(share)s, '', 'f', %(d)s)"
    ),
)
_SHIPPED = (
    "INSERT INTO commerce.shipments (id, order_id, tracking) VALUES (%(d)s, %(o)s, 'RM 1')",
    "UPDATE commerce.order_items SET shipment_id = %(d)s WHERE order_id = %(o)s",
    "UPDATE commerce.orders SET state = 'FULFILLED' WHERE id = %(o)s",
    (
        "INSERT INTO profile.transfers (id, kind, state, debit_account_id,"
        " credit_account_id, amount, reference, fingerprint, original_id)"
        " SELECT %(release)s, 'release', 'posted', id, %(sw)s, %(share)s, '', 'f', %(d)s"
        " FROM profile.accounts WHERE seller_id = %(s)s"
    ),
    "UPDATE profile.accounts SET balance = 0 WHERE seller_id = %(s)s",
    "UPDATE profile.accounts SET balance = %(share)s WHERE id = %(sw)s",
)
_MOVE = (
    (
        "INSERT INTO profile.transfers (id, kind, state, debit_account_id, credit_account_id,"
        " amount, reference, fingerprint) VALUES (gen_random_uuid(), %(kind)s, 'posted', %(d)s,"
        " %(c)s, %(amount)s, '', 'f')"
    ),
    "UPDATE profile.accounts SET balance = balance + %(delta)s WHERE id = %(w)s",
)


class Checkout(Shopping):
    """An order: stock, money and order together, or nothing."""

    name = "checkout"

    async def ask(self, wire: Any) -> Any:
        expected = Money(currency_code="USD", units=TOTAL // 100, nanos=TOTAL % 100 * 10_000_000)
        return await order_grpc.OrderServiceStub(wire).PlaceOrder(
            order_pb.PlaceOrderRequest(expected_total=expected)
        )

    def in_the_end(self, outcome: Outcome) -> Iterator[str]:
        yield from super().in_the_end(outcome)
        now = self.look()
        if outcome.kind == "ok" and now.paid != TOTAL:
            yield "the client was told ok, and there is no paid order"
        if outcome.kind == "fail" and now.paid:
            yield f"the client was told {outcome.reason}, and there is a paid order"
        if now.cart != (0 if now.paid else QUANTITY):
            yield "the cart does not fit the order"

    def happened(self) -> bool:
        return bool(self.look().paid)

    def forget_opening(self, world: World) -> None:
        world.ground.rows("DELETE FROM commerce.sagas WHERE create_time >= %(b)s", b=self.begin)
        world.ground.rows(
            "DELETE FROM commerce.order_items WHERE product_id = %(p)s", p=self.product
        )
        world.ground.rows("DELETE FROM commerce.orders WHERE user_id = %(u)s", u=self.user)
        world.ground.rows(
            "UPDATE commerce.products SET stock = stock + taken, taken = 0 WHERE id = %(p)s",
            p=self.product,
        )
        world.ground.rows(
            "DELETE FROM commerce.idempotency WHERE scope = %(s)s", s=f"user:{self.user}"
        )


class RefusedCheckout(Checkout):
    """An order that costs more than the wallet holds."""

    name = "checkout-refused"
    balance = TOTAL - 1
    refused = True

    def take_reason_away(self) -> None:
        self.move("top_up", self.wallet, TREASURY, 10_000)


class Cancellation(Shopping):
    """A paid order that is cancelled: the money back, and the goods."""

    name = "cancel"
    paid = True

    async def ask(self, wire: Any) -> Any:
        return await order_grpc.OrderServiceStub(wire).CancelOrder(
            order_pb.CancelOrderRequest(order_id=str(self.order))
        )

    def in_the_end(self, outcome: Outcome) -> Iterator[str]:
        yield from super().in_the_end(outcome)
        if outcome.kind == "ok" and not self.happened():
            yield "the client was told ok, and the order is not cancelled"
        if outcome.kind == "fail":
            yield f"cancelling a paid order failed: {outcome.reason}"

    def happened(self) -> bool:
        state = self.world.ground.one(
            "SELECT state FROM commerce.orders WHERE id = %(o)s", o=self.order
        ).state
        return bool(state == "CANCELLED")


class PartialCancellation(Shopping):
    """One of three goods is cancelled: its price back, and the order stays."""

    name = "cancel-part"
    paid = True

    async def ask(self, wire: Any) -> Any:
        return await order_grpc.OrderServiceStub(wire).CancelOrder(
            order_pb.CancelOrderRequest(order_id=str(self.order), items=[_one(self.product)])
        )

    def in_the_end(self, outcome: Outcome) -> Iterator[str]:
        yield from super().in_the_end(outcome)
        now = self.look()
        if now.paid not in (TOTAL, TOTAL - PRICE):
            yield f"what is left costs {now.paid}"
        if outcome.kind == "ok" and not self.happened():
            yield "the client was told ok, and nothing went back"
        if outcome.kind == "fail" and not self.refused:
            yield f"a refund failed: {outcome.reason}"

    def happened(self) -> bool:
        return bool(self.look().paid == TOTAL - PRICE)


class Return(PartialCancellation):
    """One of three goods comes back: its price back, and the good into the stock."""

    name = "return"
    shipped = True

    def prepare(self) -> None:
        super().prepare()
        self.principal = UserPrincipal(id=new_id(), session_id=new_id(), role="admin")

    async def ask(self, wire: Any) -> Any:
        return await order_grpc.OrderServiceStub(wire).RefundOrder(
            order_pb.RefundOrderRequest(
                order_id=str(self.order), items=[_one(self.product)], reason="Too small."
            )
        )


class RefusedReturn(Return):
    """A good comes back whose seller has spent the share."""

    name = "return-refused"
    refused = True

    def prepare(self) -> None:
        super().prepare()
        self.move("forfeit", self.sellers_wallet, FORFEITED, -SHARE)

    def take_reason_away(self) -> None:
        self.move("top_up", self.sellers_wallet, TREASURY, SHARE)

    def in_the_end(self, outcome: Outcome) -> Iterator[str]:
        yield from super().in_the_end(outcome)
        if outcome.kind == "fail" and self.happened():
            yield f"the client was told {outcome.reason}, and the money went back"


class Fulfilment(Shopping):
    """A paid order that is shipped: its seller may spend the share."""

    name = "fulfil"
    paid = True
    tried_once = (".FulfilOrder.commit.",)  # its saga begins with this commit

    def prepare(self) -> None:
        super().prepare()
        self.principal = UserPrincipal(id=new_id(), session_id=new_id(), role="admin")

    async def ask(self, wire: Any) -> Any:
        return await order_grpc.OrderServiceStub(wire).FulfilOrder(
            order_pb.FulfilOrderRequest(order_id=str(self.order), tracking="RM 1")
        )

    def in_the_end(self, outcome: Outcome) -> Iterator[str]:
        yield from super().in_the_end(outcome)
        if outcome.kind == "ok" and not self.happened():
            yield "the client was told ok, and nothing is shipped"
        if outcome.kind == "fail":
            yield f"shipping a paid order failed: {outcome.reason}"

    def happened(self) -> bool:
        state = self.world.ground.one(
            "SELECT state FROM commerce.orders WHERE id = %(o)s", o=self.order
        ).state
        return bool(state == "FULFILLED")


def _one(product: UUID) -> order_pb.RefundItem:
    return order_pb.RefundItem(product_id=str(product), quantity=1)
