"""The tables of the services with 200,000 rows each, few of them due."""

from __future__ import annotations

from uuid import UUID

import psycopg

ROWS = 200_000
DUE = 20
# Of so many rows one is due, so that no two are near each other.
EACH = ROWS // DUE
KEYS_OF_USER = 10
IMPORTED = ROWS // 10
LARGE, SMALL = 500_001, 500_002  # sellers
ADMIN, CUSTOMER, CREATOR, STUDENT = 1, 2, 3, 4  # the numbers of roles


def uuid_of(number: int) -> UUID:
    """Return the id of a row, in the order of the rows as those of version 7 are."""
    return UUID(int=number)


UUID_OF = """
CREATE FUNCTION uuid_of(number integer) RETURNS uuid LANGUAGE sql IMMUTABLE
RETURN lpad(to_hex(number), 32, '0')::uuid
"""
# All but those of constraints. An index is made faster when its rows are there.
INDEXES = """
SELECT indexname, indexdef FROM pg_indexes
WHERE schemaname = 'public' AND indexname NOT IN (SELECT conname FROM pg_constraint)
"""
USER = f"uuid_of(i / {KEYS_OF_USER})"
# Between 0.1 and 0.9, and in no order: no index has the order of its table.
SPREAD = f"(0.1 + 0.8 * (i * 7919 % {ROWS}) / {ROWS})"


def moment(*, due: str, others: str) -> str:
    """Return a moment: one for the rows that are due, and for each other a part of an interval."""
    other = f"{SPREAD} * interval '{others}'"
    return f"now() + CASE i % {EACH} WHEN 0 THEN interval '{due}' ELSE {other} END"


def insert(table: str, **columns: str) -> str:
    """Return the statement that fills a table: the expression of each column, with the row's i."""
    return (
        f"INSERT INTO {table} ({', '.join(columns)})"
        f" SELECT {', '.join(columns.values())} FROM generate_series(1, {ROWS}) AS i"
    )


# Of four sagas one is postponed. Of the EACH sagas with one that is due for removal, one of each
# queue is due to run, and one was aborted.
SAGAS = insert(
    "sagas",
    id="uuid_of(i)",
    kind=f"CASE i % {EACH} WHEN 7 THEN 'rare' ELSE 'checkout' END",
    state=f"""CASE WHEN i % 4 = 1 THEN 'RUNNING' ELSE CASE i % {EACH} WHEN 2 THEN 'COMPENSATING'
      WHEN 3 THEN 'ABORTED' ELSE 'DONE' END END""",
    payload="""'{"order_id": "01234567", "lines": []}'""",
    user_id=USER,
    attempts="CASE i % 8 WHEN 5 THEN 2 ELSE 1 END",
    lease_owner="'one'",
    next_run_at=f"""now() + CASE WHEN i % {EACH} IN (1, 2, 5) THEN interval '-1 minute'
      ELSE {SPREAD} * interval '1 hour' END""",
    parked_at=f"CASE i % {EACH} WHEN 2 THEN now() END",
    create_time=f"now() - {SPREAD} * interval '7 days'",
    update_time=moment(due="-8 days", others="-7 days"),
)
BARRIERS = insert(
    "saga_barriers",
    saga_id="uuid_of(i)",
    branch="'DebitWallet'",
    state="'DONE'",
    reply="""'{"amount": 5}'""",
    not_after=f"CASE WHEN i % 3 > 0 THEN {moment(due='-8 days', others='-7 days')} END",
    create_time=moment(due="-9 days", others="-7 days"),
)
KEYS = insert(
    "idempotency",
    scope=f"'user:' || {USER}",
    method="'PlaceOrder'",
    key_hmac="int8send(i)",
    fingerprint="int8send(i)",
    saga_id="CASE i % 2 WHEN 0 THEN uuid_of(i) END",
    reply=f"jsonb_build_object('user_id', {USER})",
    expire_time=moment(due="-1 minute", others="24 hours"),
)
# The users 1 to DUE were forgotten today. All their keys came late.
FORGOTTEN_USERS = insert(
    "forgotten_users",
    user_id="uuid_of(i)",
    create_time=f"""CASE WHEN i <= {DUE} THEN now() - interval '1 minute'
      ELSE {moment(due="-7 days", others="-5 days")} - interval '1 day' END""",
)
USERS = insert("users", user_id="uuid_of(i)")
# The oldest tenth of the accounts was imported: its e-mails begin alike, and differ from the rest.
ACCOUNTS = insert(
    "users",
    id="uuid_of(i)",
    email=f"CASE WHEN i <= {IMPORTED} THEN 'old' ELSE 'user' END || i || '@example.com'",
    email_as_typed="'User@example.com'",
    password_hash="'hash'",
    full_name="'Ada Lovelace'",
    # The students are those who were imported.
    role_id=f"""uuid_of(CASE WHEN i <= {IMPORTED} THEN {STUDENT} WHEN i % 1000 = 0 THEN {ADMIN}
      WHEN i % 2 = 0 THEN {CUSTOMER} ELSE {CREATOR} END)""",
    status="CASE WHEN i % 1000 = 1 THEN 'DISABLED' ELSE 'ACTIVE' END",
    saga_id="uuid_of(i)",
    create_time=f"now() - ({ROWS} - i) * interval '1 minute'",
)
ROLES = f"""INSERT INTO roles (id, name) VALUES
  (uuid_of({ADMIN}), 'admin'), (uuid_of({CUSTOMER}), 'customer'),
  (uuid_of({CREATOR}), 'creator'), (uuid_of({STUDENT}), 'student')"""
