"""Commerce's messages: products, carts and orders on the wire."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from google.type.money_pb2 import Money
from lockstep.commerce.v1 import cart_service_pb2 as cart_pb
from lockstep.commerce.v1 import catalog_service_pb2 as catalog_pb
from lockstep.commerce.v1 import order_service_pb2 as order_pb

from services.commerce.domain.pictures import is_own
from services.commerce.domain.products import ProductChanges
from services.commerce.model import (
    PRODUCT_FIELDS,
    PRODUCT_NAME_MAX,
    STOCK_MAX,
    Cart,
    CartLine,
    Category,
    Order,
    OrderItem,
    Product,
    ProductFields,
    Refund,
    Shipment,
)
from services.commerce.store.sales import Sale
from services.commerce.usecases.list_products import ProductPage
from services.common.vocabulary import DESCRIPTION_MAX
from services.kernel.money import Currency, read_amount, to_wire
from services.kernel.rpc.masks import named_fields
from services.kernel.rpc.timestamps import timestamp
from services.kernel.validation import Violations

MESSAGE_CACHE_SIZE = 1024


class Messages:
    """Reads and writes messages.

    Args:
        currency: The currency of every amount.
    """

    def __init__(self, currency: Currency) -> None:
        self.currency = currency
        # Most answers show the same products. A product that differs in any column is
        # another key, and protobuf copies a message that is put into another one.
        self.product = lru_cache(maxsize=MESSAGE_CACHE_SIZE)(self._product)
        self.line = lru_cache(maxsize=MESSAGE_CACHE_SIZE)(self._line)

    def product_fields(
        self,
        v: Violations,
        product: catalog_pb.Product,
        path: str,
        *,
        may_keep_image: bool = False,
    ) -> ProductFields:
        """Read the fields that a caller sets.

        Args:
            v: The violations.
            product: The product.
            path: The path that leads to the product in the request.
            may_keep_image: Whether its picture may be one that was uploaded before.
        """
        return ProductFields(
            category_id=v.uuid(product.category_id, f"{path}.category_id"),
            name=v.text(product.name, f"{path}.name", max_length=PRODUCT_NAME_MAX, required=True),
            description=v.text(
                product.description,
                f"{path}.description",
                max_length=DESCRIPTION_MAX,
                multiline=True,
            )
            or "",
            image_url=product.image_url
            if may_keep_image and is_own(product.image_url)
            else v.url(product.image_url, f"{path}.image_url") or "",
            price=self._price(v, product, f"{path}.price"),
            stock=_stock(v, product, f"{path}.stock"),
        )

    def product_changes(
        self, v: Violations, request: catalog_pb.UpdateProductRequest
    ) -> ProductChanges:
        """Read the changes of a product; only a field that changes can be wrong."""
        names = named_fields(v, request, "product", PRODUCT_FIELDS, identity="id", values={"price"})
        every = Violations()
        values = self.product_fields(every, request.product, "product", may_keep_image=True)
        v.violations += [each for each in every.violations if each.field.split(".")[1] in names]
        return ProductChanges(names, values)

    def amount(self, v: Violations, money: Money, field: str) -> int:
        """Check an amount and return it in minor units."""
        return read_amount(v, money, self.currency, field)

    def _price(self, v: Violations, product: catalog_pb.Product, field: str) -> int:
        if not product.HasField("price"):
            v.add(field, "is required")
            return 0
        return self.amount(v, product.price, field)

    def _product(self, product: Product) -> catalog_pb.Product:
        return catalog_pb.Product(
            id=str(product.id),
            category_id=str(product.category_id),
            category=catalog_pb.ProductCategory(
                id=str(product.category_id), name=product.category_name
            ),
            seller_id=None if product.seller_id is None else str(product.seller_id),
            name=product.name,
            description=product.description,
            price=to_wire(product.price, self.currency),
            stock=product.stock,
            image_url=product.image_url,
            thumbnail_url=product.thumbnail_url,
            create_time=timestamp(product.create_time),
            update_time=timestamp(product.update_time),
            etag=product.etag,
        )

    def page(self, page: ProductPage) -> catalog_pb.ListProductsResponse:
        """Write a page of products."""
        total = page.total
        return catalog_pb.ListProductsResponse(
            products=[self.product(product) for product in page.products],
            next_page_token=page.next_token,
            metadata=catalog_pb.ListMetadata(
                page=page.number,
                limit=page.limit,
                total=total.count,
                total_is_lower_bound=total.is_lower_bound,
                total_pages=-(-total.count // page.limit),
            ),
            suggestions=page.suggestions,
        )

    def cart(self, cart: Cart) -> cart_pb.Cart:
        """Write a cart."""
        return cart_pb.Cart(
            user_id=str(cart.user_id),
            items=[self.line(line) for line in cart.lines],
            subtotal=to_wire(cart.subtotal, self.currency),
            etag=cart.etag,
            update_time=None if cart.update_time is None else timestamp(cart.update_time),
        )

    def _line(self, line: CartLine) -> cart_pb.CartItem:
        return cart_pb.CartItem(
            product=self.product(line.product),
            quantity=line.quantity,
            unit_price=to_wire(line.product.price, self.currency),
            line_total=to_wire(line.total, self.currency),
            problems=[
                cart_pb.CartItemProblem.Value(f"CART_ITEM_PROBLEM_{problem}")
                for problem in line.problems
            ],
        )

    def order(self, order: Order) -> order_pb.Order:
        """Write an order."""
        return order_pb.Order(
            id="" if order.id is None else str(order.id),
            user_id="" if order.user_id is None else str(order.user_id),
            state=order_pb.OrderState.Value(f"ORDER_STATE_{order.state}"),
            items=[self._item(item) for item in order.items],
            total=to_wire(order.total, self.currency),
            create_time=timestamp(order.create_time),
            failure_reason=order.failure_reason,
            number=order.number,
            shipping_address=order.shipping_address,
            shipments=[_shipment(each, order.items) for each in order.shipments],
            refunds=[self._refund(each) for each in order.refunds],
            refunded=to_wire(order.refunded, self.currency),
            pay_time=None if order.pay_time is None else timestamp(order.pay_time),
        )

    def sale(self, sale: Sale) -> order_pb.Sale:
        """Write a line of an order as its seller sees it."""
        return order_pb.Sale(
            order_id=str(sale.order_id),
            number=sale.number,
            product_id=str(sale.product_id),
            name=sale.name,
            quantity=sale.quantity,
            cancelled_quantity=sale.cancelled_quantity,
            returned_quantity=sale.returned_quantity,
            fulfilled=sale.is_fulfilled,
            unit_price=to_wire(sale.unit_price, self.currency),
            share=to_wire(sale.share, self.currency),
            commission=to_wire(sale.commission, self.currency),
            create_time=timestamp(sale.create_time),
            shipping_address=sale.shipping_address,
        )

    def _refund(self, refund: Refund) -> order_pb.Refund:
        return order_pb.Refund(
            id=str(refund.id),
            kind=order_pb.RefundKind.Value(f"REFUND_KIND_{refund.kind}"),
            items=[
                order_pb.RefundItem(product_id=str(each.product_id), quantity=each.quantity)
                for each in refund.items
            ],
            amount=to_wire(refund.amount, self.currency),
            state=order_pb.RefundState.Value(f"REFUND_STATE_{refund.state}"),
            reason=refund.reason,
            create_time=timestamp(refund.create_time),
        )

    def _item(self, item: OrderItem) -> order_pb.OrderItem:
        return order_pb.OrderItem(
            product_id=str(item.product_id),
            name=item.name,
            quantity=item.quantity,
            unit_price=to_wire(item.unit_price, self.currency),
            line_total=to_wire(item.total, self.currency),
            cancelled_quantity=item.cancelled_quantity,
            fulfilled=item.is_fulfilled,
            returned_quantity=item.returned_quantity,
        )


def _shipment(shipment: Shipment, lines: Iterable[OrderItem]) -> order_pb.Shipment:
    return order_pb.Shipment(
        id=str(shipment.id),
        product_ids=map(str, shipment.product_ids),
        tracking=shipment.tracking,
        create_time=timestamp(shipment.create_time),
        items=[
            order_pb.ShipmentItem(
                product_id=str(each.product_id), quantity=each.uncancelled_quantity
            )
            for each in lines
            if each.product_id in shipment.product_ids
        ],
    )


def category_message(category: Category) -> catalog_pb.Category:
    """Write a category."""
    return catalog_pb.Category(
        id=str(category.id),
        name=category.name,
        description=category.description,
        create_time=timestamp(category.create_time),
    )


def _stock(v: Violations, product: catalog_pb.Product, field: str) -> int:
    if product.stock > STOCK_MAX:
        v.add(field, f"must be at most {STOCK_MAX:,}")
    return v.at_least(0, product.stock, field)
