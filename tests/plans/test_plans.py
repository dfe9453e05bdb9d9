"""Every statement of the kernel and every clean-up costs by the rows that it touches.

Each runs on tables of 200,000 rows, and the pages that it reads are counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.types.json import Jsonb
from sqlalchemy import bindparam, delete, func, select

from services.auth.store import user_lists
from services.commerce.store.walks import WALKED_MAX
from services.kernel.db.statement import Limit, NoRow, Statement
from services.kernel.db.tables import SAGAS
from services.kernel.ids import new_id
from services.kernel.sagas.lease_store import SagaQueue
from services.kernel.sagas.metrics import COUNTED_MAX
from tests.conftest import Databases
from tests.plans import full
from tests.plans.full import DUE, KEYS_OF_USER, fill, uuid_of
from tests.plans.pages import run
from tests.test_statements import of_modules

Connections = Mapping[str, psycopg.Connection]

STATEMENTS = of_modules()
COMMERCE, AUTH, PROFILE = "commerce", "auth", "profile"
STORE = "services.kernel.sagas.store:"
LEASES = "services.kernel.sagas.lease_store:"
LISTING = "services.kernel.sagas.listing:"
BARRIER = "services.kernel.sagas.barrier:"
KEYS = "services.kernel.sagas.idempotency:"
OF_COMMERCE = "services.commerce.store.users:FORGETTING."
OF_AUTH = "services.auth.store.forgetting:FORGETTING."
USERS = "services.commerce.store.users:"
OF_PROFILE = "services.profile.store.profiles:FORGETTING."

SECOND = timedelta(seconds=1)
LEASE = {"owner": "one", "lease": 10 * SECOND}
JSON = Jsonb({"is": "new"})
NOW = datetime.now(UTC)
USER = {"user_id": uuid_of(10_000)}
LATER_USER = {"user_id": uuid_of(10_001)}
KEY = {
    "scope": f"user:{uuid_of(1000)}",
    "method": "PlaceOrder",
    "key_hmac": (10_004).to_bytes(8),
}
KEY_IN_USE = {
    "scope": KEY["scope"],
    "method": KEY["method"],
    "key_hmacs": [KEY["key_hmac"]],
}
EXPIRED_KEY = KEY | {"key_hmac": (10_000).to_bytes(8)}
NEW_KEY = KEY | {"key_hmac": b"new"}
CLAIM_KEY = {"fingerprint": b"one", "saga_id": new_id()}
ACCOUNT = {"account_hmac": (10_004).to_bytes(8)}
PAIR = ACCOUNT | {"place_hmac": (10_004).to_bytes(8)}
NO_BRANCH = {"saga_id": new_id(), "branch": "DebitWallet"}
BRANCH = {"saga_id": uuid_of(5), "branch": "DebitWallet"}
PAGE = {
    "state": None,
    "kind": None,
    "any_parked": True,
    "before_time": NOW,
    "before_id": new_id(),
    "limit": 100,
}
ORDERS = "services.commerce.store.order_lists:"
ORDER_PAGE = {
    "start": datetime.min.replace(tzinfo=UTC),
    "before_time": NOW,
    "before_id": UUID(int=2**128 - 1),
    "limit": 100,
}
STATES = {"states": ["PAID", "FAILED", "CANCELLING"]}
SALES = "services.commerce.store.sales:_LISTS"
SALE_PAGE = {
    "before_order": UUID(int=2**128 - 1),
    "before_position": 0,
    "since_order": UUID(int=0),
    "start": datetime.min.replace(tzinfo=UTC),
    "until": datetime.max.replace(tzinfo=UTC),
    "limit": 100,
}
OF_LARGE = SALE_PAGE | {"seller_id": uuid_of(full.LARGE)}
OF_SMALL = SALE_PAGE | {"seller_id": uuid_of(full.SMALL)}
OF_PRODUCT = OF_LARGE | {"product_id": uuid_of(1)}
ORDERS_OF_PRODUCT = ORDER_PAGE | {"product_id": uuid_of(1), "since_id": UUID(int=0)}
AUDIT = "services.kernel.audit.store:"
LINES = {
    "event": None,
    "user_id": None,
    "actor": None,
    "since": None,
    "before_time": NOW,
    "before_id": new_id(),
    "limit": 100,
}
USER_LISTS = "services.auth.store.user_lists:"
ACCOUNTS = {
    "since": user_lists.OLDEST,
    "before_time": NOW + timedelta(days=1),
    "before_id": new_id(),
    "limit": 100,
}
INVITATIONS = {"before_time": NOW + timedelta(days=1), "before_id": new_id(), "limit": 100}
LONG_AGO = NOW - timedelta(days=100)
SOON = NOW + timedelta(days=1)  # later than all rows, however long the tests take
ENTRY = {
    "entry_id": new_id(),
    "event": "login",
    "user_id": new_id(),
    "account": None,
    "actor": "operator",
    "client_ip": "192.0.2.1",
    "detail": JSON,
}
LATER_ENTRY = {
    "entry_id": new_id(),
    "earlier_id": uuid_of(5),
    "event": "login",
    "user_id": new_id(),
    "detail": JSON,
}


EVENTS = "services.kernel.events.store:"
EVENT = {
    "ids": [new_id()],
    "types": ["Usual"],
    "subjects": ["users/1"],
    "payloads": [b"id"],
    "saga_id": None,
    "trace_id": None,
}
LISTED = {"after": 100_000, "upto": 102_000, "types": None, "limit": 100}
# The user of LISTED_OF has ten events, and all numbers are looked at.
LISTED_OF = LISTED | {"after": 0, "upto": 200_000, "subject": f"users/{uuid_of(10_000)}"}


@dataclass(frozen=True, slots=True)
class Case:
    """One use of a statement.

    Attributes:
        statement: Its name, as `of_modules` has it.
        rows: How many rows it returns or changes.
        database: The service whose tables it meets.
        label: What is special about it.
        counts: How many rows it looks at to make those that it returns.
    """

    statement: str
    parameters: dict[str, Any]
    rows: int = 1
    database: str = COMMERCE
    label: str = ""
    counts: int = 0

    def __str__(self) -> str:
        return f"{self.database} {self.statement} {self.label}".strip()


def cleanup(statement: str, database: str = COMMERCE, *, rows: int = DUE) -> Case:
    return Case(f"{statement}.statement", {"limit": 1000}, rows, database)


def modes(case: Case) -> tuple[str, ...]:
    """Return the ways in which the statement of a case is planned."""
    is_planned_anew = STATEMENTS[case.statement]._prepare is False
    return (
        ("force_custom_plan",) if is_planned_anew else ("force_custom_plan", "force_generic_plan")
    )


def users_by(name: str, rows: int, *, counts: int = 0, **given: Any) -> Case:
    """Return a use of a list of users with these filters."""
    filters = {"role_id": None, "status": None, "pattern": None} if name != "_LIST" else {}
    # Without the instants: all processes of a run must name their tests alike.
    names = {LONG_AGO: "long ago", SOON: "soon"}
    label = " ".join(f"{name}={names.get(value, value)}" for name, value in given.items())
    return Case(f"{USER_LISTS}{name}", ACCOUNTS | filters | given, rows, AUTH, label, counts)


def lists_of_users() -> Iterator[Case]:
    """Return lists by filters that match many, few or none, and those that lie together."""
    admin, creator, student = uuid_of(full.ADMIN), uuid_of(full.CREATOR), uuid_of(full.STUDENT)
    walked, imported = user_lists.WALKED_MAX, full.IMPORTED
    yield users_by("_LIST", 100)
    yield users_by("_LIST", 100, before_time=LONG_AGO)
    yield users_by("_LIST", 0, since=SOON)
    yield users_by("_WALK", 100, counts=walked, role_id=creator)
    yield users_by("_WALK", 100, counts=walked, pattern="user%", status="ACTIVE")
    yield users_by("_WALK", 2, counts=walked, role_id=admin)
    yield users_by("_WALK", 0, counts=walked, pattern="nobody%")
    yield users_by("_WALK", 0, since=SOON, pattern="user%")
    yield users_by("_COLLECT", 100, counts=180, role_id=admin)
    yield users_by("_COLLECT", 100, counts=200, status="DISABLED")
    yield users_by("_COLLECT", 0, role_id=admin, status="DISABLED")
    yield users_by("_COLLECT", 0, status="DELETING")
    yield users_by("_COLLECT", 0, role_id=uuid_of(9))
    yield users_by("_COLLECT", 20, role_id=student, status="DISABLED")
    yield users_by("_COLLECT", 100, counts=imported // 10, role_id=student)
    yield users_by("_COLLECT", 100, counts=1111, pattern="old12%")
    yield users_by("_COLLECT", 100, counts=1111, pattern="old12%", role_id=student)
    yield users_by("_COLLECT", 100, counts=180, pattern="user%", role_id=admin)
    yield users_by("_COLLECT", 1, pattern="user199999@%", role_id=creator, status="ACTIVE")
    yield users_by("_COLLECT", 0, pattern="nobody%")
    yield users_by("_COLLECT", 0, since=SOON, role_id=creator)


def forgettings() -> Iterator[Case]:
    """Return what forgets a user: the keys, the ended sagas and the addresses of the audit log.

    All of these tables are alike in all services, so that those that are full serve for all.
    """
    actor = {"user_id": uuid_of(10_002)}  # who has acted once
    # To choose a line, and to change it, all lines of the user may be looked at.
    addresses, looks = (AUTH, actor, 1), 2 * (KEYS_OF_USER + 1)
    sagas = (COMMERCE, LATER_USER, 8)
    own = (COMMERCE, LATER_USER, KEYS_OF_USER)

    for owner, sorts in (
        (OF_COMMERCE, (own, sagas, addresses)),
        (OF_PROFILE, ((PROFILE, *own[1:]), addresses)),
        (OF_AUTH, (own, sagas, addresses)),
    ):
        for number, (database, user, rows) in enumerate(sorts):
            name, counts = f"{owner}_sorts[{number}]", looks if user is actor else 0
            # All keys here are of the user and about the user.
            found = rows * 2 if rows == KEYS_OF_USER and owner != OF_AUTH else rows
            yield Case(f"{name}.left", user, found, database, counts=counts)
            # This statement is the same in all services.
            forget = f"{AUDIT}FORGET_ADDRESSES" if user is actor else f"{name}.forget"
            for limit in (None, 3):
                parameters, label = user | {"limit": limit}, f"{owner} at most {limit}"
                yield Case(forget, parameters, min(rows, limit or rows), database, label, counts)


# Sagas: 4 has ended, 5 is running and has failed, 10,002 is parked.
RUNNING, PARKED = {"saga_id": uuid_of(5)}, {"saga_id": uuid_of(10_002)}
CLAIM = LEASE | {
    "kinds": ["checkout", "rare"],
    "versions": [1, 1],
    "newest": 0,
    "oldest": 0,
    "tried": 0,
    "parked": 0,
}
HELD = {"ids": [uuid_of(1 + 4 * n) for n in range(1, 9)], "epochs": [1] * 8}
CASES = (
    Case("services.common.schema:_SCHEMA", {}),
    Case("services.common.ledger:_GET", {}, rows=0),
    Case("services.common.ledger:_INSERT", {"code": "USD", "digits": 2}),
    cleanup("services.kernel.db.cleaner:ENDED_SAGAS"),
    cleanup("services.kernel.db.cleaner:OLD_BARRIERS"),
    cleanup("services.kernel.db.cleaner:OLD_KEYS"),
    cleanup("services.kernel.db.cleaner:OLD_KEYS", PROFILE),
    cleanup(f"{OF_COMMERCE}cleanups[0]", rows=DUE * KEYS_OF_USER),
    cleanup(f"{OF_PROFILE}cleanups[0]", PROFILE, rows=DUE * KEYS_OF_USER),
    cleanup(f"{OF_COMMERCE}cleanups[1]"),
    cleanup("services.commerce.store.orders:OLD_FAILED"),
    cleanup(f"{OF_PROFILE}cleanups[1]", PROFILE),
    cleanup("services.profile.store.transfers:OLD_TOMBSTONES", PROFILE),
    cleanup("services.auth.store.sessions:EXPIRED", AUTH),
    cleanup("services.auth.store.credentials:OLD_FAILURES", AUTH),
    cleanup("services.auth.store.api_keys:OLD", AUTH),
    cleanup("services.auth.store.codes:OLD", AUTH),
    cleanup("services.auth.store.code_limits:OLD", AUTH),
    cleanup("services.auth.store.places:OLD_KNOWN", AUTH),
    cleanup("services.auth.store.places:OLD_OF_PLACES", AUTH),
    cleanup("services.auth.store.places:OLD_OF_ACCOUNTS", AUTH),
    Case("services.auth.store.places:_STANDING", PAIR, database=AUTH),
    Case("services.auth.store.places:_IS_KNOWN", PAIR, database=AUTH),
    Case("services.auth.store.places:_FAIL", PAIR, database=AUTH),
    Case("services.auth.store.places:_CLEAR_PLACES", ACCOUNT, database=AUTH),
    Case("services.auth.store.code_limits:_CLEAR", ACCOUNT, database=AUTH),
    Case("services.auth.store.places:_TODAYS_FAILURES", ACCOUNT, database=AUTH),
    Case("services.auth.store.places:_COUNTERS", ACCOUNT | {"limit": 20}, rows=0, database=AUTH),
    Case("services.auth.store.invitations:_LIST", INVITATIONS, rows=0, database=AUTH),
    Case("services.auth.store.invitations:_END_OF_EMAIL", {"email": "5@x"}, 0, AUTH),
    Case("services.auth.store.outbox:_QUEUE", {"after": UUID(int=0), "limit": 100}, 100, AUTH),
    Case("services.auth.store.outbox:_NEWEST", {"limit": 100}, rows=100, database=AUTH),
    Case("services.commerce.store.stock:_RESERVED", {"product_ids": [uuid_of(1)]}, rows=0),
    cleanup("services.kernel.db.cleaner:OLD_AUDIT", AUTH),
    cleanup("services.auth.store.outbox:EXPIRED", AUTH),
    cleanup("services.auth.store.order_mails:OLD_MARKS", AUTH),
    cleanup("services.auth.store.webhook_deliveries:OLD", AUTH),
    Case(
        "services.auth.store.webhook_deliveries:_LIST",
        {"webhook_id": uuid_of(1), "before": 2**62, "limit": 20},
        rows=20,
        database=AUTH,
    ),
    Case("services.kernel.sagas.metrics:UNFINISHED", {}, rows=2, counts=COUNTED_MAX),
    Case("services.auth.store.outbox:STANDING", {}, database=AUTH, counts=COUNTED_MAX),
    Case("services.auth.store.outbox:_CLAIM", {"lease": SECOND, "limit": 8}, 8, AUTH),
    Case(f"{USERS}_LOCK", USER),
    Case(f"{USERS}_MAKE", USER, label="of a user who is there"),
    Case(f"{USERS}_MAKE", {"user_id": new_id()}),
    Case(f"{USERS}_DELETE", USER),
    Case(f"{OF_COMMERCE}_find", USER),
    Case(f"{OF_PROFILE}_find", USER, database=PROFILE),
    Case(f"{OF_COMMERCE}_entomb", {"user_id": new_id()}),
    Case(f"{OF_PROFILE}_entomb", {"user_id": new_id()}, database=PROFILE),
    *forgettings(),
    Case(f"{BARRIER}_CLAIM", NO_BRANCH | {"not_after": NOW}),
    Case(f"{BARRIER}_FIND", BRANCH),
    Case(f"{BARRIER}_STORE", BRANCH | {"state": "DONE", "reply": JSON}),
    Case(f"{BARRIER}_CANCEL", NO_BRANCH),
    Case(f"{BARRIER}_CANCEL", BRANCH, label="of a branch that was done"),
    Case(f"{KEYS}_CLAIM", NEW_KEY | CLAIM_KEY, label="of a new key"),
    Case(f"{KEYS}_CLAIM", EXPIRED_KEY | CLAIM_KEY, label="of an expired key"),
    Case(f"{KEYS}_CLAIM", KEY | CLAIM_KEY, label="of a key in use"),
    Case(f"{KEYS}_FIND", KEY_IN_USE),
    Case(f"{KEYS}_GIVE_BACK", KEY_IN_USE),
    Case(f"{KEYS}_FIND_LOCKED", KEY_IN_USE),
    Case(f"{KEYS}_STORE", KEY_IN_USE | {"reply": JSON, "error": None}),
    Case(f"{KEYS}_FREE", {"saga_id": uuid_of(6)}),
    Case(
        f"{STORE}_INSERT",
        {
            "saga_id": new_id(),
            "kind": "new",
            "version": 1,
            "payload": JSON,
            "deadline": SECOND,
            "traceparent": None,
        }
        | USER
        | LEASE,
    ),
    Case(f"{STORE}_REMOVE", RUNNING),
    Case(f"{STORE}_CONFIRM", RUNNING),
    Case(f"{STORE}_DONE", RUNNING | {"epoch": 1, "result": JSON}),
    Case(f"{STORE}_COMPENSATING", RUNNING | {"epoch": 1, "error": JSON, "lease": SECOND}),
    Case(f"{STORE}_ABORTED", PARKED | {"epoch": 1}),
    Case(f"{STORE}_GET", RUNNING),
    Case(f"{LEASES}_CLAIM", CLAIM | {"newest": 8}, 8, label="of the newest"),
    Case(f"{LEASES}_CLAIM", CLAIM | {"oldest": 8}, 8, label="of the oldest"),
    Case(f"{LEASES}_CLAIM", CLAIM | {"tried": 8}, 8, label="of those that failed"),
    Case(f"{LEASES}_CLAIM", CLAIM | {"parked": 2}, 2, label="of parked ones"),
    Case(f"{LEASES}_CLAIM", CLAIM | {"newest": 8, "oldest": 8, "tried": 6, "parked": 2}, 24),
    Case(f"{LEASES}_RENEW", HELD | LEASE, 8),
    Case(f"{LEASES}_RELEASE", HELD | {"owner": "one"}, 8),
    Case(f"{LEASES}_RELEASE_LOCKED", HELD | {"owner": "one"}, 8),
    Case(f"{LEASES}_ENSURE", RUNNING | LEASE | {"epoch": 1}),
    Case(
        f"{LEASES}_POSTPONE",
        RUNNING | {"epoch": 1, "pause": SECOND, "last_error": "Lost", "is_parked": False},
    ),
    Case(f"{LISTING}_GET", RUNNING),
    Case(f"{LISTING}_RETRY", PARKED),
    Case(f"{LISTING}_LIST", PAGE, 100),
    Case(f"{LISTING}_LIST", PAGE | {"any_parked": False}, DUE, label="of parked ones"),
    Case(f"{LISTING}_LIST", PAGE | {"state": "COMPENSATING"}, DUE, label="that compensate"),
    Case(f"{LISTING}_LIST", PAGE | {"state": "ABORTED"}, DUE, label="that were aborted"),
    Case(f"{LISTING}_LIST", PAGE | {"kind": "rare"}, DUE, label="of a rare kind"),
    Case(f"{ORDERS}_LIST", ORDER_PAGE, 100),
    Case(f"{ORDERS}_LIST", ORDER_PAGE | {"start": NOW}, 0, label="since now"),
    Case(f"{ORDERS}_OF_USER_LIST", ORDER_PAGE | LATER_USER, KEYS_OF_USER),
    Case(f"{ORDERS}_OF_STATES_LIST", ORDER_PAGE | STATES, 100, counts=100),
    Case(
        f"{ORDERS}_OF_STATES_LIST",
        ORDER_PAGE | {"states": ["PENDING", "CANCELLING"]},
        0,
        label="that no order has",
    ),
    Case(
        f"{ORDERS}_OF_USER_AND_STATES_LIST",
        ORDER_PAGE | STATES | LATER_USER,
        KEYS_OF_USER,
        counts=2 * KEYS_OF_USER,
    ),
    Case(f"{ORDERS}_OF_PRODUCT_LIST", ORDERS_OF_PRODUCT | STATES, 100),
    # The place where the walk ended.
    Case(
        f"{ORDERS}_OF_PRODUCT_LIST",
        ORDERS_OF_PRODUCT | {"states": ["PENDING"]},
        1,
        label="that no order has",
        counts=2 * WALKED_MAX,
    ),
    Case(f"{SALES}[(False, None)]", OF_LARGE, 100, counts=25),
    Case(f"{SALES}[(False, None)]", OF_LARGE | {"since_order": new_id()}, 0, label="since now"),
    Case(f"{SALES}[(False, None)]", OF_SMALL, 100, label="of a small seller"),
    Case(f"{SALES}[(False, False)]", OF_LARGE, 80, counts=20),
    Case(f"{SALES}[(False, False)]", OF_SMALL, 20, label="of a small seller"),
    Case(f"{SALES}[(False, True)]", OF_LARGE, 100, counts=25),
    Case(f"{SALES}[(False, True)]", OF_SMALL, 100, label="of a small seller"),
    Case(f"{SALES}[(True, None)]", OF_PRODUCT, 100, counts=25),
    # The place where the walk ended.
    Case(f"{SALES}[(True, False)]", OF_PRODUCT, 1, counts=2 * WALKED_MAX),
    Case(f"{SALES}[(True, True)]", OF_PRODUCT, 100, counts=25),
    Case(
        f"{SALES}[(True, None)]",
        OF_PRODUCT | {"seller_id": uuid_of(full.SMALL)},
        0,
        label="of another seller",
    ),
    Case(f"{AUDIT}_INSERT", ENTRY, database=AUTH),
    Case(f"{AUDIT}_INSERT_LATER", LATER_ENTRY, database=AUTH),
    Case(f"{AUDIT}_LIST", LINES, 100, AUTH),
    Case(f"{AUDIT}_LIST", LINES | {"event": "rare"}, 100, AUTH, label="of a rare event"),
    Case(f"{AUDIT}_LIST", LINES | {"actor": "operator"}, 100, AUTH, label="of an actor"),
    Case(f"{AUDIT}_LIST", LINES | LATER_USER, KEYS_OF_USER, AUTH, label="of a user"),
    Case(f"{AUDIT}_LIST", LINES | {"since": NOW}, 0, AUTH, label="since now"),
    *lists_of_users(),
    Case("services.kernel.db.standby:LOG_END", {}),
    cleanup(f"{EVENTS}OLD_EVENTS"),
    Case(f"{EVENTS}_INSERT", EVENT),
    Case(f"{EVENTS}_IS_WAITING", {}),
    Case(f"{EVENTS}_LOCK_HEAD", {}),
    Case(f"{EVENTS}_HEAD", {}),
    Case(f"{EVENTS}_NUMBER", {"head": 300_000, "limit": 500}, DUE),
    Case(f"{EVENTS}_ADVANCE", {"count": DUE}),
    Case(f"{EVENTS}_STANDING", {"sequence": 100_000}),
    Case(f"{EVENTS}_PAGE", LISTED, 100),
    Case(f"{EVENTS}_PAGE", LISTED | {"types": ["Rare"]}, 2, label="of a rare type", counts=2000),
    Case(f"{EVENTS}_PAGE_OF_SUBJECT", LISTED_OF, KEYS_OF_USER),
    Case(
        f"{EVENTS}_PAGE_OF_SUBJECT",
        LISTED_OF | {"types": ["Rare"]},
        1,
        label="of a rare type",
        counts=KEYS_OF_USER,
    ),
    Case("services.kernel.events.sequencer:BACKLOG", {}, counts=COUNTED_MAX),
)


@pytest.fixture(scope="module")
def connections(databases: Databases) -> Iterator[Connections]:
    """Connections to the databases of all services, whose tables are full."""
    with ExitStack() as stack:
        urls = {owner: databases.fresh(stack, owner) for owner in (COMMERCE, AUTH, PROFILE)}
        with ThreadPoolExecutor() as pool:
            list(pool.map(fill, urls.values(), urls))
        yield {
            owner: stack.enter_context(psycopg.connect(url, autocommit=True))
            for owner, url in urls.items()
        }


def test_every_statement_of_the_kernel_and_every_clean_up_has_a_case() -> None:
    wanted = {
        name
        for name in STATEMENTS
        if name.startswith(("services.kernel.", "services.common."))
        or "FORGETTING." in name
        or name.endswith(".statement")
    }
    assert wanted - {case.statement for case in CASES} == set()


@pytest.mark.parametrize(
    ("case", "mode"), [(case, mode) for case in CASES for mode in modes(case)], ids=str
)
def test_a_statement_reads_the_pages_of_its_rows(
    connections: Connections, case: Case, mode: str
) -> None:
    statement = STATEMENTS[case.statement]
    plan = run(connections[case.database], statement, case.parameters, mode=mode)
    assert plan.rows == case.rows, plan.text
    assert plan.pages <= plan.pages_max + 2 * case.counts, plan.text


def test_a_statement_that_reads_a_whole_table_is_found(connections: Connections) -> None:
    chosen = select(SAGAS.c.id).where(SAGAS.c.next_run_at < func.saga_now())
    planted = delete(SAGAS).where(SAGAS.c.id.in_(chosen.limit(bindparam("limit"))))
    plan = run(
        connections[COMMERCE],
        Statement(planted, Limit, NoRow),
        {"limit": 1000},
        mode="force_custom_plan",
    )
    assert plan.rows == DUE * len(SagaQueue)
    assert plan.pages > 5 * plan.pages_max
