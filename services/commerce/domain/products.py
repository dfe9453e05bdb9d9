"""Who may change products, and what may be said of them."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.commerce.model import PRODUCT_NAME_MAX, STOCK_MAX, Product, ProductFields
from services.commerce.validation import checked_id
from services.common.vocabulary import DESCRIPTION_MAX
from services.kernel.errors import Forbidden, Violation
from services.kernel.rpc.call import UserPrincipal
from services.kernel.validation import Violations

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


def check(v: Violations, draft: ProductDraft, prefix: str) -> ProductFields | None:
    """Check a draft; None when something is wrong with it.

    Args:
        v: Where wrong fields are noted.
        draft: The draft.
        prefix: The path of the product in the request, with a dot.
    """
    before = len(v.violations)
    category_id = checked_id(v, draft.category_id, f"{prefix}category_id")
    name = v.text(draft.name, f"{prefix}name", max_length=PRODUCT_NAME_MAX, required=True)
    description = v.text(
        draft.description, f"{prefix}description", max_length=DESCRIPTION_MAX, multiline=True
    )
    image_url = v.url(draft.image_url, f"{prefix}image_url")
    price = _price(v, draft.price, f"{prefix}price")
    if not 0 <= draft.stock <= STOCK_MAX:
        v.add(f"{prefix}stock", "must not be negative")
    if len(v.violations) > before or category_id is None or price is None:
        return None
    return ProductFields(
        category_id=category_id,
        name=name or "",
        description=description or "",
        price=price,
        stock=draft.stock,
        image_url=image_url or "",
    )


def seller_of(user: UserPrincipal) -> UUID | None:
    """Return for whom a user's products are: a brand's own, an administrator's the house's.

    Raises:
        Forbidden: The user is neither.
    """
    if user.is_admin:
        return None
    if user.role == BRAND:
        return user.id
    raise Forbidden("Only administrators and brands have products.")


def ensure_may_change(user: UserPrincipal, product: Product) -> None:
    """Make sure that a product is the user's to change.

    Raises:
        Forbidden: It is somebody else's.
    """
    if not user.is_admin and product.seller_id != user.id:
        raise Forbidden("This product belongs to somebody else.")


def _price(v: Violations, price: int | Violation | None, field: str) -> int | None:
    if isinstance(price, Violation):
        v.violations.append(price)
        return None
    if price is None:
        v.add(field, "is required")
    return price
