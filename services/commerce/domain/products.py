"""Which users may change which products, and how a change is applied."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from services.commerce.errors import ProductNotFound
from services.commerce.model import PRODUCT_FIELDS, Product, ProductFields
from services.common.vocabulary import Role
from services.kernel.errors import EtagMismatch, Forbidden
from services.kernel.rpc.access import forbidden
from services.kernel.rpc.call import Caller, UserPrincipal


@dataclass(frozen=True, slots=True)
class Seller:
    """A user, or a service, that may have products.

    A servicer makes one before it checks a request: a permission comes first (AIP-211).

    Attributes:
        user_id: The user; None for a service.
        is_admin: Whether the seller may change every product, and makes first-party ones.
    """

    user_id: UUID | None
    is_admin: bool

    @classmethod
    def of(cls, caller: Caller) -> Seller:
        """Return a caller as a seller.

        Raises:
            Forbidden: The user is neither an administrator nor a brand.
        """
        is_brand = isinstance(caller, UserPrincipal) and caller.role == Role.BRAND
        if not is_brand and not caller.acts_for_all:
            raise forbidden(caller, "Only administrators and brands have products.")
        return cls(caller.own_id, caller.acts_for_all)

    @property
    def seller_id(self) -> UUID | None:
        """The brand that owns the seller's new products; None: they are first-party."""
        return None if self.is_admin else self.user_id

    def changeable(self, product: Product | None, etag: str = "") -> Product:
        """Return a product that the seller may change, as the caller has seen it.

        Args:
            product: The product; None: there is none.
            etag: The etag that it must still have, unless it is empty.

        Raises:
            ProductNotFound: There is no such product.
            Forbidden: It belongs to another seller.
            EtagMismatch: It no longer has this etag.
        """
        if product is None:
            raise ProductNotFound
        if not self.is_admin and product.seller_id != self.user_id:
            raise Forbidden("This product belongs to another seller.")
        if etag and not product.is_unchanged_since(etag):
            raise EtagMismatch
        return product


@dataclass(frozen=True, slots=True)
class ProductChanges:
    """New values of some fields of a product.

    Attributes:
        names: The fields that change.
        values: Their new values; the other fields have no meaning.
    """

    names: Collection[str]
    values: ProductFields

    def applied_to(self, product: Product) -> ProductFields:
        """Return the fields of a product as they are after the change."""
        return ProductFields(
            **{
                name: getattr(self.values if name in self.names else product, name)
                for name in PRODUCT_FIELDS
            }
        )
