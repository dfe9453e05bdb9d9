"""Lets the unfinished sagas of a database end soon, and waits for their end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from tests.waiting import until_found

SETTLED_SECONDS_MAX: Final = 60.0
UNFINISHED: Final = "SELECT 1 FROM sagas WHERE state IN ('RUNNING', 'COMPENSATING') LIMIT 1"
END_LEASES: Final = (
    "UPDATE sagas SET next_run_at = saga_now()"
    " WHERE state IN ('RUNNING', 'COMPENSATING') AND next_run_at > saga_now()"
)
END_PAUSES: Final = f"{END_LEASES} AND lease_owner IS NULL"

Query = Callable[[str], Awaitable[Sequence[Any]]]
"""Runs a statement in a transaction of its own, and returns its rows."""


async def until_settled(query: Query) -> None:
    """End all leases, then the pauses of sagas that fail, until no saga is unfinished.

    A lease that is taken after that is left to its owner, which would lose the saga otherwise.
    Between two looks no row stays locked: recovery skips rows that are locked.

    Raises:
        TimeoutError: It took too long.
    """

    async def are_settled() -> bool:
        await query(END_PAUSES)
        return not await query(UNFINISHED)

    await query(END_LEASES)
    await until_found(are_settled, seconds=SETTLED_SECONDS_MAX)
