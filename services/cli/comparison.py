"""Compares what the services know of each other, page by page, in constant memory.

Both sides of a comparison are read in the order of the key that they share, and merged. They
are read one after the other while the services work, so only what is seen twice counts: each
page's differences are looked at again, by their keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import islice
from typing import Any, Final
from uuid import UUID

from services.cli.databases import Connection, connect

PAGE: Final = 5000
# Balances cost more: each is the sum of a wallet's transfers.
BALANCES: Final = 500
# Whatever is younger may have a saga that is still at work.
AGE: Final = timedelta(hours=1)
FIRST: Final = UUID(int=0)


class Kind(StrEnum):
    """What is wrong."""

    ORPHAN_PROFILE = "profile without a user"
    MISSING_PROFILE = "user without a profile"
    ORPHAN_DEBIT = "debit without an order"
    UNPAID_ORDER = "paid order without a debit"
    UNREFUNDED_ORDER = "order whose refund is missing"
    OVERPAID_REFUND = "order that got more back than was refunded"
    WRONG_SHARES = "order whose sellers hold another share than theirs"
    WRONG_PENDING = "order whose pending shares are not those of what is not shipped"
    STUCK_ORDER = "order in flight for more than an hour"
    WRONG_BALANCE = "balance that does not follow from the transfers"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that the services do not agree on.

    Attributes:
        id: Of the user, the transfer, the order or the account.
        saga_id: Of the saga that it comes from, where one is known.
    """

    kind: Kind
    id: UUID
    saga_id: UUID | None = None

    def as_record(self) -> dict[str, str | UUID | None]:
        """Return it for a program."""
        return {"kind": self.kind.value, "id": self.id, "saga_id": self.saga_id}

    def __str__(self) -> str:
        """Return a line for a report."""
        return f"{self.kind} {self.id}"


Row = tuple[Any, ...]
Keys = Sequence[UUID] | None
Look = Callable[[Keys], Iterator[Finding]]


def paged(select: str, key: str) -> str:
    """Return a statement for the rows behind a key, or for those of some keys, in its order."""
    return f"""{select} {key} > %(after)s AND (%(keys)s::uuid[] IS NULL OR {key} = any(%(keys)s))
 ORDER BY {key} LIMIT %(limit)s"""


