"""Products, carts and orders."""

from __future__ import annotations

import zlib
from collections.abc import Collection
from dataclasses import dataclass, fields, replace
from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import ConfigDict, Field, with_config


class OrderState(StrEnum):
    """The state of an order."""

    PENDING = "PENDING"
    PAID = "PAID"
    FAILED = "FAILED"
    CANCELLING = "CANCELLING"
    CANCELLED = "CANCELLED"
    FULFILLED = "FULFILLED"


class RefundKind(StrEnum):
    """Why money goes back."""

    CANCEL = "CANCEL"
    RETURN = "RETURN"


class RefundState(StrEnum):
    """How far a refund is."""

    OPEN = "OPEN"
    DONE = "DONE"


class CartProblem(StrEnum):
    """A reason why a line of a cart cannot be bought as it stands."""

    GONE = "GONE"
    NO_STOCK = "NO_STOCK"
    PRICE_CHANGED = "PRICE_CHANGED"


class Sort(StrEnum):
    """The order in which products are listed."""

    NEWEST = "newest"
    CHEAPEST = "price"
    DEAREST = "-price"
    NAME = "name"
    NAME_BACKWARDS = "-name"
    STOCK = "stock"
    RELEVANCE = "relevance"


@dataclass(frozen=True, slots=True)
class Category:
    """A category of products."""

    id: UUID
    name: str
    description: str
    create_time: datetime


@dataclass(frozen=True, slots=True)
class Product:
    """A product of the catalog.

    Attributes:
        seller_id: The brand that sells it; None for a first-party product.
        price: In minor units.
        stock: The number that can still be bought.
        image_url: A URL, or the path of an uploaded picture.
        version: The number of changes; what is sold or returned is none.
        thumbnail_url: The path of a smaller one; empty unless the picture was uploaded.
    """

    id: UUID
    category_id: UUID
    category_name: str
    seller_id: UUID | None
    name: str
    description: str
    price: int
    stock: int
    image_url: str
    version: int
    create_time: datetime
    update_time: datetime
    # Replies of 0.1 are stored without it.
    thumbnail_url: Annotated[str, Field(default="")]

    @property
    def etag(self) -> str:
        """A text that changes whenever the product does, or its stock."""
        return f"{self.version}-{self.stock}"

    def is_unchanged_since(self, etag: str) -> bool:
        """Whether only the stock may have moved since the product had this etag."""
        return etag.partition("-")[0] == str(self.version)


@dataclass(frozen=True, slots=True)
class ProductFields:
    """The fields of a product that a caller sets."""

    category_id: UUID
    name: str
    description: str
    price: int
    stock: int
    image_url: str

    @property
    def text_bytes(self) -> int:
        """The size of the texts in UTF-8."""
        return sum(len(each.encode()) for each in (self.name, self.description, self.image_url))


PRODUCT_FIELDS = tuple(field.name for field in fields(ProductFields))


@dataclass(frozen=True, slots=True)
class Filters:
    """The products to list, and their order; prices are in minor units.

    Attributes:
        words: Each must begin a word of the product.
    """

    category_id: UUID | None
    min_price: int | None
    max_price: int | None
    words: str | None
    sort: Sort
    min_stock: int | None = None
    max_stock: int | None = None
    seller_id: UUID | None = None

    @property
    def has_prices(self) -> bool:
        """Whether there is a bound of the price."""
        return self.min_price is not None or self.max_price is not None

    @property
    def has_stocks(self) -> bool:
        """Whether there is a bound of the stock."""
        return self.min_stock is not None or self.max_stock is not None


@dataclass(frozen=True, slots=True)
class OrderFilters:
    """The orders to list.

    Attributes:
        user_id: Whose they are; None: those of all users.
        states: Their states; none: all.
        start: The earliest moment when one was placed.
        end: The moment before which one was placed.
        product_id: A product that each has; only among the orders of all users.
    """

    user_id: UUID | None
    states: tuple[OrderState, ...] = ()
    start: datetime | None = None
    end: datetime | None = None
    product_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class SaleFilters:
    """The sales of a seller to list.

    Attributes:
        is_fulfilled: False lists those with something left to ship; None: all.
        start: The earliest moment when the order was placed.
        end: The moment before which the order was placed.
    """

    seller_id: UUID
    product_id: UUID | None = None
    is_fulfilled: bool | None = None
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True, slots=True)
class CartLine:
    """A line of a cart, as it would be bought now.

    Attributes:
        known_price: The price when the user last set the quantity.
        is_gone: Whether the product has left the catalog.
    """

    product: Product
    quantity: int
    known_price: int
    is_gone: bool

    @property
    def total(self) -> int:
        """The current price of the line, in minor units."""
        return self.quantity * self.product.price

    @property
    def problems(self) -> list[CartProblem]:
        """The reasons why the line cannot be bought as it stands."""
        if self.is_gone:
            return [CartProblem.GONE]
        problems = []
        if self.product.stock < self.quantity:
            problems.append(CartProblem.NO_STOCK)
        if self.product.price != self.known_price:
            problems.append(CartProblem.PRICE_CHANGED)
        return problems


