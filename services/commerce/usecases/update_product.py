"""Change a product."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from services.commerce.domain.products import (
    FIELDS,
    ProductDraft,
    check,
    ensure_may_change,
    seller_of,
)
from services.commerce.domain.totals import Totals
from services.commerce.errors import ProductNotFound
from services.commerce.model import Product
from services.commerce.store import products, users
from services.kernel.db.database import Database, Transaction
from services.kernel.errors import EtagMismatch
from services.kernel.ids import parse_id
from services.kernel.rpc.call import UserPrincipal
from services.kernel.validation import Violations


@dataclass(frozen=True, slots=True)
class UpdateProduct:
    """Changes products: administrators any, brands their own."""

    database: Database
    totals: Totals

    async def __call__(
        self,
        *,
        caller: UserPrincipal,
        product_id: str,
        draft: ProductDraft,
        mask: Sequence[str],
        etag: str,
    ) -> Product:
        """Change a product and return it as it is now.

        Args:
            caller: Who asks.
            product_id: Which product.
            draft: Holds the new values of the fields in the mask.
            mask: Names of fields; `*` is all of them; empty: those that are set (AIP-134).
            etag: When not empty, the product is changed only if it still has this one.

        Raises:
            InvalidField: With every wrong field.
            ProductNotFound, CategoryNotFound: There is none.
            Forbidden: It is not the caller's.
            EtagMismatch: Somebody else has changed it.
            SessionEnded: The caller's account was deleted.
        """
        seller_of(caller)
        wanted = parse_id(product_id, field="product.id")
        new = {name: getattr(draft, name) for name in _names(mask, draft)}

        async def change(tx: Transaction) -> Product:
            await users.ensure_known(tx, caller.id)
            product = await products.lock(tx, wanted)
            if product is None:
                raise ProductNotFound
            ensure_may_change(caller, product)
            if etag and etag != product.etag:
                raise EtagMismatch
            return await _change(tx, product, new) if new else product

        _check_new(draft, new)
        changed = await self.database.transact("UpdateProduct", change)
        self.totals.clear()
        return changed


def _names(mask: Sequence[str], draft: ProductDraft) -> list[str]:
    if not mask:
        return [name for name in FIELDS if _is_set(name, draft)]
    v = Violations()
    names = v.mask(mask, FIELDS, identity="id", values={"price"})
    v.raise_any()
    return names


def _is_set(name: str, draft: ProductDraft) -> bool:
    value = getattr(draft, name)
    return value is not None if name == "price" else bool(value)


async def _change(tx: Transaction, product: Product, new: dict[str, Any]) -> Product:
    fields = check(Violations(), replace(_draft_of(product), **new), "product.")
    assert fields is not None
    return await products.update_product(tx, product.id, fields)


def _check_new(draft: ProductDraft, new: dict[str, Any]) -> None:
    """Find what is wrong with the new values, before anything is locked."""
    v = Violations()
    check(v, draft, "product.")
    v.violations = [v for v in v.violations if v.field.split(".")[1] in new]
    v.raise_any()


def _draft_of(product: Product) -> ProductDraft:
    return ProductDraft(
        category_id=str(product.category_id),
        name=product.name,
        description=product.description,
        price=product.price,
        stock=product.stock,
        image_url=product.image_url,
    )
