"""The rows that a request may leave: a rule for every table, once all is at rest.

A row that no rule knows is blamed, so a new table needs a rule here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Any

from tests.faults.databases import Row
from tests.faults.scenario import KEPT, PASSWORD

Content = dict[str, Any]
KEPT_CODES = {code.name for code in KEPT}
# The stranger who takes a phone number.
STRANGER = "Bob"
# Ids may stay after a deletion where they refuse what comes late, or say who did what.
MAY_NAME_DELETED = {
    "auth.sagas",
    "auth.audit_log",
    "profile.audit_log",
    "commerce.audit_log",
    "auth.events",
    "profile.events",
    "commerce.events",
    "profile.saga_barriers",
    "profile.forgotten_users",
    "commerce.forgotten_users",
    # A refusal may be kept after the deletion; the clean-up removes it.
    "commerce.idempotency",
}
# These lines say that a saga has taken effect, and have its id.
_FINAL = {"user_created", "user_deleted", "order_placed", "order_refunded"}
# Each saga of these kinds that takes effect writes an event.
_TELLS = {"registration", "account_deletion", "checkout", "cancellation", "return"}
# A scenario writes its own transfers with this fingerprint, and tells no event of them.
_WRITTEN_BY_SCENARIO = "f"


@dataclass(frozen=True, slots=True)
class Remains:
    """All rows at rest.

    Attributes:
        prepared: The rows that were there before the request.
        is_aged: Whether the clean-up may have removed sagas and keys.
    """

    rows: Sequence[Row]
    prepared: Sequence[Row]
    is_aged: bool
    tables: dict[str, list[Content]] = field(default_factory=lambda: defaultdict(list))
    ids: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Sort the rows by their tables."""
        for row in self.rows:
            self.tables[row.table].append(row.content)
        self.ids.update((row.table, _id(row)) for row in self.prepared)

    def has(self, table: str, column: str, value: object) -> bool:
        """Say whether a table has a row with this value."""
        return any(content[column] == value for content in self.tables[table])

    def new(self, table: str) -> Iterator[Content]:
        """Yield the rows of a table that were not there before the request."""
        for content in self.tables[table]:
            if (table, _id(Row(table, content))) not in self.ids:
                yield content

    def state_of(self, saga_id: object) -> str | None:
        """Return the state of a saga, or None if there is none."""
        sagas = (*self.tables["auth.sagas"], *self.tables["commerce.sagas"])
        return next((saga["state"] for saga in sagas if saga["id"] == saga_id), None)

    def was_prepared(self, row: Row) -> bool:
        """Say whether a row was there before the request."""
        return (row.table, _id(row)) in self.ids


Rule = Callable[[Remains, Content], bool]


def broken(remains: Remains) -> Iterator[str]:
    """Yield a text for each row that must not be left."""
    for row in remains.rows:
        rule = RULES.get(row.table)
        if rule is None or not rule(remains, row.content):
            if remains.was_prepared(row) and row.table in UNCHANGED:
                continue
            yield f"a row must not be left: {row}"
        if PASSWORD in str(row.content):
            yield f"a password is left: {row}"
    yield from _untold_participants(remains)
    yield from _untold_events(remains)
    yield from _wrong_stock_events(remains)
    yield from _traces(remains)


def _id(row: Row) -> str:
    content = row.content
    if "id" in content:
        return str(content["id"])
    parts = (content.get(name) for name in ("user_id", "saga_id", "branch", "key_hmac"))
    return " ".join(str(part) for part in parts if part is not None)


def _untold_participants(remains: Remains) -> Iterator[str]:
    """A participant of a saga that was turned back has a tombstone, unless it was cleaned up."""
    for saga in remains.tables["auth.sagas"]:
        if saga["kind"] != "registration" or saga["state"] != "ABORTED" or remains.is_aged:
            continue
        if not remains.has("profile.saga_barriers", "saga_id", saga["id"]):
            yield "a registration was undone, and Profile has no tombstone"


def _traces(remains: Remains) -> Iterator[str]:
    """Of a user who was deleted nothing is left but what refuses latecomers."""
    for user in (row.content for row in remains.prepared if row.table == "auth.users"):
        if remains.has("auth.users", "id", user["id"]):
            continue
        for row in remains.rows:
            text = str(row.content)
            if user["email"] in text:
                yield f"the e-mail of a deleted user is left: {row}"
            if user["id"] in text and row.table not in MAY_NAME_DELETED:
                yield f"the id of a deleted user is left: {row}"


def _ended(remains: Remains, saga: Content) -> bool:
    return saga["state"] in ("DONE", "ABORTED")


