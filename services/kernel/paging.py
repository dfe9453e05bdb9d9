"""Pages of a list: sizes, and tokens that only we can make (AIP-158).

A token holds the position after the last row (keyset) and what it was made for; it
is signed, so that it can be neither forged nor used with other filters.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from services.kernel.errors import InvalidField, Violation

PAGE_SIZE_DEFAULT = 20
PAGE_SIZE_MAX = 100
TOKEN_LENGTH_MAX = 2048

# Before everything, when rows are listed newest first by (create_time, id).
NEWEST = (datetime.max.replace(tzinfo=UTC), UUID(int=2**128 - 1))

_SIGNATURE_BYTES = 16


def page_size(wanted: int, *, field: str = "page_size", default: int = PAGE_SIZE_DEFAULT) -> int:
    """Return how many rows to list: 0 means the default, more than 100 means 100.

    Raises:
        InvalidField: It is negative.
    """
    if wanted < 0:
        raise InvalidField(Violation(field, "must not be negative"))
    return min(wanted or default, PAGE_SIZE_MAX)


class PageTokens:
    """Makes and reads page tokens.

    Args:
        secret: The key of the signatures, the same for every replica.
    """

    def __init__(self, secret: bytes) -> None:
        """See the class."""
        self._secret = secret

    def make(self, position: list[Any], *, listing: str) -> str:
        """Return the token for the rows after a position.

        Args:
            position: The sort key of the last row, as JSON values.
            listing: What is listed, with every filter: the token is good for nothing else.
        """
        # As UTF-8: escaped, a long name would make a token longer than is read back.
        body = json.dumps(position, separators=(",", ":"), ensure_ascii=False).encode()
        return base64.urlsafe_b64encode(self._sign(body, listing) + body).rstrip(b"=").decode()

    def read(self, token: str, *, listing: str, field: str = "page_token") -> list[Any]:
        """Return the position of a token.

        Raises:
            InvalidField: It is not ours, or was made for something else.
        """
        damaged = InvalidField(
            Violation(field, "must be a next_page_token of the same list with the same filters")
        )
        if len(token) > TOKEN_LENGTH_MAX or not token.isascii():
            raise damaged
        try:
            raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except ValueError:
            raise damaged from None
        signature, body = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._sign(body, listing)):
            raise damaged
        position: list[Any] = json.loads(body)
        return position

    def newest_first(self, token: str, *, listing: str) -> tuple[datetime, UUID]:
        """Return where a list by (create_time, id), newest first, goes on."""
        if not token:
            return NEWEST
        moment, row_id = self.read(token, listing=listing)
        return datetime.fromisoformat(moment), UUID(row_id)

    def after(self, create_time: datetime, row_id: UUID, *, listing: str) -> str:
        """Return the token for the rows older than this one."""
        return self.make([create_time.isoformat(), str(row_id)], listing=listing)

    def _sign(self, body: bytes, listing: str) -> bytes:
        message = b"page\0" + listing.encode() + b"\0" + body
        return hmac.digest(self._secret, message, hashlib.sha256)[:_SIGNATURE_BYTES]