ORDERS = insert(
    "orders",
    id="uuid_of(i)",
    user_id=USER,
    state="CASE i % 10 WHEN 0 THEN 'FAILED' ELSE 'PAID' END",
    failure_reason="CASE i % 10 WHEN 0 THEN 'INSUFFICIENT_FUNDS' END",
    total="5",
    debit_id="uuid_of(i)",
    number="lpad(i::text, 8, '0')",  # of random ones two may be the same
    create_time=moment(due="-31 days", others="-30 days"),
    update_time=moment(due="-31 days", others="-30 days"),
)
# One seller has sold a half of all lines, another one each 1,000th. A few lines are left to ship.
ORDER_ITEMS = insert(
    "order_items",
    order_id="uuid_of(i)",
    position="0",
    product_id="uuid_of(1 + i % 2)",
    name="'Thing'",
    quantity="1",
    unit_price="5",
    seller_id=f"""CASE WHEN i % 1000 = 7 THEN uuid_of({SMALL})
      WHEN i % 2 = 0 THEN uuid_of({LARGE}) END""",
    shipment_id=f"CASE WHEN i % {EACH} > 8 THEN uuid_of(i) END",
    commission_bps="100",
)
# Each product has one seller.
SOLD_PRODUCTS = f"""INSERT INTO products
  (id, category_id, seller_id, name, description, price, stock, image_url)
  SELECT uuid_of(i), uuid_of(1), CASE i WHEN 1 THEN uuid_of({LARGE}) END, 'Thing', '', 5, 5, ''
    FROM generate_series(1, 2) AS i"""