def _key(remains: Remains, key: Content) -> bool:
    if key["saga_id"] is None:
        return key["reply"] is not None or key["error"] is not None
    sagas = (*remains.tables["auth.sagas"], *remains.tables["commerce.sagas"])
    saga = next((each for each in sagas if each["id"] == key["saga_id"]), None)
    if saga is None:
        return remains.is_aged
    return saga["state"] == "DONE" or saga["error"]["code"] in KEPT_CODES


def _user(remains: Remains, user: Content) -> bool:
    return user["status"] in ("ACTIVE", "DISABLED") and remains.has(
        "profile.profiles", "user_id", user["id"]
    )


def _of_user(remains: Remains, content: Content) -> bool:
    return remains.has("auth.users", "id", content["user_id"])


def _code(remains: Remains, code: Content) -> bool:
    return code["user_id"] is None or _of_user(remains, code)


def _mail(remains: Remains, content: Content) -> bool:
    """Mail tells of codes and of orders. The sender removes old mail."""
    told = remains.tables["auth.codes"] or remains.tables["auth.order_mails"]
    return bool(told) or remains.is_aged


def _mail_mark(remains: Remains, mark: Content) -> bool:
    return remains.has("commerce.events", "id", mark["event_id"]) or remains.is_aged


def _audit(remains: Remains, entry: Content) -> bool:
    if entry["event"] not in _FINAL:
        return True
    return remains.state_of(entry["id"]) == "DONE" or remains.is_aged


def _event(remains: Remains, event: Content) -> bool:
    """An event is told only of what has taken effect."""
    if event["saga_id"] is None:
        return True
    return remains.state_of(event["saga_id"]) == "DONE" or remains.is_aged


def _delivery(remains: Remains, delivery: Content) -> bool:
    """All is delivered once nothing fails, unless it has failed for days."""
    return delivery["state"] == "DELIVERED" or remains.is_aged


def _untold_events(remains: Remains) -> Iterator[str]:
    """What has taken effect is told by an event."""
    for service in ("auth", "commerce"):
        for saga in remains.new(f"{service}.sagas"):
            is_told = any(
                event["saga_id"] == saga["id"] and not event["subject"].startswith("products/")
                for event in remains.tables[f"{service}.events"]
            )
            if saga["kind"] in _TELLS and saga["state"] == "DONE" and not is_told:
                yield f"an event was lost: {saga['kind']}"
    told = "".join(event["payload"] for event in remains.tables["profile.events"])
    for transfer in remains.new("profile.transfers"):
        if (
            transfer["state"] == "posted"
            and transfer["fingerprint"] != _WRITTEN_BY_SCENARIO
            and transfer["id"].encode().hex() not in told
        ):
            yield f"an event was lost: {transfer['kind']}"


def _wrong_stock_events(remains: Remains) -> Iterator[str]:
    """Events about the stock of a product take turns, and the last one fits what is left of it."""
    if remains.is_aged:
        return
    prepared = defaultdict[str, list[Content]](list)
    for row in remains.prepared:
        prepared[row.table].append(row.content)
    events = sorted(remains.new("commerce.events"), key=lambda each: each["place"])
    deleted = {each["id"] for each in remains.tables["commerce.products"] if each["delete_time"]}
    for product in prepared["commerce.products"]:
        if product["id"] in deleted:
            continue
        told = [
            event["type"].rpartition(".")[2]
            for event in events
            if event["subject"] == f"products/{product['id']}" and "ProductStock" in event["type"]
        ]
        is_left = _left(prepared, product["id"]) > 0
        turns = cycle(("ProductStockOut", "ProductStockBack"))
        expected = list(islice(turns if is_left else islice(turns, 1, None), len(told)))
        is_left ^= len(told) % 2 == 1
        if told != expected or is_left != (_left(remains.tables, product["id"]) > 0):
            yield f"a wrong event about stock: {told}"


def _left(tables: Mapping[str, Sequence[Content]], product_id: str) -> int:
    """Return what is in stock, and in orders that are being paid."""
    stock = (each["stock"] for each in tables["commerce.products"] if each["id"] == product_id)
    pending = {each["id"] for each in tables["commerce.orders"] if each["state"] == "PENDING"}
    reserved = (
        each["quantity"]
        for each in tables["commerce.order_items"]
        if each["product_id"] == product_id and each["order_id"] in pending
    )
    return sum((*stock, *reserved))


def _profile(remains: Remains, profile: Content) -> bool:
    return _of_user(remains, profile) or profile["first_name"] == STRANGER


def _account(remains: Remains, account: Content) -> bool:
    if account["kind"] not in ("wallet", "pending"):
        return True
    if account["seller_id"] is not None:
        return remains.has("profile.accounts", "user_id", account["seller_id"])
    if account["user_id"] is None:  # closed, and kept for its transfers
        sides = ("debit_account_id", "credit_account_id")
        return any(remains.has("profile.transfers", side, account["id"]) for side in sides)
    return remains.has("profile.profiles", "user_id", account["user_id"])


