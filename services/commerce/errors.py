"""Commerce's errors."""

from __future__ import annotations

from uuid import UUID

from services.kernel.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    NotFound,
    OutOfRange,
    Unavailable,
)


class CategoryNameTaken(AlreadyExists):
    """A category has this name."""

    reason = "CATEGORY_NAME_TAKEN"
    text = "A category has this name already, perhaps in other letters. Use another name."


class CategoryNotFound(NotFound):
    """There is no such category."""

    reason = "CATEGORY_NOT_FOUND"
    text = "There is no such category."


class ProductNotFound(NotFound):
    """There is no such product, or it has left the catalog."""

    reason = "PRODUCT_NOT_FOUND"
    text = "There is no such product."


class CartNotFound(NotFound):
    """The caller has no cart."""

    reason = "CART_NOT_FOUND"
    text = "There is no cart. Add something first."


class CartItemNotFound(NotFound):
    """The cart has no such product."""

    reason = "CART_ITEM_NOT_FOUND"
    text = "The cart has no such product."


class OrderNotFound(NotFound):
    """There is no such order."""

    reason = "ORDER_NOT_FOUND"
    text = "There is no such order."


class UsePageToken(OutOfRange):
    """Pages by number reach only so far."""

    reason = "USE_PAGE_TOKEN"
    text = "Pages by number end at 10,000 products. Go on with the page_token of the page before."


class QuantityLimit(FailedPrecondition):
    """A quantity, a number of lines or a total is above its limit."""

    reason = "QUANTITY_LIMIT"


class CartEmpty(FailedPrecondition):
    """There is nothing to order."""

    reason = "CART_EMPTY"
    text = "The cart is empty. Add something first."


class _OfProduct(FailedPrecondition):
    def __init__(self, product_id: UUID) -> None:
        super().__init__(metadata={"product_id": str(product_id)})


class NoStock(_OfProduct):
    """There are fewer in stock than the cart wants."""

    reason = "NO_STOCK"
    text = "There is not enough in stock of something in the cart. Order less of it."


class ItemUnavailable(_OfProduct):
    """Something in the cart has left the catalog."""

    reason = "ITEM_UNAVAILABLE"
    text = "Something in the cart can no longer be bought. Remove it from the cart."


class PriceChanged(FailedPrecondition):
    """The order would not cost what the caller expects."""

    reason = "PRICE_CHANGED"
    text = "The cart costs something else by now. Look at it again and confirm the new total."


class InsufficientFunds(FailedPrecondition):
    """The wallet does not hold enough, or is closed."""

    reason = "INSUFFICIENT_FUNDS"
    text = "The wallet does not hold enough for this order; nothing was charged."


class CheckoutInProgress(Aborted):
    """An order of this user is in flight."""

    reason = "CHECKOUT_IN_PROGRESS"
    text = "Another order of this user is in flight. Try again in a moment."

    def __init__(self) -> None:
        """Ask to wait a second."""
        super().__init__(retry_after_seconds=1.0)


class PaymentUnavailable(Unavailable):
    """Profile, which keeps the wallets, did not answer in time."""

    reason = "PROFILE_UNAVAILABLE"
    text = "Payment is not possible right now; nothing was ordered or charged. Try again."

    def __init__(self) -> None:
        """Ask to wait a second."""
        super().__init__(retry_after_seconds=1.0)
