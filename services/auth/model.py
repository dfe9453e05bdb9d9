"""Auth's tables, and what it knows of a user."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)

from services.kernel import tables
from services.kernel.tables import new_metadata, timestamp

METADATA = new_metadata()
SAGAS = tables.SAGAS.to_metadata(METADATA)
IDEMPOTENCY = tables.IDEMPOTENCY.to_metadata(METADATA)

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
    # The canonical form is unique; the other is for display.
    Column("email", Text, nullable=False),
    Column("email_as_typed", Text, nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("full_name", Text, nullable=False),
    Column("role_id", Uuid, ForeignKey(ROLES.c.id), nullable=False),
    Column("status", Text, nullable=False),
    Column("status_version", BigInteger, nullable=False, server_default="0"),
    Column("saga_id", Uuid, nullable=False),
    timestamp("email_verify_time", nullable=True),
    timestamp("create_time", default=True),
    timestamp("update_time", default=True),
    UniqueConstraint("email"),
    CheckConstraint("status IN ('PENDING', 'ACTIVE', 'DISABLED', 'DELETING')", name="status"),
    Index("ix_users_create_time", "create_time", "id"),
    Index("ix_users_role_id", "role_id"),
)


class Role(StrEnum):
    """What a user may be; `admin` is never given by a registration."""

    CUSTOMER = "customer"
    CREATOR = "creator"
    BRAND = "brand"
    STUDENT = "student"
    ADMIN = "admin"


class Status(StrEnum):
    """Where a user stands. PENDING users can't log in, and no call shows them."""

    PENDING = "PENDING"
    ACTIVE = "ACTIVE"
    DISABLED = "DISABLED"
    DELETING = "DELETING"


@dataclass(frozen=True, slots=True)
class User:
    """A user, as others may see them.

    Attributes:
        email: As it was typed.
        full_name: Empty when no name was given.
    """

    id: UUID
    email: str
    full_name: str
    role: str
    status: Status
    email_verified: bool
    create_time: datetime
