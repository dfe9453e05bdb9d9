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
    """Another category has this name."""

    reason = "CATEGORY_NAME_TAKEN"
    text = "Another category has this name, whatever its case. Use another name."


class CategoryNotFound(NotFound):
    """There is no such category."""

    reason = "CATEGORY_NOT_FOUND"
    text = "There is no such category."


class ProductNotFound(NotFound):
    """There is no such product, or it has left the catalog."""

    reason = "PRODUCT_NOT_FOUND"
    text = "There is no such product."


class ImageNotFound(NotFound):
    """There is no such picture, or its product has another one now."""

    reason = "IMAGE_NOT_FOUND"
    text = "There is no such picture. Get the product again for its picture."


class CartNotFound(NotFound):
    """The caller has no cart."""

    reason = "CART_NOT_FOUND"
    text = "There is no cart. Add a product first."


class CartItemNotFound(NotFound):
    """This product is not in the cart."""

    reason = "CART_ITEM_NOT_FOUND"
    text = "This product is not in the cart."


class OrderNotFound(NotFound):
    """There is no such order."""

    reason = "ORDER_NOT_FOUND"
    text = "There is no such order."


class UsePageToken(OutOfRange):
    """The page is beyond those that have a number."""

    reason = "USE_PAGE_TOKEN"
    text = "Pages by number end after 10,000 products. Send the token of the page before instead."


class QuantityLimit(FailedPrecondition):
    """A quantity, a number of lines or a total is above its limit."""

    reason = "QUANTITY_LIMIT"
    text = "A cart holds at most 9,999 of a product. Use a smaller quantity."


class CartEmpty(FailedPrecondition):
    """The cart is empty."""

    reason = "CART_EMPTY"
    text = "The cart is empty. Add a product first."


class _OfProduct(FailedPrecondition):
    def __init__(self, product_id: UUID) -> None:
        super().__init__(metadata={"product_id": str(product_id)})


class NoStock(_OfProduct):
    """The stock of a product is smaller than its quantity in the cart."""

    reason = "NO_STOCK"
    text = "The stock is smaller than a quantity in the cart. Order less of that product."


class ItemUnavailable(_OfProduct):
    """A product in the cart has left the catalog."""

    reason = "ITEM_UNAVAILABLE"
    text = "A product in the cart can no longer be bought. Remove it from the cart."


class PriceChanged(FailedPrecondition):
    """The order would have another total than the caller expects."""

    reason = "PRICE_CHANGED"
    text = "The total of the cart has changed. Read the cart again and confirm the new total."


class InsufficientFunds(FailedPrecondition):
    """The balance of the wallet is too low, or the wallet is closed."""

    reason = "INSUFFICIENT_FUNDS"
    text = "The wallet does not hold enough for this order, and nothing was charged. Order less."


class ShareSpent(FailedPrecondition):
    """A seller's wallet does not hold the share that goes back."""

    reason = "INSUFFICIENT_FUNDS"
    text = "The seller's wallet does not hold enough for this refund, and nothing was refunded."


class CheckoutInProgress(Aborted):
    """An order of this user is being paid or refunded."""

    reason = "CHECKOUT_IN_PROGRESS"
    text = "Another order of this user is being paid or refunded. Try again in a moment."
    usual_wait_seconds = 1.0


class RefundInProgress(Aborted):
    """Another refund of this order is in flight."""

    reason = "REFUND_IN_PROGRESS"
    text = "Another refund of this order is in flight. Try again in a moment."
    usual_wait_seconds = 1.0


class PaymentUnavailable(Unavailable):
    """Profile, the owner of the wallets, did not answer in time."""

    reason = "PROFILE_UNAVAILABLE"
    text = "Payment is not possible right now, and nothing was ordered or charged. Try again."
    usual_wait_seconds = 1.0
