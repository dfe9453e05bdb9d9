"""Products: their rows and their stock; their lists are in `listing.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from uuid import UUID

import psycopg
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Integer,
    Select,
    Text,
    Uuid,
    bindparam,
    case,
    cast,
    column,
    func,
    insert,
    null,
    select,
    update,
)

from services.commerce.errors import CategoryNotFound
from services.commerce.model import (
    CATEGORIES,
    PRODUCT_FIELDS,
    PRODUCTS,
    Product,
    ProductFields,
)
from services.common.forgetting import FORGOTTEN_AT_ONCE
from services.kernel.db.database import Reader, Transaction
from services.kernel.db.statement import ByUser, NoRow, Statement


@dataclass(frozen=True, slots=True)
class ByProduct:
    """The parameter of a statement about one product."""

    product_id: UUID


@dataclass(frozen=True, slots=True)
class ByProducts:
    """The parameter of a statement about several products."""

    product_ids: list[UUID]


@dataclass(frozen=True, slots=True)
class NewProduct(ProductFields):
    """A product to insert."""

    product_id: UUID
    seller_id: UUID | None


@dataclass(frozen=True, slots=True)
class NewProducts:
    """First-party products to insert, column by column."""

    product_ids: list[UUID]
    category_ids: list[UUID]
    names: list[str]
    descriptions: list[str]
    prices: list[int]
    stocks: list[int]
    image_urls: list[str]


@dataclass(frozen=True, slots=True)
class ChangedProduct(ProductFields):
    """A product and its new fields."""

    product_id: UUID


@dataclass(frozen=True, slots=True)
class Quantities:
    """Products to move from the stock or to it, each with a quantity."""

    product_ids: list[UUID]
    quantities: list[int]


@dataclass(frozen=True, slots=True)
class LockedProduct:
    """A product that is locked."""

    id: UUID


@dataclass(frozen=True, slots=True)
class StockChange:
    """The stock of a product before a change, and after it."""

    before: int
    after: int


@dataclass(frozen=True, slots=True)
class ReleasedProduct:
    """A product that got goods back, its stock, and whether it is in the catalog."""

    id: UUID
    stock: int
    is_listed: bool


INT32_MAX = 2**31 - 1
COLUMNS = (
    PRODUCTS.c.id,
    PRODUCTS.c.category_id,
    CATEGORIES.c.name.label("category_name"),
    PRODUCTS.c.seller_id,
    PRODUCTS.c.name,
    PRODUCTS.c.description,
    PRODUCTS.c.price,
    PRODUCTS.c.stock,
    PRODUCTS.c.image_url,
    PRODUCTS.c.version,
    PRODUCTS.c.create_time,
    PRODUCTS.c.update_time,
    PRODUCTS.c.thumbnail_url,
)
_FROM = PRODUCTS.join(CATEGORIES, CATEGORIES.c.id == PRODUCTS.c.category_id)
_LISTED = PRODUCTS.c.delete_time.is_(None)
_BY_ID = PRODUCTS.c.id == bindparam("product_id", type_=Uuid)
_IDS = bindparam("product_ids", type_=ARRAY(Uuid))
# What every change of a product does.
CHANGED = {"version": PRODUCTS.c.version + 1, "update_time": func.clock_timestamp()}
# Of a product that leaves the catalog: its uploaded picture goes, and a URL elsewhere stays.
_WITHOUT_UPLOAD = {
    "image_url": case((PRODUCTS.c.thumbnail_url == "", PRODUCTS.c.image_url), else_=""),
    "thumbnail_url": "",
}


def _get() -> Select[tuple[object, ...]]:
    return select(*COLUMNS).select_from(_FROM).where(_BY_ID, _LISTED)


_GET = Statement(_get(), ByProduct, Product)
_LOCK = Statement(_get().with_for_update(of=PRODUCTS, key_share=True), ByProduct, Product)
_GET_MANY = Statement(
    select(*COLUMNS).select_from(_FROM).where(PRODUCTS.c.id == func.any(_IDS), _LISTED),
    ByProducts,
    Product,
)
_INSERT = Statement(
    insert(PRODUCTS).values(
        id=bindparam("product_id"),
        seller_id=bindparam("seller_id"),
        **{name: bindparam(name) for name in PRODUCT_FIELDS},
    ),
    NewProduct,
    NoRow,
)
_INSERT_MANY = Statement(
    insert(PRODUCTS).from_select(
        ["id", *PRODUCT_FIELDS],
        select(*(column(name) for name in ("id", *PRODUCT_FIELDS))).select_from(
            func.unnest(
                bindparam("product_ids", type_=ARRAY(Uuid)),
                bindparam("category_ids", type_=ARRAY(Uuid)),
                bindparam("names", type_=ARRAY(Text)),
                bindparam("descriptions", type_=ARRAY(Text)),
                bindparam("prices", type_=ARRAY(BigInteger)),
                bindparam("stocks", type_=ARRAY(Integer)),
                bindparam("image_urls", type_=ARRAY(Text)),
            )
            .table_valued("id", *PRODUCT_FIELDS, name="given")
            .render_derived()
        ),
    ),
    NewProducts,
    NoRow,
)
_UPDATE = Statement(
    update(PRODUCTS)
    .where(_BY_ID)
    .values(
        **{name: bindparam(name) for name in PRODUCT_FIELDS},
        thumbnail_url=case(
            (PRODUCTS.c.image_url == bindparam("image_url"), PRODUCTS.c.thumbnail_url), else_=""
        ),
        **CHANGED,
    ),
    ChangedProduct,
    NoRow,
)
_DELETE = Statement(
    update(PRODUCTS)
    .where(_BY_ID)
    .values(
        delete_time=func.clock_timestamp(),
        **_WITHOUT_UPLOAD,
        **CHANGED,
    ),
    ByProduct,
    NoRow,
)

_moved = (
    func.unnest(_IDS, bindparam("quantities", type_=ARRAY(Integer)))
    .table_valued(column("id", Uuid), column("quantity", Integer), name="moved")
    .render_derived()
)
# A stock that was set by 0.1 may be that large, and a return must not fail for ever.
_RELEASE = Statement(
    update(PRODUCTS)
    .where(PRODUCTS.c.id == _moved.c.id)
    .values(
        stock=func.least(cast(PRODUCTS.c.stock, BigInteger) + _moved.c.quantity, INT32_MAX),
        taken=PRODUCTS.c.taken - _moved.c.quantity,
    )
    .returning(PRODUCTS.c.id, PRODUCTS.c.stock, _LISTED.label("is_listed")),
    Quantities,
    ReleasedProduct,
)
# Every transaction locks products in the order of their ids: no two can wait for each
# other. The lock is weaker than FOR UPDATE, so that carts can refer to them meanwhile.
_LOCK_MANY = Statement(
    select(PRODUCTS.c.id)
    .where(PRODUCTS.c.id == func.any(_IDS))
    .order_by(PRODUCTS.c.id)
    .with_for_update(key_share=True),
    ByProducts,
    LockedProduct,
)


_SOME_OF_SELLER = Statement(
    select(PRODUCTS.c.id)
    .where(PRODUCTS.c.seller_id == bindparam("user_id", type_=Uuid))
    .order_by(PRODUCTS.c.create_time, PRODUCTS.c.id)
    .limit(FORGOTTEN_AT_ONCE),
    ByUser,
    LockedProduct,
)
_own = (
    select(PRODUCTS.c.id)
    .where(PRODUCTS.c.id == func.any(_IDS))
    .order_by(PRODUCTS.c.id)
    .with_for_update(key_share=True)
    .cte("own")
)
_FORGET_SELLER = Statement(
    update(PRODUCTS)
    .where(PRODUCTS.c.id == _own.c.id)
    .values(
        seller_id=null(),
        **_WITHOUT_UPLOAD,
        delete_time=func.coalesce(PRODUCTS.c.delete_time, func.clock_timestamp()),
        **CHANGED,
    ),
    ByProducts,
    NoRow,
)


async def get(reader: Reader, product_id: UUID) -> Product | None:
    """Return a product; None when there is none, or it has left the catalog."""
    return await reader.first(_GET, ByProduct(product_id))


async def get_many(reader: Reader, product_ids: Sequence[UUID]) -> dict[UUID, Product]:
    """Return those of some products that are in the catalog."""
    found = await reader.all(_GET_MANY, ByProducts(list(product_ids)))
    return {product.id: product for product in found}


async def lock(tx: Transaction, product_id: UUID) -> Product | None:
    """Lock a product and return it; None as in `get`."""
    return await tx.first(_LOCK, ByProduct(product_id))


async def insert_product(
    tx: Transaction, *, product_id: UUID, seller_id: UUID | None, fields: ProductFields
) -> Product:
    """Insert a product.

    Raises:
        CategoryNotFound: There is no such category; the transaction is lost.
    """
    product = NewProduct(**asdict(fields), product_id=product_id, seller_id=seller_id)
    try:
        await tx.execute(_INSERT, product)
    except psycopg.errors.ForeignKeyViolation as error:
        raise CategoryNotFound from error
    return await _fresh(tx, product_id)


async def insert_products(
    tx: Transaction, product_ids: Sequence[UUID], fields: Sequence[ProductFields]
) -> list[Product]:
    """Insert first-party products, all or none, and return them in this order.

    Raises:
        CategoryNotFound: One of the categories does not exist; the transaction is lost.
    """
    new = NewProducts(
        product_ids=list(product_ids),
        category_ids=[each.category_id for each in fields],
        names=[each.name for each in fields],
        descriptions=[each.description for each in fields],
        prices=[each.price for each in fields],
        stocks=[each.stock for each in fields],
        image_urls=[each.image_url for each in fields],
    )
    try:
        await tx.execute(_INSERT_MANY, new)
    except psycopg.errors.ForeignKeyViolation as error:
        raise CategoryNotFound from error
    by_id = await get_many(tx, new.product_ids)
    return [by_id[product_id] for product_id in product_ids]


async def update_product(tx: Transaction, product_id: UUID, fields: ProductFields) -> Product:
    """Change a product that is locked.

    Raises:
        CategoryNotFound: There is no such category; the transaction is lost.
    """
    try:
        await tx.execute(_UPDATE, ChangedProduct(**asdict(fields), product_id=product_id))
    except psycopg.errors.ForeignKeyViolation as error:
        raise CategoryNotFound from error
    return await _fresh(tx, product_id)


async def delete_product(tx: Transaction, product_id: UUID) -> None:
    """Take a product out of the catalog; carts and orders still refer to it."""
    await tx.execute(_DELETE, ByProduct(product_id))


async def some_of_seller(reader: Reader, user_id: UUID) -> list[UUID]:
    """Return some products of a seller, the oldest first."""
    return [row.id for row in await reader.all(_SOME_OF_SELLER, ByUser(user_id))]


async def forget_seller(tx: Transaction, *, some: Sequence[UUID]) -> None:
    """Take products of a seller out of the catalog, and the seller out of them."""
    await tx.execute(_FORGET_SELLER, ByProducts(list(some)))


async def release(tx: Transaction, quantities: Mapping[UUID, int]) -> dict[UUID, StockChange]:
    """Move the goods of an order back to the stock, even those of deleted products.

    Returns what this has changed for products in the catalog.
    """
    await tx.execute(_LOCK_MANY, ByProducts(list(quantities)))
    moved = await tx.all(_RELEASE, _quantities(quantities))
    assert len(moved) == len(quantities)
    return {
        each.id: StockChange(each.stock - quantities[each.id], each.stock)
        for each in moved
        if each.is_listed
    }


def _quantities(quantities: Mapping[UUID, int]) -> Quantities:
    return Quantities(list(quantities), list(quantities.values()))


async def _fresh(tx: Transaction, product_id: UUID) -> Product:
    return (await tx.all(_GET, ByProduct(product_id)))[0]
