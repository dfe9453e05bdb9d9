"""The shares of sellers in orders: what the wallets are told."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import BigInteger, Uuid, bindparam, cast, func, select

from services.commerce.model import ORDER_ITEMS, REFUND_ITEMS, REFUNDS
from services.commerce.store.fulfilment import ByRefund
from services.kernel.db.database import Reader
from services.kernel.db.statement import Statement


@dataclass(frozen=True, slots=True)
class SellerShare:
    """A seller, or None for those who were forgotten, and an amount in minor units."""

    seller_id: UUID | None
    amount: int


_OF_REFUND = Statement(
    select(
        ORDER_ITEMS.c.seller_id,
        cast(func.sum(REFUND_ITEMS.c.share), BigInteger).label("amount"),
    )
    .join_from(REFUNDS, REFUND_ITEMS, REFUND_ITEMS.c.refund_id == REFUNDS.c.id)
    .join(
        ORDER_ITEMS,
        (ORDER_ITEMS.c.order_id == REFUNDS.c.order_id)
        & (ORDER_ITEMS.c.product_id == REFUND_ITEMS.c.product_id),
    )
    .where(REFUNDS.c.id == bindparam("refund_id", type_=Uuid), REFUND_ITEMS.c.share > 0)
    .group_by(ORDER_ITEMS.c.seller_id),
    ByRefund,
    SellerShare,
)


async def of_refund(reader: Reader, refund_id: UUID) -> dict[UUID | None, int]:
    """Return what goes back from each seller; an amount is above zero."""
    return {row.seller_id: row.amount for row in await reader.all(_OF_REFUND, ByRefund(refund_id))}