def _brand(remains: Remains, brand: Content) -> bool:
    return remains.has("profile.profiles", "id", brand["profile_id"])


def _transfer(remains: Remains, transfer: Content) -> bool:
    """A debit fits its saga and its order, and so does what takes it back."""
    original = transfer["original_id"]
    match transfer["kind"], transfer["state"]:
        case "debit", "posted":
            return remains.has("commerce.orders", "debit_id", transfer["id"])
        case "debit", _:
            return remains.is_aged or remains.state_of(transfer["id"]) in ("ABORTED", None)
        case "void", _:
            return remains.is_aged or remains.state_of(original) == "ABORTED"
        case "refund", "refused":
            return remains.is_aged or remains.state_of(transfer["id"]) == "ABORTED"
        case "refund", _:
            return remains.has("commerce.refunds", "id", transfer["id"])
    # What the transfers of shares add up to, scenarios say.
    is_share = original is not None and remains.has("profile.transfers", "id", original)
    return transfer["kind"] in ("top_up", "forfeit") or is_share


def _barrier(remains: Remains, barrier: Content) -> bool:
    state = remains.state_of(barrier["saga_id"])
    if state is None:  # a tombstone refuses, and does no harm
        return barrier["state"] == "CANCELLED" or remains.is_aged
    return (state, barrier["state"]) in (
        ("DONE", "DONE"),
        ("ABORTED", "CANCELLED"),
        ("ABORTED", "REJECTED"),
    )


def _tombstone(remains: Remains, barrier: Content) -> bool:
    """A step of a registration that was undone must be cancelled: rejected is not enough."""
    return _barrier(remains, barrier) and barrier["state"] != "REJECTED"


def _forgotten(remains: Remains, forgotten: Content) -> bool:
    return not _of_user(remains, forgotten)


def _not_forgotten(remains: Remains, content: Content) -> bool:
    return not remains.has("commerce.forgotten_users", "user_id", content["user_id"])


def _order(remains: Remains, order: Content) -> bool:
    state = remains.state_of(order["debit_id"])
    match order["state"]:
        case "PAID":
            return state in ("DONE", None)
        case "FAILED":
            return state == "ABORTED" or remains.is_aged
        case "CANCELLED" | "FULFILLED":
            return True  # what `check_invariants.sql` says of states, scenarios do
    return False


def _refund(remains: Remains, refund: Content) -> bool:
    if refund["state"] != "DONE":
        return False
    return remains.state_of(refund["id"]) == "DONE" or remains.is_aged


def _in_order(remains: Remains, content: Content) -> bool:
    return remains.has("commerce.orders", "id", content["order_id"])


def _in_refund(remains: Remains, content: Content) -> bool:
    return remains.has("commerce.refunds", "id", content["refund_id"])


def _always(remains: Remains, content: Content) -> bool:
    return True


RULES: dict[str, Rule] = {
    "auth.sagas": _ended,
    "auth.idempotency": _key,
    "auth.roles": _always,
    "auth.users": _user,
    "auth.sessions": _of_user,
    "auth.codes": _code,
    "auth.code_limits": _always,  # disabling an account removes its codes alone
    "auth.outbox": _mail,
    "auth.order_mails": _mail_mark,
    "auth.audit_log": _audit,
    "profile.audit_log": _always,
    "commerce.audit_log": _audit,
    "auth.events": _event,
    "auth.event_head": _always,
    "auth.event_cursors": _always,
    "auth.webhooks": _always,
    "auth.webhook_deliveries": _delivery,
    "profile.events": _event,
    "profile.event_head": _always,
    "commerce.events": _event,
    "commerce.event_head": _always,
    "profile.saga_barriers": _tombstone,
    "profile.idempotency": _key,
    "profile.forgotten_users": _forgotten,
    "profile.profiles": _profile,
    "profile.brands": _brand,
    "profile.accounts": _account,
    "profile.transfers": _transfer,
    "commerce.sagas": _ended,
    "commerce.saga_barriers": _barrier,
    "commerce.idempotency": _key,
    "commerce.categories": _always,
    "commerce.products": _always,
    "commerce.stock_adjustments": _always,
    "commerce.users": _not_forgotten,
    "commerce.carts": _not_forgotten,
    "commerce.cart_items": _not_forgotten,
    "commerce.orders": _order,
    "commerce.order_items": _in_order,
    "commerce.shipments": _in_order,
    "commerce.refunds": _refund,
    "commerce.refund_items": _in_refund,
    "commerce.forgotten_users": _forgotten,
}
# Rows of these tables that were there before may stay as they are: a wallet without a profile,
# an order that is being paid, an event whose saga an earlier run has cleaned up.
UNCHANGED = {
    "profile.accounts",
    "profile.profiles",
    "commerce.orders",
    "auth.events",
    "commerce.events",
}
