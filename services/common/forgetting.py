"""The one way to forget a user, in whatever tables a service has.

FORGETTING = Forgetting(IDEMPOTENCY, sagas=SAGAS, tombstones=FORGOTTEN_USERS)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Index,
    MetaData,
    Table,
    Text,
    Uuid,
    and_,
    bindparam,
    delete,
    func,
    literal_column,
    null,
    or_,
    select,
    true,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from services.kernel.audit import store as audit
from services.kernel.db.cleaner import Cleanup, at_most, old_rows, removal, row_place
from services.kernel.db.database import Database, Reader, Transaction
from services.kernel.db.statement import ByUser, NoRow, SomeOfUser, Statement
from services.kernel.db.tables import AUDIT_LOG, ENDED, NAMES, clock_once, timestamp
from services.kernel.rpc.call import USER_SCOPE

# A service takes this table over into its model. Its rows refuse what comes too late.
FORGOTTEN_USERS = Table(
    "forgotten_users",
    MetaData(naming_convention=NAMES),
    Column("user_id", Uuid, primary_key=True),
    timestamp("create_time", default=True),
    Index("ix_forgotten_users_create_time", "create_time"),
)

# The rows of one sort that one commit forgets; more would hold their locks for long.
FORGOTTEN_AT_ONCE: Final = 500
RANGE: Final = "ForgetRange"
"""The name of the transactions that forget what one commit has left."""

_USER = bindparam("user_id", type_=Uuid)


@dataclass(frozen=True, slots=True)
class ForgottenUser:
    """A user who was forgotten."""

    user_id: UUID


@dataclass(frozen=True, slots=True)
class Left:
    """Something is left of a user."""

    is_left: bool


@dataclass(frozen=True, slots=True)
class _Sort:
    """The rows of one sort that name a user.

    Attributes:
        left: Returns a row if some are left.
        forget: Takes the user out of some of them, or of all.
    """

    left: Statement[ByUser, Left]
    forget: Statement[SomeOfUser, NoRow]


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
        self.cleanups: tuple[Cleanup, ...] = ()
        self._find = self._entomb = None
        if tombstones is not None:
            self._find, self._entomb = _find(tombstones), _insert_tombstone(tombstones)
            self.cleanups = (
                _late_keys(idempotency, tombstones),
                old_rows("forgotten users", tombstones, tombstones.c.create_time, age="7 days"),
            )
        self._sorts = [_keys(idempotency, about)]
        if sagas is not None:
            self._sorts.append(_sagas(sagas, idempotency))
        self._sorts.append(
            _Sort(_left(AUDIT_LOG, *audit.ADDRESSES_OF_USER), audit.FORGET_ADDRESSES)
        )

    async def entomb(self, tx: Transaction, user_id: UUID) -> None:
        """Leave a tombstone, which refuses what comes late for the next seven days.

        Raises:
            TypeError: The service has no tombstones.
        """
        if self._entomb is None:
            raise TypeError("the service must have tombstones")
        await tx.execute(self._entomb, ByUser(user_id))

    async def forget_user(
        self, tx: Transaction, user_id: UUID, *, limit: int | None = None
    ) -> None:
        """Remove the user from keys, stored replies and ended sagas.

        In the audit log the user's IPs go, and what has happened stays.

        Args:
            tx: The transaction.
            user_id: The user.
            limit: The most rows of each sort; None: all. `forget_rest` takes what is left.
        """
        for each in self._sorts:
            await tx.execute(each.forget, SomeOfUser(user_id, limit))

    async def forget_rest(self, database: Database, user_id: UUID) -> None:
        """Forget what a commit with a limit has left, a range in each commit.

        A call that is cut short is repeated, and goes on where it was. A look says that nothing
        is left: what a commit has changed does not, because another may be under way.
        """
        for each in self._sorts:
            while await database.first(each.left, ByUser(user_id)) is not None:
                await database.transact(RANGE, partial(_forget_some, each.forget, user_id))

    async def is_forgotten(self, reader: Reader, user_id: UUID) -> bool:
        """Return whether the user was forgotten in the last seven days.

        Raises:
            TypeError: The service has no tombstones.
        """
        if self._find is None:
            raise TypeError("the service must have tombstones")
        return await reader.first(self._find, ByUser(user_id)) is not None


def _find(tombstones: Table) -> Statement[ByUser, ForgottenUser]:
    found = select(tombstones.c.user_id).where(tombstones.c.user_id == _USER)
    return Statement(found, ByUser, ForgottenUser)


def _insert_tombstone(tombstones: Table) -> Statement[ByUser, NoRow]:
    new = insert(tombstones).values(user_id=_USER)
    renewed = new.on_conflict_do_update(
        index_elements=[tombstones.c.user_id], set_={"create_time": new.excluded.create_time}
    )
    return Statement(renewed, ByUser, NoRow)


def _keys(idempotency: Table, about: ColumnElement[bool] | None) -> _Sort:
    own = [idempotency.c.scope == _scope(_USER)]
    if about is not None:
        own.append(about)
    forget = delete(idempotency).where(at_most(idempotency, *own), or_(*own))
    return _Sort(_left(idempotency, *own), Statement(forget, SomeOfUser, NoRow))


def _sagas(sagas: Table, idempotency: Table) -> _Sort:
    """Return the ended sagas of a user, with the keys that name them.

    The rows of sagas stay: a participant that asks for an outcome still gets one.
    """
    own = sagas.c.user_id == _USER
    # Locked, so that of two transactions at once each takes its own sagas, and their keys.
    some = select(sagas.c.id).where(own, ENDED).limit(bindparam("limit"))
    chosen = some.with_for_update().cte("chosen")
    # As an array, because for a sub-select PostgreSQL may read the whole table.
    ids = func.any(func.array(select(chosen.c.id).scalar_subquery()))
    keys = delete(idempotency).where(idempotency.c.saga_id == ids).cte("keys")
    forget = (
        update(sagas)
        .where(sagas.c.id == ids)
        .values(
            user_id=null(),
            payload=literal_column("'{}'::jsonb"),
            result=literal_column("'{}'::jsonb"),
            last_error=null(),
        )
        .add_cte(keys)
    )
    return _Sort(_left(sagas, and_(own, ENDED)), Statement(forget, SomeOfUser, NoRow))


def _left(table: Table, *alternatives: ColumnElement[bool]) -> Statement[ByUser, Left]:
    rows = select(literal_column("true", Boolean).label("is_left")).select_from(table)
    found = union_all(*(rows.where(each) for each in alternatives))
    # One row would do. For that PostgreSQL would rather read the table than an index.
    return Statement(found.limit(FORGOTTEN_AT_ONCE), ByUser, Left)


async def _forget_some(
    forget: Statement[SomeOfUser, NoRow], user_id: UUID, tx: Transaction
) -> None:
    await tx.execute(forget, SomeOfUser(user_id, FORGOTTEN_AT_ONCE))


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
