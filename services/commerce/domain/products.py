"""Who may change products, and what may be said of them."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.commerce.model import PRODUCT_NAME_MAX, STOCK_MAX, Product, ProductFields
from services.commerce.validation import checked_id
from services.kernel.errors import Forbidden, Violation
from services.kernel.rpc.call import User
from services.kernel.validation import DESCRIPTION_MAX, Problems

BRAND = "brand"
FIELDS = ("category_id", "name", "description", "price", "stock", "image_url")


@dataclass(frozen=True, slots=True)
class ProductDraft:
    """What a caller says of a product, unchecked.

    Attributes:
        price: In minor units, or what is wrong with it; None when it is absent.
    """

    category_id: str
    name: str
    description: str
    price: int | Violation | None
    stock: int
    image_url: str


def check(wrong: Problems, draft: ProductDraft, prefix: str) -> ProductFields | None:
    """Check a draft; None when something is wrong with it.

    Args:
        wrong: Where wrong fields are noted.
        draft: The draft.
        prefix: The path of the product in the request, with a dot.
    """
    before = len(wrong.violations)
    category_id = checked_id(wrong, draft.category_id, f"{prefix}category_id")
    name = wrong.text(draft.name, f"{prefix}name", longest=PRODUCT_NAME_MAX, required=True)
    description = wrong.text(
        draft.description, f"{prefix}description", longest=DESCRIPTION_MAX, lines=True
    )
    image_url = wrong.url(draft.image_url, f"{prefix}image_url")
    price = _price(wrong, draft.price, f"{prefix}price")
    if not 0 <= draft.stock <= STOCK_MAX:
        wrong.add(f"{prefix}stock", "must not be negative")
    if len(wrong.violations) > before or category_id is None or price is None:
        return None
    return ProductFields(
        category_id=category_id,
        name=name or "",
        description=description or "",
        price=price,
        stock=draft.stock,
        image_url=image_url or "",
    )


def seller_of(user: User) -> UUID | None:
    """Return for whom a user's products are: a brand's own, an administrator's the house's.

    Raises:
        Forbidden: The user is neither.
    """
    if user.is_admin:
        return None
    if user.role == BRAND:
        return user.id
    raise Forbidden("Only administrators and brands have products.")


def ensure_may_change(user: User, product: Product) -> None:
    """Make sure that a product is the user's to change.

    Raises:
        Forbidden: It is somebody else's.
    """
    if not user.is_admin and product.seller_id != user.id:
        raise Forbidden("This product belongs to somebody else.")


def _price(wrong: Problems, price: int | Violation | None, field: str) -> int | None:
    if isinstance(price, Violation):
        wrong.violations.append(price)
        return None
    if price is None:
        wrong.add(field, "is required")
    return price
