"""Lists of very many matches: a page of them is found seldom, because that costs much."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from services.commerce.model import Filters, Sort
from services.commerce.store import listing
from services.commerce.store.listing import ListedProduct, Position
from services.kernel.db.database import Reader

KEPT_SECONDS = 10.0
KEPT_PAGES_MAX = 200

_Page = tuple[Filters, int, Position | None, int]


class BroadLists:
    """Lists products, and finds each page of a broad list once in ten seconds.

    Only the places of its products in the list are kept. The products themselves are read each
    time. When one of them has left its place, the page is found anew.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader: Final = reader
        self._kept = dict[_Page, tuple[list[Position], float]]()

    async def list_products(
        self, filters: Filters, *, limit: int, after: Position | None = None, skip: int = 0
    ) -> Sequence[ListedProduct]:
        """Return products, as `listing.list_products` does."""
        page, kept = (filters, limit, after, skip), self._kept
        products: Sequence[ListedProduct]
        if kept and (places := self._places_of(page)):
            ids = [each.product_id for each in places]
            products = await listing.read_products(self._reader, filters, ids)
            if _places(products, filters.sort) == places:
                return products
        products = await listing.list_products(
            self._reader, filters, limit=limit, after=after, skip=skip
        )
        if listing.is_broad(products) and kept is self._kept:
            self._keep(page, _places(products, filters.sort))
        return products

    def clear(self) -> None:
        """Discard all pages, also those that are being found."""
        self._kept = {}

    def _places_of(self, page: _Page) -> list[Position]:
        places, expires = self._kept.get(page, ([], 0.0))
        return places if time.monotonic() < expires else []

    def _keep(self, page: _Page, places: list[Position]) -> None:
        self._kept.pop(page, None)
        if len(self._kept) >= KEPT_PAGES_MAX:
            del self._kept[next(iter(self._kept))]
        self._kept[page] = places, time.monotonic() + KEPT_SECONDS


def _places(products: Sequence[ListedProduct], sort: Sort) -> list[Position]:
    return [each.position(sort) for each in products]
