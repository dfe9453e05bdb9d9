"""Auth's tables."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from services.kernel.db import tables
from services.kernel.db.tables import new_metadata, timestamp

METADATA = new_metadata()
SAGAS = tables.SAGAS.to_metadata(METADATA)
IDEMPOTENCY = tables.IDEMPOTENCY.to_metadata(METADATA)
LEAST_CODE = tables.LEAST_CODE.to_metadata(METADATA)

ROLES = Table(
    "roles",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    timestamp("create_time", default=True),
    UniqueConstraint("name"),
)

USERS = Table(
    "users",
    METADATA,
    Column("id", Uuid, primary_key=True),
    # In canonical form, which is unique. The form that was typed is for display.
    Column("email", Text, nullable=False),
    Column("email_as_typed", Text, nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("full_name", Text, nullable=False),
    # Of the mails that the user gets; NULL when no client has named one.
    Column("language", Text),
    Column("role_id", Uuid, ForeignKey(ROLES.c.id), nullable=False),
    Column("status", Text, nullable=False),
    Column("status_version", BigInteger, nullable=False, server_default="0"),
    # Grows whenever all that the account's credentials have opened must end.
    Column("credential_version", BigInteger, nullable=False, server_default="0"),
    Column("saga_id", Uuid, nullable=False),
    timestamp("email_verify_time", nullable=True),
    timestamp("create_time", default=True),
    timestamp("update_time", default=True),
    UniqueConstraint("email"),
    CheckConstraint("status IN ('PENDING', 'ACTIVE', 'DISABLED', 'DELETING')", name="status"),
    Index("ix_users_create_time", "create_time", "id"),
    # Those of filters hold what a list sorts by.
    Index("ix_users_role", "role_id", "status", "create_time", "id"),
    Index("ix_users_status", "status", "create_time", "id"),
    Index("ix_users_email_prefix", "email", postgresql_ops={"email": "text_pattern_ops"}),
)

# A session lives as long as its row. Of its refresh tokens only the seed is stored, hashed
# (SHA-256) in refresh_hash: the tokens of one session have the same seed.
SESSIONS = Table(
    "sessions",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("user_id", Uuid, ForeignKey(USERS.c.id, ondelete="CASCADE"), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("refresh_hash", LargeBinary, nullable=False),
    # In a row, where the session's user repeats the password.
    Column("wrong_passwords", Integer, nullable=False, server_default="0"),
    # The client: its own name, and its IP at the login or the last refresh.
    Column("client_name", Text),
    Column("address", Text),
    Column("has_second_factor", Boolean, nullable=False, server_default="false"),
    timestamp("auth_time", default=True),
    timestamp("last_seen_time", default=True),
    timestamp("rotate_time", default=True),
    timestamp("create_time", default=True),
    timestamp("expire_time"),
    Index("ix_sessions_user_id", "user_id"),
    Index("ix_sessions_expire_time", "expire_time"),
)

# An API key lives as long as its row. Its secret is random, so that a hash of it suffices.
API_KEYS = Table(
    "api_keys",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("user_id", Uuid, ForeignKey(USERS.c.id, ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    # Whether the session that made it had one.
    Column("has_second_factor", Boolean, nullable=False, server_default="false"),
    # The client's IP at the last use.
    Column("address", Text),
    timestamp("last_use_time", nullable=True),
    timestamp("create_time", default=True),
    timestamp("expire_time"),
    Index("ix_api_keys_user_id", "user_id"),
    Index("ix_api_keys_expire_time", "expire_time"),
)

# Where the owners of accounts have been: a right password or a reset came from there. A place
# is a client IP (of IPv6 its site). An e-mail without an account has none.
KNOWN_PLACES = Table(
    "known_places",
    METADATA,
    Column("account_hmac", LargeBinary, primary_key=True),
    Column("place_hmac", LargeBinary, primary_key=True),
    timestamp("seen_time", default=True),
    Index("ix_known_places_seen_time", "seen_time"),
)

# The wrong passwords for each e-mail from each place, with or without an account.
PLACE_FAILURES = Table(
    "place_failures",
    METADATA,
    Column("account_hmac", LargeBinary, primary_key=True),
    Column("place_hmac", LargeBinary, primary_key=True),
    Column("failures", Integer, nullable=False),
    timestamp("wait_until"),
    timestamp("update_time", default=True),
    Index("ix_place_failures_update_time", "update_time"),
)

# The same from all places together, since begin_time; and when the next try from an unknown
# place is due, once there were many.
ACCOUNT_FAILURES = Table(
    "account_failures",
    METADATA,
    Column("account_hmac", LargeBinary, primary_key=True),
    Column("failures", Integer, nullable=False),
    timestamp("next_try_time"),
    timestamp("begin_time", default=True),
    Index("ix_account_failures_begin_time", "begin_time"),
)

# The counters that processes of before places keep, for a whole account.
LOGIN_FAILURES = Table(
    "login_failures",
    METADATA,
    Column("account_hmac", LargeBinary, primary_key=True),
    Column("failures", Integer, nullable=False),
    timestamp("wait_until"),
    timestamp("update_time", default=True),
    Index("ix_login_failures_update_time", "update_time"),
)

# The flows of mailed codes. Where code_hmac is NULL, no code is right: such a flow stands
# for an e-mail that gets none. The payload of a sign-up holds the hash of its password. A
# flow of a user is good for one version of the credentials, and perhaps in one session.
CODES = Table(
    "codes",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("purpose", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("user_id", Uuid, ForeignKey(USERS.c.id, ondelete="CASCADE")),
    Column("credential_version", BigInteger, nullable=False, server_default="0"),
    Column("session_id", Uuid, ForeignKey(SESSIONS.c.id, ondelete="CASCADE")),
    Column("place_hmac", LargeBinary),
    Column("code_hmac", LargeBinary),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("payload", JSONB),
    Column("saga_id", Uuid),
    timestamp("spend_time", nullable=True),
    timestamp("create_time", default=True),
    timestamp("expire_time"),
    CheckConstraint(
        "purpose IN ('signup', 'verification', 'reset', 'email_change', 'mfa', 'invitation')",
        name="purpose",
    ),
    Index("ix_codes_email_purpose", "email", "purpose"),
    Index("ix_codes_user_id", "user_id"),
    Index("ix_codes_session_id", "session_id"),
    Index("ix_codes_saga_id", "saga_id"),
    Index("ix_codes_expire_time", "expire_time"),
    Index(
        "ix_codes_invitations",
        "create_time",
        "id",
        postgresql_where=text("purpose = 'invitation'"),
    ),
)

# The seeds of second factors (TOTP), encrypted. One counts from its first code on.
TOTPS = Table(
    "totps",
    METADATA,
    Column("user_id", Uuid, ForeignKey(USERS.c.id, ondelete="CASCADE"), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    # The step of the last code that counted: the next one must be later.
    Column("last_step", BigInteger, nullable=False, server_default="0"),
    timestamp("confirm_time", nullable=True),
    timestamp("create_time", default=True),
)

# The recovery codes that are left, hashed (SHA-256).
RECOVERY_CODES = Table(
    "recovery_codes",
    METADATA,
    Column("user_id", Uuid, ForeignKey(USERS.c.id, ondelete="CASCADE"), primary_key=True),
    Column("code_hash", LargeBinary, primary_key=True),
    timestamp("create_time", default=True),
)

# The times of sent and of wrong codes: for each e-mail and purpose, and with each place.
CODE_LIMITS = Table(
    "code_limits",
    METADATA,
    Column("key_hmac", LargeBinary, primary_key=True),
    Column("account_hmac", LargeBinary),
    Column("send_times", ARRAY(DateTime(timezone=True)), nullable=False),
    Column("failure_times", ARRAY(DateTime(timezone=True)), nullable=False),
    timestamp("update_time", default=True),
    Index("ix_code_limits_update_time", "update_time"),
    Index("ix_code_limits_account_hmac", "account_hmac"),
)

# Mail to be sent. It may hold codes, so it is encrypted: a dump of the table tells nothing.
OUTBOX = Table(
    "outbox",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("last_error", Text),
    timestamp("next_try_time", default=True),
    timestamp("create_time", default=True),
    timestamp("expire_time"),
    Index("ix_outbox_next_try_time", "next_try_time"),
    Index("ix_outbox_expire_time", "expire_time"),
)

# The URLs of others to which events are sent.
WEBHOOKS = Table(
    "webhooks",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("url", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("types", ARRAY(Text), nullable=False),
    # The secrets, encrypted.
    Column("sealed", LargeBinary, nullable=False),
    timestamp("old_secret_until", nullable=True),
    Column("disabled_reason", Text),
    # Since when it gets events, and since when each attempt has failed.
    timestamp("since", default=True),
    timestamp("failing_since", nullable=True),
    Column("failures", Integer, nullable=False, server_default="0"),
    # A lease of the sender, or a pause after a failure.
    timestamp("next_round_time", default=True),
    timestamp("create_time", default=True),
)

# The queue of each webhook, and what became of its events.
WEBHOOK_DELIVERIES = Table(
    "webhook_deliveries",
    METADATA,
    Column("webhook_id", Uuid, ForeignKey(WEBHOOKS.c.id, ondelete="CASCADE"), primary_key=True),
    Column("event_id", Uuid, primary_key=True),
    Column("place", BigInteger, Identity(always=True), nullable=False),
    Column("type", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("state", Text, nullable=False, server_default="WAITING"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("last_status", Integer),
    Column("last_error", Text),
    timestamp("next_attempt_time", default=True),
    timestamp("first_attempt_time", nullable=True),
    timestamp("create_time", default=True),
    timestamp("end_time", nullable=True),
    CheckConstraint("state IN ('WAITING', 'DELIVERED', 'FAILED')", name="state"),
    Index("ix_webhook_deliveries_place", "webhook_id", "place"),
    Index("ix_webhook_deliveries_state", "webhook_id", "state", "place"),
    Index("ix_webhook_deliveries_create_time", "create_time"),
    Index(
        "ix_webhook_deliveries_subject",
        "webhook_id",
        "subject",
        "place",
        postgresql_where=text("state = 'WAITING'"),
    ),
)

# The places to which Auth has read the events of each service, for each purpose.
EVENT_CURSORS = Table(
    "event_cursors",
    METADATA,
    Column("reader", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("cursor", Text, nullable=False),
    timestamp("begin_time", default=True),
)

# The events about orders that were told by mail, so that none is told twice.
ORDER_MAILS = Table(
    "order_mails",
    METADATA,
    Column("event_id", Uuid, primary_key=True),
    timestamp("create_time", default=True),
    Index("ix_order_mails_create_time", "create_time"),
)

AUDIT_LOG = tables.audit_log(METADATA)
EVENTS = tables.events(METADATA)
