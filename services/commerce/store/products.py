"""Products: their rows, and what orders take of them. Listing is in `listing.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from uuid import UUID

import psycopg
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Integer,
    Select,
    Uuid,
    bindparam,
    cast,
    column,
    func,
    insert,
    select,
    update,
)

from services.commerce.errors import CategoryNotFound
from services.commerce.model import CATEGORIES, PRODUCTS, STOCK_MAX, Product, ProductFields
from services.kernel.db.database import Reader, Transaction
from services.kernel.db.untyped import Row, Untyped

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
)
ROWS_KEPT = 1024
_FROM = PRODUCTS.join(CATEGORIES, CATEGORIES.c.id == PRODUCTS.c.category_id)
_LISTED = PRODUCTS.c.delete_time.is_(None)
_BY_ID = PRODUCTS.c.id == bindparam("product_id", type_=Uuid)
_IDS = bindparam("product_ids", type_=ARRAY(Uuid))
_CHANGED = {"version": PRODUCTS.c.version + 1, "update_time": func.clock_timestamp()}
_SETTABLE = ("category_id", "name", "description", "price", "stock", "image_url")


def _get() -> Select[tuple[object, ...]]:
    return select(*COLUMNS).select_from(_FROM).where(_BY_ID, _LISTED)


_GET = Untyped(_get())
_LOCK = Untyped(_get().with_for_update(of=PRODUCTS, key_share=True))
_GET_MANY = Untyped(
    select(*COLUMNS).select_from(_FROM).where(PRODUCTS.c.id == func.any(_IDS), _LISTED)
)
_INSERT = Untyped(
    insert(PRODUCTS).values(
        id=bindparam("product_id"),
        seller_id=bindparam("seller_id"),
        **{name: bindparam(name) for name in _SETTABLE},
    )
)
_INSERT_MANY = Untyped(
    insert(PRODUCTS).from_select(
        ["id", *_SETTABLE],
        select(*(column(name) for name in ("id", *_SETTABLE))).select_from(
            func.unnest(
                bindparam("id", type_=ARRAY(Uuid)),
                *(bindparam(name, type_=ARRAY(PRODUCTS.c[name].type)) for name in _SETTABLE),
            )
            .table_valued("id", *_SETTABLE, name="given")
            .render_derived()
        ),
    )
)
_UPDATE = Untyped(
    update(PRODUCTS)
    .where(_BY_ID)
    .values(**{name: bindparam(f"new_{name}") for name in _SETTABLE}, **_CHANGED)
)
_DELETE = Untyped(
    update(PRODUCTS).where(_BY_ID).values(delete_time=func.clock_timestamp(), **_CHANGED)
)

_moved = (
    func.unnest(_IDS, bindparam("quantities", type_=ARRAY(Integer)))
    .table_valued(column("id", Uuid), column("quantity", Integer), name="moved")
    .render_derived()
)


_TAKE = Untyped(
    update(PRODUCTS)
    .where(PRODUCTS.c.id == _moved.c.id)
    .values(
        stock=PRODUCTS.c.stock - _moved.c.quantity,
        taken=PRODUCTS.c.taken + _moved.c.quantity,
        **_CHANGED,
    )
)
# Never above what the wire can say, or the return would fail for ever.
_GIVE_BACK = Untyped(
    update(PRODUCTS)
    .where(PRODUCTS.c.id == _moved.c.id)
    .values(
        stock=func.least(cast(PRODUCTS.c.stock, BigInteger) + _moved.c.quantity, STOCK_MAX),
        taken=PRODUCTS.c.taken - _moved.c.quantity,
        **_CHANGED,
    )
)
# In the order of ids, as everywhere: two orders never wait for each other. Weaker
# than FOR UPDATE, so that products can be put into carts meanwhile.
_LOCK_MANY = Untyped(
    select(PRODUCTS.c.id)
    .where(PRODUCTS.c.id == func.any(_IDS))
    .order_by(PRODUCTS.c.id)
    .with_for_update(key_share=True)
)


async def get(reader: Reader, product_id: UUID) -> Product | None:
    """Return a product, or None when there is none or it has left the catalog."""
    return _optional(await reader.first(_GET, product_id=product_id))


async def lock(tx: Transaction, product_id: UUID) -> Product | None:
    """Return a product and keep others from changing it, or None."""
    return _optional(await tx.first(_LOCK, product_id=product_id))


async def insert_product(
    tx: Transaction, *, product_id: UUID, seller_id: UUID | None, fields: ProductFields
) -> Product:
    """Insert a product.

    Raises:
        CategoryNotFound: There is no such category; the transaction is lost.
    """
    try:
        await tx.execute(_INSERT, product_id=product_id, seller_id=seller_id, **asdict(fields))
    except psycopg.errors.ForeignKeyViolation as error:
        raise CategoryNotFound from error
    return await _fresh(tx, product_id)


async def insert_products(
    tx: Transaction, product_ids: Sequence[UUID], fields: Sequence[ProductFields]
) -> list[Product]:
    """Insert products of the house, all or none, and return them in this order.

    Raises:
        CategoryNotFound: One of the categories does not exist; the transaction is lost.
    """
    columns = {name: [getattr(each, name) for each in fields] for name in _SETTABLE}
    try:
        await tx.execute(_INSERT_MANY, id=list(product_ids), **columns)
    except psycopg.errors.ForeignKeyViolation as error:
        raise CategoryNotFound from error
    rows = {row.id: row for row in await tx.all(_GET_MANY, product_ids=list(product_ids))}
    return [product_of(rows[product_id]) for product_id in product_ids]


async def update_product(tx: Transaction, product_id: UUID, fields: ProductFields) -> Product:
    """Change a product that is locked.

    Raises:
        CategoryNotFound: There is no such category; the transaction is lost.
    """
    new = {f"new_{name}": value for name, value in asdict(fields).items()}
    try:
        await tx.execute(_UPDATE, product_id=product_id, **new)
    except psycopg.errors.ForeignKeyViolation as error:
        raise CategoryNotFound from error
    return await _fresh(tx, product_id)


async def delete_product(tx: Transaction, product_id: UUID) -> None:
    """Take a product out of the catalog; carts and orders keep referring to it."""
    await tx.execute(_DELETE, product_id=product_id)


async def reserve(tx: Transaction, quantities: Mapping[UUID, int]) -> None:
    """Move goods from the stock to an order; the products are locked and have enough."""
    await _run_move(tx, _TAKE, quantities)


async def release(tx: Transaction, quantities: Mapping[UUID, int]) -> None:
    """Move the goods of an order back to the stock, those of deleted products too."""
    await tx.all(_LOCK_MANY, product_ids=list(quantities))
    await _run_move(tx, _GIVE_BACK, quantities)


async def _run_move(tx: Transaction, move: Untyped, quantities: Mapping[UUID, int]) -> None:
    moved = await tx.execute(
        move, product_ids=list(quantities), quantities=list(quantities.values())
    )
    assert moved == len(quantities)


async def _fresh(tx: Transaction, product_id: UUID) -> Product:
    return product_of(await tx.first(_GET, product_id=product_id))


def _optional(row: Row | None) -> Product | None:
    return None if row is None else product_of(row)


@lru_cache(maxsize=ROWS_KEPT)
def product_of(row: Row) -> Product:
    """Read the columns of `COLUMNS`; rows that are equal are the same product."""
    return Product(
        id=row.id,
        category_id=row.category_id,
        category_name=row.category_name,
        seller_id=row.seller_id,
        name=row.name,
        description=row.description,
        price=row.price,
        stock=row.stock,
        image_url=row.image_url,
        version=row.version,
        create_time=row.create_time,
        update_time=row.update_time,
    )