TRANSFERS = insert(
    "transfers",
    id="uuid_of(i)",
    kind="'debit'",
    state="CASE i % 10 WHEN 0 THEN 'voided' ELSE 'posted' END",
    debit_account_id="CASE WHEN i % 10 > 0 THEN uuid_of(1) END",
    credit_account_id="CASE WHEN i % 10 > 0 THEN uuid_of(2) END",
    amount="CASE WHEN i % 10 > 0 THEN 5 ELSE 0 END",
    reference="'order'",
    fingerprint="md5(i::text)",
    create_time=moment(due="-8 days", others="-7 days"),
)
SESSIONS = insert(
    "sessions",
    id="uuid_of(i)",
    user_id=USER,
    generation="0",
    refresh_hash="int8send(i)",
    expire_time=moment(due="-1 minute", others="30 days"),
)
API_KEYS = insert(
    "api_keys",
    id="uuid_of(i)",
    user_id=USER,
    name="'Reports'",
    secret_hash="int8send(i)",
    scopes="'{}'",
    expire_time=moment(due="-31 days", others="-30 days"),
)
CODES = insert(
    "codes",
    id="uuid_of(i)",
    purpose="'reset'",
    email="i || '@example.com'",
    code_hmac="int8send(i)",
    expire_time=moment(due="-2 days", others="-1 day"),
)
CODE_LIMITS = insert(
    "code_limits",
    key_hmac="int8send(i)",
    account_hmac="int8send(i)",
    send_times="array[now()]",
    failure_times="'{}'",
    update_time=moment(due="-3 days", others="-2 days"),
)
KNOWN_PLACES = insert(
    "known_places",
    account_hmac="int8send(i)",
    place_hmac="int8send(i)",
    seen_time=moment(due="-91 days", others="-90 days"),
)
PLACE_FAILURES = insert(
    "place_failures",
    account_hmac="int8send(i)",
    place_hmac="int8send(i)",
    failures="1",
    wait_until="now()",
    update_time=moment(due="-2 days", others="-1 day"),
)
ACCOUNT_FAILURES = insert(
    "account_failures",
    account_hmac="int8send(i)",
    failures="1",
    next_try_time="now()",
    begin_time=moment(due="-2 days", others="-1 day"),
)
LOGIN_FAILURES = insert(
    "login_failures",
    account_hmac="int8send(i)",
    failures="1",
    wait_until="now()",
    update_time=moment(due="-2 days", others="-1 day"),
)
AUDIT_LOG = insert(
    "audit_log",
    id="uuid_of(i)",
    event="CASE WHEN i % 1000 = 0 THEN 'rare' ELSE 'login' END",
    user_id=USER,
    actor="CASE WHEN i % 1000 = 1 THEN 'operator' ELSE uuid_of(i)::text END",
    address="'192.0.2.1'",
    detail="""'{"session": 1}'""",
    create_time=moment(due="-2 years", others="-1 year"),
)
OUTBOX = insert(
    "outbox",
    id="uuid_of(i)",
    sealed="convert_to(repeat('sealed', 20), 'UTF8')",
    next_try_time=f"""now() + CASE i % {EACH} WHEN 1 THEN interval '-1 minute'
      ELSE {SPREAD} * interval '1 hour' END""",
    expire_time=moment(due="-1 minute", others="1 day"),
)
ORDER_MAILS = insert(
    "order_mails",
    event_id="uuid_of(i)",
    create_time=moment(due="-9 days", others="-1 day"),
)
WEBHOOK_DELIVERIES = insert(
    "webhook_deliveries",
    webhook_id="uuid_of(1)",
    event_id="uuid_of(i)",
    type="'Usual'",
    subject="'users/' || i",
    body="repeat('body', 20)",
    state="CASE i % 1000 WHEN 0 THEN 'WAITING' ELSE 'DELIVERED' END",
    next_attempt_time="now() - interval '1 minute'",
    create_time=moment(due="-15 days", others="-14 days"),
)
# The oldest are due for removal, and the newest have no number yet.
EVENTS = insert(
    "events",
    id="uuid_of(i)",
    sequence=f"CASE WHEN i <= {ROWS - DUE} THEN i END",
    type="CASE WHEN i % 1000 = 0 THEN 'Rare' ELSE 'Usual' END",
    subject=f"'users/' || {USER}",
    payload="convert_to(repeat('id', 20), 'UTF8')",
    create_time=f"now() - CASE WHEN i <= {DUE} THEN interval '8 days' ELSE interval '1 hour' END",
)
TABLES = {
    "auth": (
        ROLES,
        ACCOUNTS,
        SESSIONS,
        API_KEYS,
        CODES,
        CODE_LIMITS,
        KNOWN_PLACES,
        PLACE_FAILURES,
        ACCOUNT_FAILURES,
        LOGIN_FAILURES,
        AUDIT_LOG,
        OUTBOX,
        ORDER_MAILS,
        WEBHOOK_DELIVERIES,
    ),
    "profile": (KEYS, FORGOTTEN_USERS, TRANSFERS),
    "commerce": (
        SAGAS,
        BARRIERS,
        KEYS,
        FORGOTTEN_USERS,
        USERS,
        ORDERS,
        ORDER_ITEMS,
        SOLD_PRODUCTS,
        EVENTS,
    ),
}


def fill(url: str, service: str) -> None:
    """Fill the tables of a service, which must be empty."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(UUID_OF)
        # Foreign keys are of no interest here, and cost more than the rows.
        connection.execute("SET session_replication_role = replica")
        indexes = connection.execute(INDEXES).fetchall()
        for name, _ in indexes:
            connection.execute(f"DROP INDEX {name}".encode())
        for statement in TABLES[service]:
            connection.execute(statement.encode())
        for _, definition in indexes:
            connection.execute(definition.encode())
        connection.execute("VACUUM ANALYZE")
