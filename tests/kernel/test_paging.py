from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.errors import InvalidField
from services.kernel.ids import new_id
from services.kernel.paging import (
    NEWEST,
    PAGE_BYTES_MAX,
    TOKEN_LENGTH_MAX,
    PageRows,
    PageTokens,
    page_size,
)
from services.kernel.secret import Secret

TOKENS = PageTokens(Secret.of(b"secret"))
JSON = st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False)


@pytest.mark.parametrize(
    ("wanted", "size"), [(0, 20), (1, 1), (20, 20), (100, 100), (101, 100), (2**31 - 1, 100)]
)
def test_sizes_stay_within_bounds(wanted: int, size: int) -> None:
    assert page_size(wanted) == size


def test_a_negative_size_is_named() -> None:
    with pytest.raises(InvalidField) as caught:
        page_size(-1, field="limit")
    assert caught.value.violations[0].field == "limit"


@given(st.lists(JSON, max_size=5), st.text())
def test_a_position_survives_its_token(position: list[object], listing: str) -> None:
    listing = listing.encode("utf-8", "ignore").decode()
    token = TOKENS.make(position, listing=listing)
    assert token.isascii()
    assert TOKENS.read(token, listing=listing) == position


@given(st.text() | st.from_regex(r"[A-Za-z0-9_-]{22,80}", fullmatch=True))
def test_nothing_that_we_did_not_make_is_read(token: str) -> None:
    with pytest.raises(InvalidField) as caught:
        TOKENS.read(token, listing="things")
    assert caught.value.violations[0].field == "page_token"


@given(st.data())
def test_a_token_with_any_character_changed_is_refused(data: st.DataObject) -> None:
    token = TOKENS.make(["2026-01-01", 7], listing="things")
    # The last character may carry bits that mean nothing.
    place = data.draw(st.integers(0, len(token) - 2))
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = data.draw(st.sampled_from(letters.replace(token[place], "")))
    with pytest.raises(InvalidField):
        TOKENS.read(token[:place] + other + token[place + 1 :], listing="things")


@pytest.mark.parametrize("listing", ["", "others", "things ", "things\0[1]"])
def test_a_token_of_another_listing_is_refused(listing: str) -> None:
    token = TOKENS.make([1], listing="things")
    with pytest.raises(InvalidField):
        TOKENS.read(token, listing=listing)


def test_no_byte_moves_from_the_listing_to_the_position() -> None:
    token = TOKENS.make([1], listing="things")
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    moved = base64.urlsafe_b64encode(raw[:16] + b"s" + raw[16:]).rstrip(b"=").decode()
    with pytest.raises(InvalidField):
        TOKENS.read(moved, listing="thing")


def test_a_token_made_with_another_secret_is_refused() -> None:
    token = PageTokens(Secret.of(b"other")).make([1], listing="things")
    with pytest.raises(InvalidField):
        TOKENS.read(token, listing="things")


@pytest.mark.parametrize(
    "token", ["", "=", "A", "AAAA", "ü", "\0", " ", "A" * (TOKEN_LENGTH_MAX + 1)]
)
def test_malformed_tokens_are_named(token: str) -> None:
    with pytest.raises(InvalidField) as caught:
        TOKENS.read(token, listing="things", field="page_token")
    assert [v.field for v in caught.value.violations] == ["page_token"]


def test_the_first_page_begins_with_the_newest() -> None:
    moment, row_id = TOKENS.newest_first("", listing="things")
    assert (moment, row_id) == NEWEST
    assert moment > datetime.now(UTC)
    assert row_id == UUID("ffffffff-ffff-ffff-ffff-ffffffffffff")


@given(st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5))])))
def test_the_next_page_begins_exactly_where_the_last_ended(moment: datetime) -> None:
    row_id = new_id()
    token = TOKENS.after(moment, row_id, listing="things")
    assert TOKENS.newest_first(token, listing="things") == (moment, row_id)


class Sized:
    """A message of a size."""

    def __init__(self, size: int) -> None:
        self.size = size

    def ByteSize(self) -> int:
        return self.size


@pytest.mark.parametrize(
    ("sizes", "limit", "kept", "token"),
    [
        ([], 2, 0, ""),
        ([1, 1], 2, 2, ""),
        ([1, 1, 1], 2, 2, "after 1"),
        ([PAGE_BYTES_MAX, 1], 2, 1, "after 0"),
        ([PAGE_BYTES_MAX - 1, 1], 2, 2, ""),
        ([PAGE_BYTES_MAX - 1, 1, 1], 3, 2, "after 1"),
        ([PAGE_BYTES_MAX + 1, 1], 2, 1, "after 0"),  # a page without rows would lead nowhere
        ([PAGE_BYTES_MAX + 1], 2, 1, ""),
    ],
)
def test_a_page_ends_before_it_is_too_large(
    sizes: list[int], limit: int, kept: int, token: str
) -> None:
    rows = PageRows(range(len(sizes)), limit, lambda row: f"after {row}")
    messages, found = rows.written(lambda row: Sized(sizes[row]))
    assert ([each.size for each in messages], found) == (sizes[:kept], token)
