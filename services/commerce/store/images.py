"""The pictures of products. They belong to one product each, and go with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, bindparam, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from services.commerce.model import IMAGES, PRODUCTS
from services.commerce.store.products import CHANGED, ByProduct, ByProducts
from services.kernel.db.database import Reader, Transaction
from services.kernel.db.statement import NoRow, Statement


@dataclass(frozen=True, slots=True)
class NewImage:
    """A picture to insert."""

    image_id: str
    product_id: UUID
    data: bytes


@dataclass(frozen=True, slots=True)
class NewImageUrls:
    """A product and where its picture is."""

    product_id: UUID
    image_url: str
    thumbnail_url: str


@dataclass(frozen=True, slots=True)
class ByImage:
    """The parameter of a statement about one picture."""

    image_id: str


@dataclass(frozen=True, slots=True)
class ImageRow:
    """The bytes of a picture."""

    data: bytes


_INSERT = Statement(
    insert(IMAGES).values(
        id=bindparam("image_id"), product_id=bindparam("product_id"), data=bindparam("data")
    ),
    NewImage,
    NoRow,
)
_GET = Statement(
    select(IMAGES.c.data).where(IMAGES.c.id == bindparam("image_id")), ByImage, ImageRow
)
_DELETE = Statement(
    delete(IMAGES).where(IMAGES.c.product_id == bindparam("product_id", type_=Uuid)),
    ByProduct,
    NoRow,
)
_SET_PATHS = Statement(
    update(PRODUCTS)
    .where(PRODUCTS.c.id == bindparam("product_id", type_=Uuid))
    .values(image_url=bindparam("image_url"), thumbnail_url=bindparam("thumbnail_url"), **CHANGED),
    NewImageUrls,
    NoRow,
)
_DELETE_MANY = Statement(
    delete(IMAGES).where(
        IMAGES.c.product_id == func.any(bindparam("product_ids", type_=ARRAY(Uuid)))
    ),
    ByProducts,
    NoRow,
)


async def insert_image(tx: Transaction, product_id: UUID, image_id: str, data: bytes) -> None:
    """Insert a picture of a product that is locked and has none of this id."""
    await tx.execute(_INSERT, NewImage(image_id, product_id, data))


async def set_paths(tx: Transaction, product_id: UUID, image_url: str, thumbnail_url: str) -> None:
    """Note where the pictures of a locked product are."""
    await tx.execute(_SET_PATHS, NewImageUrls(product_id, image_url, thumbnail_url))


async def get(reader: Reader, image_id: str) -> bytes | None:
    """Return a picture, or None."""
    row = await reader.first(_GET, ByImage(image_id))
    return None if row is None else row.data


async def delete_of_product(tx: Transaction, product_id: UUID) -> None:
    """Remove the pictures of a product that is locked."""
    await tx.execute(_DELETE, ByProduct(product_id))


async def delete_of_products(tx: Transaction, product_ids: Sequence[UUID]) -> None:
    """Remove the pictures of products that are locked."""
    await tx.execute(_DELETE_MANY, ByProducts(list(product_ids)))