_USERS: Final = paged("SELECT id, saga_id, status FROM users WHERE", "id")
_PROFILES: Final = paged(
    "SELECT user_id, saga_id, create_time <= %(before)s FROM profiles WHERE", "user_id"
)
_DEBITS: Final = paged(
    """
SELECT id, create_time <= %(before)s,
       amount,
       coalesce((SELECT sum(amount) FROM transfers
                  WHERE original_id = t.id AND state = 'posted' AND kind IN ('refund', 'void')), 0),
       (SELECT coalesce(sum(CASE kind WHEN 'sale' THEN amount ELSE -amount END), 0)
          FROM transfers WHERE original_id = t.id AND kind IN ('sale', 'sale_refund')),
       (SELECT coalesce(sum(CASE s.kind WHEN 'sale' THEN amount ELSE -amount END), 0)
          FROM transfers s JOIN accounts a
            ON a.id = CASE s.kind WHEN 'sale' THEN credit_account_id ELSE debit_account_id END
         WHERE original_id = t.id AND s.kind IN ('sale', 'release', 'sale_refund')
           AND a.seller_id IS NOT NULL)
  FROM transfers t WHERE kind = 'debit' AND state = 'posted' AND""",
    "id",
)
# What went back for sure, and with refunds that are still in flight. Of shares the least and the
# most that sellers may hold, and that may be pending; of those who were forgotten none is.
_ORDERS: Final = paged(
    """
SELECT debit_id, id, state, total,
       coalesce((SELECT sum(amount) FROM refunds WHERE order_id = o.id AND state = 'DONE'), 0),
       coalesce((SELECT sum(amount) FROM refunds WHERE order_id = o.id), 0),
       lines.got - lines.back, lines.got - lines.back_done, lines.least, lines.most
  FROM orders o CROSS JOIN LATERAL (
       SELECT coalesce(sum(share), 0) AS got, coalesce(sum(back), 0) AS back,
              coalesce(sum(back_done), 0) AS back_done,
              coalesce(sum(share - back) FILTER (WHERE waits), 0) AS least,
              coalesce(sum(share - back_done) FILTER (WHERE waits), 0)
              + coalesce(sum(share - back) FILTER (WHERE moves), 0)
              + coalesce(sum(back - back_done) FILTER (WHERE NOT waits), 0) AS most
         FROM (SELECT i.unit_price * i.quantity
                      - i.unit_price * i.quantity * i.commission_bps / 10000 AS share,
                      given.back, given.back_done,
                      i.seller_id IS NOT NULL AND i.shipment_id IS NULL AS waits,
                      i.seller_id IS NOT NULL AND EXISTS (
                        SELECT FROM sagas WHERE id = i.shipment_id AND state = 'RUNNING') AS moves
                 FROM order_items i CROSS JOIN LATERAL (
                      SELECT coalesce(sum(g.share), 0) AS back,
                             coalesce(sum(g.share) FILTER (WHERE r.state = 'DONE'), 0) AS back_done
                        FROM refund_items g JOIN refunds r ON r.id = g.refund_id
                       WHERE r.order_id = i.order_id AND g.product_id = i.product_id) AS given
                WHERE i.order_id = o.id AND i.commission_bps IS NOT NULL) AS sold) AS lines
 WHERE""",
    "debit_id",
)
_STUCK: Final = paged(
    """
SELECT o.id, coalesce(open.id, o.debit_id),
       o.state = 'PENDING' AND o.update_time < %(before)s
       OR coalesce(open.create_time < %(before)s, false)
  FROM orders o LEFT JOIN refunds open ON open.order_id = o.id AND open.state = 'OPEN' WHERE""",
    "o.id",
)
_BALANCES: Final = paged(
    """
SELECT id, coalesce(balance, 0) <> coalesce((SELECT sum(amount) FROM transfers
                        WHERE state = 'posted' AND credit_account_id = a.id), 0)
                   - coalesce((SELECT sum(amount) FROM transfers
                        WHERE state = 'posted' AND debit_account_id = a.id), 0)
  FROM accounts a WHERE balance IS NOT NULL AND""",
    "id",
)
_UNFINISHED: Final = """
SELECT EXISTS (SELECT FROM sagas WHERE id = %(id)s AND state IN ('RUNNING', 'COMPENSATING'))
"""


def differences(urls: Mapping[str, str], *, min_age: timedelta = AGE) -> Iterator[Finding]:
    """Yield what the services do not agree on.

    Args:
        urls: The databases of auth, profile and commerce.
        min_age: How old a profile or a debit without a counterpart must be.
    """
    with ExitStack() as stack:
        comparison = Comparison(
            **{name: stack.enter_context(connect(url)) for name, url in urls.items()},
            before=datetime.now(UTC) - min_age,
            stuck_before=datetime.now(UTC) - AGE,
        )
        for look in (comparison.people, comparison.orders, comparison.stuck, comparison.balances):
            yield from _seen_twice(look)


