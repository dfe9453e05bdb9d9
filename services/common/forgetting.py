"""The one way to forget a user, in whatever tables a service has.

FORGETTING = Forgetting(IDEMPOTENCY, sagas=SAGAS, tombstones=FORGOTTEN_USERS)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Column,
    ColumnElement,
    Index,
    MetaData,
    Table,
    Text,
    Uuid,
    bindparam,
    delete,
    func,
    literal_column,
    null,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from services.kernel.audit import store as audit
from services.kernel.db.cleaner import Cleanup, old_rows, removal, row_place
from services.kernel.db.database import Reader, Transaction
from services.kernel.db.statement import ByUser, NoRow, Statement
from services.kernel.db.tables import ENDED, NAMES, clock_once, timestamp
from services.kernel.rpc.call import USER_SCOPE

# A service takes this table over into its model. Its rows refuse what comes too late.
FORGOTTEN_USERS = Table(
    "forgotten_users",
    MetaData(naming_convention=NAMES),
    Column("user_id", Uuid, primary_key=True),
    timestamp("create_time", default=True),
    Index("ix_forgotten_users_create_time", "create_time"),
)

_USER = bindparam("user_id", type_=Uuid)


@dataclass(frozen=True, slots=True)
class ForgottenUser:
    """A user who was forgotten."""

    user_id: UUID


class Forgetting:
    """Forgets users: their keys, replies and IPs, and the personal data of ended sagas.

    Args:
        idempotency: The table of keys.
        about: Further keys to remove: a condition with the parameter `user_id`.
        sagas: The table of sagas, in a service that coordinates some.
        tombstones: The table of forgotten users, in a service that must refuse what comes
            late.

    Attributes:
        cleanups: The clean-ups that remove what comes late, and old tombstones.
    """

    def __init__(
        self,
        idempotency: Table,
        *,
        about: ColumnElement[bool] | None = None,
        sagas: Table | None = None,
        tombstones: Table | None = None,
    ) -> None:
        """Write the statements for these tables."""
        self._forget: list[Statement[ByUser, NoRow]] = []
        self.cleanups: tuple[Cleanup, ...] = ()
        self._find = None if tombstones is None else _find(tombstones)
        if tombstones is not None:
            self._forget.append(_insert_tombstone(tombstones))
            self.cleanups = (
                _late_keys(idempotency, tombstones),
                old_rows("forgotten users", tombstones, tombstones.c.create_time, age="7 days"),
            )
        # The keys go first: the sagas say which of them are the user's.
        self._forget.append(_delete_keys(idempotency, sagas, about))
        if sagas is not None:
            self._forget.append(_clean_sagas(sagas))
        self._forget.append(audit.FORGET_ADDRESSES)

    async def forget_user(self, tx: Transaction, user_id: UUID) -> None:
        """Leave a tombstone, and remove the user from keys, stored replies and ended sagas.

        In the audit log the user's IPs go, and what has happened stays.
        """
        for statement in self._forget:
            await tx.execute(statement, ByUser(user_id))

    async def is_forgotten(self, reader: Reader, user_id: UUID) -> bool:
        """Return whether the user was forgotten in the last seven days.

        Raises:
            TypeError: The service has no tombstones.
        """
        if self._find is None:
            raise TypeError("there are no tombstones to ask")
        return await reader.first(self._find, ByUser(user_id)) is not None


def _find(tombstones: Table) -> Statement[ByUser, ForgottenUser]:
    found = select(tombstones.c.user_id).where(tombstones.c.user_id == _USER)
    return Statement(found, ByUser, ForgottenUser)


def _insert_tombstone(tombstones: Table) -> Statement[ByUser, NoRow]:
    return Statement(
        insert(tombstones).values(user_id=_USER).on_conflict_do_nothing(), ByUser, NoRow
    )


def _delete_keys(
    idempotency: Table, sagas: Table | None, about: ColumnElement[bool] | None
) -> Statement[ByUser, NoRow]:
    conditions: list[ColumnElement[bool]] = [idempotency.c.scope == _scope(_USER)]
    if sagas is not None:
        own = select(sagas.c.id).where(sagas.c.user_id == _USER).correlate(None)
        # As an array, because no index serves a sub-select that is one of several conditions.
        conditions.append(idempotency.c.saga_id == func.any(func.array(own.scalar_subquery())))
    if about is not None:
        conditions.append(about)
    return Statement(delete(idempotency).where(or_(*conditions)), ByUser, NoRow)


def _clean_sagas(sagas: Table) -> Statement[ByUser, NoRow]:
    # The rows stay: a participant that asks for an outcome still gets one.
    return Statement(
        update(sagas)
        .where(sagas.c.user_id == _USER, ENDED)
        .values(
            user_id=null(),
            payload=literal_column("'{}'::jsonb"),
            result=literal_column("'{}'::jsonb"),
            last_error=null(),
        ),
        ByUser,
        NoRow,
    )


def _late_keys(idempotency: Table, tombstones: Table) -> Cleanup:
    """Return the clean-up of keys that were stored after their user was forgotten.

    A refusal is stored after its transaction, so it may come after the forgetting. Only users
    of the last day are looked at, because a key lives no longer than that.
    """
    # The limit keeps PostgreSQL from joining the two tables as a whole.
    late = (
        select(row_place(idempotency).label("place"))
        .where(idempotency.c.scope == _scope(tombstones.c.user_id))
        .limit(bindparam("limit"))
        .lateral()
    )
    places = (
        select(late.c.place)
        .select_from(tombstones.join(late, true()))
        .where(tombstones.c.create_time > clock_once(ago="1 day"))
        .order_by(tombstones.c.create_time.desc())
        .limit(bindparam("limit"))
    )
    return Cleanup("late idempotency keys", removal(idempotency, places))


def _scope(user_id: ColumnElement[Any]) -> ColumnElement[str]:
    return func.concat(USER_SCOPE, user_id.cast(Text))
