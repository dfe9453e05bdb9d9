"""What has become of a saga, step by step, from the databases of all who take part in it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from services.cli.databases import read_rows
from services.cli.system import System, is_installed

# Both are on the primary key or on an index.
_BARRIERS: Final = """
SELECT create_time, branch || ' is ' || lower(state) FROM saga_barriers WHERE saga_id = %(id)s"""
_TRANSFERS: Final = """
SELECT create_time, replace(kind, '_', ' ') || ' is ' || state FROM transfers
 WHERE id = %(id)s OR original_id = %(id)s"""
_STATEMENTS: Final = {"profile": f"{_BARRIERS} UNION ALL {_TRANSFERS}", "commerce": _BARRIERS}


@dataclass(frozen=True, slots=True)
class SagaStep:
    """A step of a saga that has happened.

    Attributes:
        time: When, by the clock of the database that tells it.
        service: Whose database it is.
    """

    time: datetime
    service: str
    what: str


def steps_of(system: System, saga_id: UUID) -> list[SagaStep]:
    """Return what the participants have noted of a saga, the oldest first.

    Raises:
        psycopg.Error: A database does not tell it.
    """
    found = [
        SagaStep(time, service, what)
        for service, statement in _STATEMENTS.items()
        if is_installed(service)
        for time, what in read_rows(system.database_url(service), statement, {"id": saga_id})
    ]
    return sorted(found, key=lambda step: step.time)