def _seen_twice(look: Look) -> Iterator[Finding]:
    found = look(None)
    while page := list(islice(found, PAGE)):
        # A stuck order is found by its own id, other orders by that of their debit.
        keys = [key for each in page for key in (each.id, each.saga_id) if key is not None]
        again = set(look(keys))
        yield from (each for each in page if each in again)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One look at the three databases."""

    auth: Connection
    profile: Connection
    commerce: Connection
    before: datetime
    stuck_before: datetime

    def people(self, keys: Keys) -> Iterator[Finding]:
        """Compare users with profiles."""
        users = self._rows(self.auth, _USERS, keys)
        profiles = self._rows(self.profile, _PROFILES, keys)
        for user, profile in merged(users, profiles):
            if user is None and profile is not None and profile[2]:
                yield Finding(Kind.ORPHAN_PROFILE, profile[0], profile[1])
            if profile is None and user is not None and user[2] == "ACTIVE":
                yield Finding(Kind.MISSING_PROFILE, user[0], user[1])

    def orders(self, keys: Keys) -> Iterator[Finding]:
        """Compare debits with orders."""
        debits = self._rows(self.profile, _DEBITS, keys)
        orders = self._rows(self.commerce, _ORDERS, keys)
        for debit, order in merged(debits, orders):
            if order is None:
                assert debit is not None
                debit_id, is_old, amount, back = debit[:4]
                if is_old and back < amount and not self._is_unfinished(debit_id):
                    yield Finding(Kind.ORPHAN_DEBIT, debit_id, debit_id)
                continue
            yield from _compared(debit, order)

    def stuck(self, keys: Keys) -> Iterator[Finding]:
        """Find orders that are neither paid nor given up."""
        for order_id, saga_id, is_stuck in self._rows(self.commerce, _STUCK, keys):
            if is_stuck:
                yield Finding(Kind.STUCK_ORDER, order_id, saga_id)

    def balances(self, keys: Keys) -> Iterator[Finding]:
        """Find wallets whose balance is not that of their transfers."""
        for account_id, is_wrong in self._rows(self.profile, _BALANCES, keys, BALANCES):
            if is_wrong:
                yield Finding(Kind.WRONG_BALANCE, account_id)

    def _is_unfinished(self, saga_id: UUID) -> bool:
        return fetch(self.commerce, _UNFINISHED, {"id": saga_id}) == [(True,)]

    def _rows(
        self, connection: Connection, sql: str, keys: Keys, most: int | None = None
    ) -> Iterator[Row]:
        """Yield the rows of a statement, a page at a time."""
        limit = most or PAGE
        before = self.stuck_before if sql is _STUCK else self.before
        parameters = {"keys": keys, "before": before, "limit": limit, "after": FIRST}
        while True:
            page = fetch(connection, sql, parameters)
            yield from page
            if len(page) < limit:
                return
            parameters["after"] = page[-1][0]


def _compared(debit: Row | None, order: Row) -> Iterator[Finding]:
    """Compare an order with its debit: what went back of it is what was refunded."""
    debit_id, order_id, state, total, done, with_open = order[:6]
    amount, back, shares, pending = (0, 0, 0, 0) if debit is None else debit[2:]
    yield from _shares(order, shares, pending)
    if state == "FAILED":
        if back < amount:
            yield Finding(Kind.UNREFUNDED_ORDER, order_id, debit_id)
        return
    if state in ("PAID", "FULFILLED") and total and (debit is None or back == amount > with_open):
        yield Finding(Kind.UNPAID_ORDER, order_id, debit_id)
    elif debit is not None and back < done:
        yield Finding(Kind.UNREFUNDED_ORDER, order_id, debit_id)
    elif debit is not None and state != "PENDING" and back > with_open:
        yield Finding(Kind.OVERPAID_REFUND, order_id, debit_id)


def _shares(order: Row, shares: int, pending: int) -> Iterator[Finding]:
    """Compare what sellers hold of an order with what is theirs."""
    debit_id, order_id, state, *_, least, most, pending_least, pending_most = order
    if state == "PENDING":
        return
    if state == "FAILED":
        least = most = pending_least = pending_most = 0
    if not least <= shares <= most:
        yield Finding(Kind.WRONG_SHARES, order_id, debit_id)
    elif not pending_least <= pending <= pending_most:
        yield Finding(Kind.WRONG_PENDING, order_id, debit_id)


def fetch(connection: Connection, sql: str, parameters: Mapping[str, Any]) -> list[Row]:
    """Read the rows of one statement, at the state of one moment."""
    return connection.execute(sql.encode(), parameters).fetchall()


def merged(left: Iterator[Row], right: Iterator[Row]) -> Iterator[tuple[Row | None, Row | None]]:
    """Yield the rows that share a key together, and those that are alone with None."""
    one, other = next(left, None), next(right, None)
    while one is not None or other is not None:
        if other is None or (one is not None and one[0] < other[0]):
            yield one, None
            one = next(left, None)
        elif one is None or other[0] < one[0]:
            yield None, other
            other = next(right, None)
        else:
            yield one, other
            one, other = next(left, None), next(right, None)
