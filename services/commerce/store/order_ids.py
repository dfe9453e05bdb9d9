"""The ids of orders, which are in the order of time: lists walk lines of orders by them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

FIRST_ID: Final = UUID(int=0)
LAST_ID: Final = UUID(int=2**128 - 1)
EARLIEST: Final = datetime.min.replace(tzinfo=UTC)
LATEST: Final = datetime.max.replace(tzinfo=UTC)

# The clock of a process gives an order its id, and that of the database gives it its time.
_CLOCKS_DIFFER: Final = timedelta(hours=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


def least_id(start: datetime | None) -> UUID:
    """Return an id that no order has whose id is less, if it was placed at a moment or later."""
    return FIRST_ID if start is None else _id_at(start, -_CLOCKS_DIFFER)


def bound_of_ids(end: datetime | None) -> UUID:
    """Return an id that is above those of all orders that were placed before a moment."""
    return LAST_ID if end is None else _id_at(end, _CLOCKS_DIFFER)


def _id_at(moment: datetime, distance: timedelta) -> UUID:
    """Return the least id that can be made at a moment (RFC 9562, version 7)."""
    milliseconds = (moment - _EPOCH + distance) // _MILLISECOND
    return UUID(int=min(max(milliseconds, 0), 2**48 - 1) << 80)
