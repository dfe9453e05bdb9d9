"""The kernel's own tables, which a service copies into its model.

METADATA = new_metadata()
SAGAS = tables.SAGAS.to_metadata(METADATA)
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    DateTime,
    Double,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Uuid,
    cast,
    event,
    extract,
    func,
    literal_column,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

# The one clock of leases and deadlines: the database's. Each call reads it anew, because
# now() is the start of the transaction. A session that tests time can move it.
SAGA_NOW = """
CREATE OR REPLACE FUNCTION saga_now() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
  SELECT clock_timestamp()
    + coalesce(nullif(current_setting('lockstep.clock_offset', true), ''), '0')::interval
$$
"""


def ddl(sql: str) -> DDL:
    """Return SQL that is carried out when a model is created, for `event.listen`."""
    return DDL(sql)  # type: ignore[no-untyped-call] # SQLAlchemy leaves it untyped


def new_metadata() -> MetaData:
    """Make the metadata of a service, with one convention of names and the clock."""
    metadata = MetaData(naming_convention=NAMES)
    clock = ddl(SAGA_NOW.replace("%", "%%"))
    event.listen(metadata, "before_create", clock)
    return metadata


def timestamp(name: str, *, nullable: bool = False, default: bool = False) -> Column[object]:
    """Return a column for a moment; its default is the time of insertion."""
    return Column(
        name,
        DateTime(timezone=True),
        nullable=nullable,
        server_default=func.clock_timestamp() if default else None,
    )


def clock_once(*, ago: str | None = None) -> ColumnElement[datetime]:
    """Return the clock, read once before any row is, so that an index can choose the rows.

    `saga_now()` in its place would be read for each row, and so no index could serve. Choose
    rows by this; write `saga_now()`, and compare with it after a lock.

    Args:
        ago: An interval before the time of the clock, such as "7 days".
    """
    now: ColumnElement[datetime] = func.saga_now()
    if ago is not None:
        now -= literal_column(f"interval '{ago}'")
    return select(now).scalar_subquery()


def seconds_since(moment: ColumnElement[Any]) -> ColumnElement[float]:
    """Return the seconds from a moment to the time of the clock; 0 where there is no moment."""
    age = extract("epoch", clock_once() - moment)
    return cast(func.coalesce(age, literal_column("0")), Double)


_KERNEL = MetaData(naming_convention=NAMES)

ENDED: Final[ColumnElement[bool]] = literal_column("state IN ('DONE', 'ABORTED')", Boolean)
UNFINISHED: Final[ColumnElement[bool]] = literal_column(
    "state IN ('RUNNING', 'COMPENSATING')", Boolean
)
# A saga that nobody has taken up since it began, one that was, and one that is parked.
SAGA_QUEUE: Final[ColumnElement[int]] = literal_column(
    "(CASE WHEN parked_at IS NOT NULL THEN 2 WHEN attempts > 1 THEN 1 ELSE 0 END)", Integer
)

SAGAS = Table(
    "sagas",
    _KERNEL,
    Column("id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("payload", JSONB, nullable=False),
    Column("result", JSONB),
    Column("error", JSONB),
    Column("user_id", Uuid),
    Column("attempts", Integer, nullable=False, server_default="1"),
    Column("last_error", Text),
    Column("lease_owner", Text),
    Column("lease_epoch", Integer, nullable=False, server_default="1"),
    timestamp("next_run_at"),
    timestamp("deadline_at", nullable=True),
    timestamp("parked_at", nullable=True),
    timestamp("create_time", default=True),
    timestamp("update_time", default=True),
    # Of the kind: what the JSON of the row looks like.
    Column("version", Integer, nullable=False, server_default="1"),
    # Of the request that began it (W3C Trace Context).
    Column("traceparent", Text),
    CheckConstraint("state IN ('RUNNING', 'COMPENSATING', 'DONE', 'ABORTED')", name="state"),
    # For what looks at all queues, and for processes of before, which know no queues.
    Index("ix_sagas_due", "next_run_at", postgresql_where=UNFINISHED),
    Index("ix_sagas_queue", SAGA_QUEUE, "next_run_at", "id", postgresql_where=UNFINISHED),
    Index("ix_sagas_user_id", "user_id"),
    Index("ix_sagas_create_time", "create_time", "id"),
    Index("ix_sagas_ended", "update_time", postgresql_where=ENDED),
    # Each filter of a list of sagas has an index in the order of the list.
    Index("ix_sagas_kind", "kind", "create_time", "id"),
    Index("ix_sagas_state", "state", "create_time", "id"),
    Index("ix_sagas_parked", "create_time", "id", postgresql_where=text("parked_at IS NOT NULL")),
)

# Beside Alembic's own table. A migration with which older code cannot work raises it: code that
# does not know this revision is not ready.
LEAST_CODE = Table("least_code", _KERNEL, Column("revision", Text, primary_key=True))

SAGA_BARRIERS = Table(
    "saga_barriers",
    _KERNEL,
    Column("saga_id", Uuid, primary_key=True),
    Column("branch", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("reply", JSONB),
    timestamp("not_after", nullable=True),
    timestamp("create_time", default=True),
    CheckConstraint("state IN ('DONE', 'REJECTED', 'CANCELLED')", name="state"),
    Index("ix_saga_barriers_create_time", "create_time"),
    Index("ix_saga_barriers_end", text("coalesce(not_after, create_time)")),
)

IDEMPOTENCY = Table(
    "idempotency",
    _KERNEL,
    Column("scope", Text, primary_key=True),
    Column("method", Text, primary_key=True),
    Column("key_hmac", LargeBinary, primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("saga_id", Uuid),
    Column("reply", JSONB),
    Column("error", JSONB),
    timestamp("expire_time"),
    Index("ix_idempotency_saga_id", "saga_id"),
    Index("ix_idempotency_expire_time", "expire_time"),
)

# Who did what to whom, and from where. The user is the one to whom it happened.
AUDIT_LOG = Table(
    "audit_log",
    _KERNEL,
    Column("id", Uuid, primary_key=True),
    Column("event", Text, nullable=False),
    Column("user_id", Uuid),
    Column("account", Text),
    Column("actor", Text),
    Column("address", Text),
    Column("detail", JSONB, nullable=False),
    timestamp("create_time", default=True),
    # Each filter of the list has an index in the order of the list.
    Index("ix_audit_log_create_time", "create_time", "id"),
    Index("ix_audit_log_event", "event", "create_time", "id"),
    Index("ix_audit_log_user", "user_id", "create_time", "id"),
    Index("ix_audit_log_actor", "actor", "create_time", "id"),
)

# The log only grows. Erasure takes addresses away, and the clean-up what is a year old.
AUDIT_LOG_STAYS = """
CREATE FUNCTION audit_log_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    IF OLD.create_time < pg_catalog.clock_timestamp() - interval '1 year' THEN
      RETURN OLD;
    END IF;
  ELSIF TG_OP = 'UPDATE' THEN
    OLD.address := NULL;
    IF NEW *= OLD THEN
      RETURN NEW;
    END IF;
  END IF;
  RAISE EXCEPTION 'the audit log is never changed' USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER audit_log_stays BEFORE UPDATE OR DELETE ON audit_log
  FOR EACH ROW EXECUTE FUNCTION audit_log_stays();
