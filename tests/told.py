"""Read the events in a service's database, and watch how they are written."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest import mock

import psycopg
from google.protobuf.message_factory import GetMessageClass

from services.kernel.db.database import Transaction
from services.kernel.events import store, writer
from services.kernel.events.store import NewEvents


class Told(NamedTuple):
    """An event: the name of its message, its subject and what the message holds."""

    name: str
    subject: str
    facts: dict[str, Any]


def told(url: str, service: str) -> list[Told]:
    """Return the events of a service in the order of their places."""
    types = importlib.import_module(f"services.{service}.events").MESSAGES
    found = []
    with psycopg.connect(url) as connection:
        for kind, subject, payload in connection.execute(
            "SELECT type, subject, payload FROM events ORDER BY place"
        ):
            name = kind.removeprefix("lockstep.events.v1.")
            message = GetMessageClass(types[name]).FromString(payload)
            facts = {field.name: value for field, value in message.ListFields()}
            found.append(Told(name, subject, facts))
    return found


@contextmanager
def twice_told() -> Iterator[list[list[str]]]:
    """List what any transaction tells in a second statement: the types of the events."""
    insert, twice = store.insert_events, list[list[str]]()
    told_in = dict[int, Transaction]()  # kept, so that no other one gets the same id

    async def noted(tx: Transaction, new: NewEvents) -> None:
        if id(tx) in told_in:
            twice.append(new.types)
        told_in[id(tx)] = tx
        await insert(tx, new)

    with mock.patch.object(writer, "insert_events", noted):
        yield twice
