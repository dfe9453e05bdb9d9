"""Pages of a list: their sizes and their tokens (AIP-158).

A token holds the position after the last row of a page (keyset). Its signature covers the
list and its filters, so that a caller can neither forge it nor use it with others.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

from services.kernel.errors import InvalidField, Violation
from services.kernel.secret import Secret

PAGE_SIZE_DEFAULT = 20
PAGE_SIZE_MAX = 100
TOKEN_LENGTH_MAX = 2048
# A client takes 4 MiB by gRPC's defaults. The rest is for a last row and the token.
PAGE_BYTES_MAX = 3 * 1024 * 1024

# The position before the first row of a list by (create_time, id), newest first.
NEWEST = (datetime.max.replace(tzinfo=UTC), UUID(int=2**128 - 1))

_SIGNATURE_BYTES = 16

T = TypeVar("T")
M = TypeVar("M", bound="Sized")


class Sized(Protocol):
    """A message, which knows its size on the wire."""

    def ByteSize(self) -> int:  # noqa: N802 - protobuf's name
        """Return the number of bytes."""


def page_size(wanted: int, *, field: str = "page_size", default: int = PAGE_SIZE_DEFAULT) -> int:
    """Return the number of rows to list: 0 means the default, more than 100 means 100.

    Raises:
        InvalidField: The wanted number is negative.
    """
    if wanted < 0:
        raise InvalidField(Violation(field, "must not be negative"))
    return min(wanted or default, PAGE_SIZE_MAX)


@dataclass(frozen=True, slots=True)
class PageRows(Generic[T]):
    """The rows that were found for a page.

    Attributes:
        rows: The rows, with one more than the page may have if there is another page.
        limit: The most rows that the page may have.
        token_after: Makes the token of the page that begins after a row.
        token_at_end: The token of what follows the rows, if their search ended early.
    """

    rows: Sequence[T]
    limit: int
    token_after: Callable[[T], str]
    token_at_end: str = ""

    def written(self, write: Callable[[T], M]) -> tuple[list[M], str]:
        """Write the rows; return them and the token of the next page, empty on the last.

        A page that would become too large for an answer ends earlier (AIP-158).
        """
        messages: list[M] = []
        left = PAGE_BYTES_MAX
        for row in self.rows[: self.limit]:
            message = write(row)
            left -= message.ByteSize()
            if left < 0 and messages:
                break
            messages.append(message)
        if len(messages) == len(self.rows):
            return messages, self.token_at_end
        return messages, self.token_after(self.rows[len(messages) - 1])


def listing_of(name: str, **filters: object) -> str:
    """Return the name of a list with these filters; those that are None are absent."""
    given = {key: str(value) for key, value in filters.items() if value is not None}
    return f"{name} {json.dumps(given, sort_keys=True)}" if given else name


@dataclass(frozen=True, slots=True)
class PageTokens:
    """Makes and reads page tokens.

    Attributes:
        secret: The key of the signatures, the same for every replica.
    """

    secret: Secret

    def make(self, position: list[Any], *, listing: str) -> str:
        """Return the token for the rows after a position.

        Args:
            position: The sort key of the last row, as JSON values.
            listing: The name of the list and its filters; the token is valid for it alone.
        """
        # UTF-8, because escapes would make the token of a long name too long to be read.
        body = json.dumps(position, separators=(",", ":"), ensure_ascii=False).encode()
        signature = self.secret.digest(_signed(body, listing))[:_SIGNATURE_BYTES]
        return base64.urlsafe_b64encode(signature + body).rstrip(b"=").decode()

    def read(self, token: str, *, listing: str, field: str = "page_token") -> list[Any]:
        """Return the position of a token.

        Raises:
            InvalidField: The token was not made here, or was made for another listing.
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
        signed = _signed(body, listing)
        if not self.secret.verifies(signed, signature, length=_SIGNATURE_BYTES):
            raise damaged
        position: list[Any] = json.loads(body)
        return position

    def newest_first(self, token: str, *, listing: str) -> tuple[datetime, UUID]:
        """Return the position at which a list by (create_time, id), newest first, goes on."""
        if not token:
            return NEWEST
        moment, row_id = self.read(token, listing=listing)
        return datetime.fromisoformat(moment), UUID(row_id)

    def after(self, create_time: datetime, row_id: UUID, *, listing: str) -> str:
        """Return the token for the rows older than this one."""
        return self.make([create_time.isoformat(), str(row_id)], listing=listing)


def _signed(body: bytes, listing: str) -> bytes:
    return b"page\0" + listing.encode() + b"\0" + body