CREATE TRIGGER audit_log_is_kept BEFORE TRUNCATE ON audit_log
  FOR EACH STATEMENT EXECUTE FUNCTION audit_log_stays()
"""


def audit_log(metadata: MetaData) -> Table:
    """Take the audit log over into the model of a service, with its triggers."""
    table = AUDIT_LOG.to_metadata(metadata)
    event.listen(table, "after_create", ddl(AUDIT_LOG_STAYS))
    return table


UNSEQUENCED: Final[ColumnElement[bool]] = literal_column("sequence IS NULL", Boolean)
SEQUENCED: Final[ColumnElement[bool]] = literal_column("sequence IS NOT NULL", Boolean)

# What has happened, for other services. A change writes its row, and the sequencer gives the row
# its number once the change is committed (ADR 11).
EVENTS = Table(
    "events",
    _KERNEL,
    Column("id", Uuid, primary_key=True),
    # The order of insertion, which is that of a subject's changes: they lock its row.
    Column("place", BigInteger, Identity(always=True), nullable=False),
    Column("sequence", BigInteger),
    Column("type", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("saga_id", Uuid),
    Column("trace_id", Text),
    Column("payload", LargeBinary, nullable=False),
    timestamp("create_time", default=True),
    Index("ix_events_waiting", "place", postgresql_where=UNSEQUENCED),
    Index("ix_events_sequence", "sequence", unique=True, postgresql_where=SEQUENCED),
    Index("ix_events_subject", "subject", "sequence", postgresql_where=SEQUENCED),
)

# One row: the last number that the sequencer has given, and the lock of the sequencers.
EVENT_HEAD = Table(
    "event_head",
    _KERNEL,
    Column("single", Boolean, primary_key=True, server_default="true"),
    Column("sequence", BigInteger, nullable=False, server_default="0"),
    CheckConstraint("single", name="single"),
)
EVENT_HEAD_ROW = "INSERT INTO event_head DEFAULT VALUES"


def events(metadata: MetaData) -> Table:
    """Take the tables of events over into the model of a service, with the first number."""
    head = EVENT_HEAD.to_metadata(metadata)
    event.listen(head, "after_create", ddl(EVENT_HEAD_ROW))
    return EVENTS.to_metadata(metadata)
