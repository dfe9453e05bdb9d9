"""The writer of the audit log: who did what to whom, from where, and never a secret.

Write in the transaction of the change itself, so that neither exists without the other:

    await log.write(tx, "product_deleted", {"product": str(product.id)}, **by(origin))

A saga that may yet be refused begins with one line and ends with another:

    await log.begin(tx, saga_id, "user_deletion_requested", user_id=user.id, **by(origin))  # T1
    await log.conclude(tx, saga_id, "user_deleted", user_id=user.id)                        # T2

The name of an event says what has happened, in the words of the OWASP logging vocabulary where
it has one. Facts are ids, numbers and short words of our own; no text that a caller typed.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, TypedDict
from uuid import UUID, uuid5

from services.kernel.audit import store
from services.kernel.audit.store import LaterEntry, NewEntry
from services.kernel.db.database import Transaction
from services.kernel.ids import new_id
from services.kernel.rpc.call import Origin

Fact = str | int | bool
Facts = Mapping[str, Fact]
NO_FACTS: Final[Facts] = MappingProxyType({})


class By(TypedDict):
    """The arguments of `write` that say who acted, and from where."""

    actor: str | None
    client_ip: str | None


def by(origin: Origin) -> By:
    """Return the arguments of `write` for the caller of a request."""
    return By(actor=origin.actor, client_ip=origin.client_ip)


async def write(
    tx: Transaction,
    event: str,
    facts: Facts = NO_FACTS,
    /,
    *,
    user_id: UUID | None = None,
    account: str | None = None,
    actor: UUID | str | None = None,
    client_ip: str | None = None,
    entry_id: UUID | None = None,
) -> None:
    """Write a line down.

    Args:
        tx: The transaction that makes it happen.
        event: Its kind.
        facts: Facts about it.
        user_id: The user to whom it happened.
        account: The pseudonym of an account, where its user may be unknown.
        actor: The user or service that acted; None when that is the user, or unknown.
        client_ip: The actor's.
        entry_id: The id of the line; a second one with the same id is not written.
    """
    await store.insert(
        tx,
        NewEntry(
            entry_id=entry_id or new_id(),
            event=event,
            user_id=user_id,
            account=account,
            actor=None if actor is None else str(actor),
            client_ip=client_ip,
            detail=store.packed(facts),
        ),
    )


async def begin(
    tx: Transaction,
    saga_id: UUID,
    event: str,
    /,
    *,
    user_id: UUID | None = None,
    account: str | None = None,
    actor: UUID | str | None = None,
    client_ip: str | None = None,
) -> None:
    """Write down, in T1, that a saga was asked for; `conclude` takes the actor from here."""
    await write(
        tx,
        event,
        user_id=user_id,
        account=account,
        actor=actor,
        client_ip=client_ip,
        entry_id=_beginning(saga_id),
    )


async def conclude(
    tx: Transaction,
    saga_id: UUID,
    event: str,
    facts: Facts = NO_FACTS,
    /,
    *,
    user_id: UUID | None = None,
) -> None:
    """Write down, in T2 or T4, how a saga has ended; repeats write nothing.

    A saga that a process of before has begun has no line to take the actor from.
    """
    await store.insert_later(
        tx,
        LaterEntry(
            entry_id=saga_id,
            earlier_id=_beginning(saga_id),
            event=event,
            user_id=user_id,
            detail=store.packed(facts),
        ),
    )


def _beginning(saga_id: UUID) -> UUID:
    return uuid5(saga_id, "begin")