@dataclass(frozen=True, slots=True)
class Cart:
    """The cart of a user; without a row it has version 0 and no time."""

    user_id: UUID
    lines: list[CartLine]
    version: int
    update_time: datetime | None

    @property
    def subtotal(self) -> int:
        """The price of the lines that can be bought, in minor units.

        A line whose price has changed can be bought, at its current price.
        """
        blocking = {CartProblem.GONE, CartProblem.NO_STOCK}
        return sum(line.total for line in self.lines if not blocking & set(line.problems))

    @property
    def etag(self) -> str:
        """A text that changes whenever the cart does, or one of its products."""
        if not self.lines:
            return str(self.version)
        shown = [(line.product.id.hex, line.product.etag, line.is_gone) for line in self.lines]
        return f"{self.version}-{zlib.crc32(repr(shown).encode()):08x}"


def share_of(price: int, commission_bps: int | None) -> int:
    """Return what a seller gets of a price, in minor units; None: nobody gets a share."""
    return 0 if commission_bps is None else price - price * commission_bps // 10_000


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, slots=True)
class OrderItem:
    """A line of an order: a snapshot, and what has become of it. Sagas keep it as JSON."""

    product_id: UUID
    name: str
    quantity: int
    unit_price: int
    cancelled_quantity: int = 0
    is_fulfilled: bool = False
    returned_quantity: int = 0

    @property
    def total(self) -> int:
        """The price of the line, in minor units."""
        return self.quantity * self.unit_price

    @property
    def is_settled(self) -> bool:
        """Whether nothing of the line is left to ship."""
        return self.is_fulfilled or self.uncancelled_quantity == 0

    @property
    def uncancelled_quantity(self) -> int:
        """The quantity that was shipped, or will be: what is shipped is not cancelled."""
        return self.quantity - self.cancelled_quantity


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, slots=True)
class Shipment:
    """Products of an order that were shipped together. Sagas keep it as JSON."""

    id: UUID
    product_ids: list[UUID]
    tracking: str
    create_time: datetime


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, slots=True)
class RefundItem:
    """A quantity of a product in an order. Sagas keep it as JSON."""

    product_id: UUID
    quantity: int


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, slots=True)
class Refund:
    """Money of an order that goes back, and for which products. Sagas keep it as JSON.

    Attributes:
        id: Also that of the saga, and of the transfer.
        amount: In minor units.
        is_restocked: Whether the products can be sold again.
    """

    id: UUID
    kind: RefundKind
    state: RefundState
    items: list[RefundItem]
    amount: int
    is_restocked: bool
    reason: str
    create_time: datetime


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, slots=True)
class Order:
    """An order: a cart that was bought, or will be. Sagas keep it as JSON.

    Attributes:
        id: None when the order was only validated.
        user_id: None once the user was forgotten.
        total: In minor units.
        debit_id: The transfer that pays it, and the id of the checkout saga.
        refund_id: The refund that has left nothing of it.
        number: What people call it; empty when the order was only validated.
        pay_time: When it was paid; None also for orders of 0.2.
    """

    id: UUID | None
    user_id: UUID | None
    state: OrderState
    items: list[OrderItem]
    total: int
    create_time: datetime
    failure_reason: str | None
    debit_id: UUID | None
    refund_id: UUID | None
    # Results of 0.1 are stored without these.
    number: str = ""
    shipping_address: str = ""
    shipments: tuple[Shipment, ...] = ()
    refunds: tuple[Refund, ...] = ()
    # It is not kept as JSON: processes of 0.2 refuse a field that they do not know.
    pay_time: Annotated[datetime | None, Field(exclude=True)] = None

    @property
    def refunded(self) -> int:
        """The money that went back, in minor units."""
        return sum(each.amount for each in self.refunds if each.state is RefundState.DONE)

    def of_products(self, own: Collection[UUID]) -> Order:
        """Return the part of the order that a seller of these products sees."""
        items = [each for each in self.items if each.product_id in own]
        prices = {each.product_id: each.unit_price for each in items}
        shipments = [
            replace(each, product_ids=[one for one in each.product_ids if one in own])
            for each in self.shipments
        ]
        refunds = [
            replace(each, items=[one for one in each.items if one.product_id in own])
            for each in self.refunds
        ]
        address = "" if all(each.is_settled for each in items) else self.shipping_address
        return replace(
            self,
            user_id=None,
            items=items,
            total=sum(each.total for each in items),
            shipping_address=address,
            shipments=tuple(each for each in shipments if each.product_ids),
            refunds=tuple(
                replace(each, amount=sum(prices[i.product_id] * i.quantity for i in each.items))
                for each in refunds
                if each.items
            ),
        )
