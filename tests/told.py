"""Read the events in a service's database, in the order of their places."""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

import psycopg
from google.protobuf.message_factory import GetMessageClass


class Told(NamedTuple):
    """An event: the name of its message, its subject and what the message holds."""

    name: str
    subject: str
    facts: dict[str, Any]


def told(url: str, service: str) -> list[Told]:
    """Return the events of a service."""
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
