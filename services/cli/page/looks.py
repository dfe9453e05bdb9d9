"""What the local page looks at, by the functions of the commands; each look has an end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, Generic, TypeVar
from uuid import UUID

if TYPE_CHECKING:
    from services.cli.checks import Check
    from services.cli.saga_rows import SagaFields
    from services.cli.saga_steps import SagaStep
    from services.cli.standing import Standing
    from services.cli.system import System

# A process that is frozen is asked for 2.5 s whether it serves, and for 2 s why it does not.
LOOK_SECONDS: Final = 8.0
SAGAS_MAX: Final = 50
COORDINATORS: Final = "the services"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Seen(Generic[T]):
    """What a look has found, or why it found nothing."""

    found: T | None = None
    trouble: str | None = None


class SharedLook(Generic[T]):
    """A look that all who ask at the same time share: a database that hangs must not pile them up.

    Args:
        what: What is looked at, for people.
        look: Looks.
    """

    def __init__(self, what: str, look: Callable[[], Awaitable[T]]) -> None:
        self._what = what
        self._look = look
        self._task: asyncio.Future[T] | None = None

    async def __call__(self) -> Seen[T]:
        """Return what is found in time."""
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._look())
        return await _in_time(self._what, self._task)


async def look_once(what: str, work: Awaitable[T]) -> Seen[T]:
    """Return what `work` finds in time."""
    return await _in_time(what, asyncio.ensure_future(work))


async def _in_time(what: str, task: asyncio.Future[T]) -> Seen[T]:
    from services.cli.failures import told_of

    await asyncio.wait([task], timeout=LOOK_SECONDS)
    if not task.done():
        return Seen(trouble=f"{what} did not answer in {LOOK_SECONDS:.0f} s")
    error = task.exception()
    if error is None:
        return Seen(task.result())
    told = told_of(error) if isinstance(error, Exception) else None
    if told is None:
        raise error
    return Seen(trouble=str(told))


class Looks:
    """Everything that the page looks at. What it needs is imported at the first look."""

    def __init__(self) -> None:
        self.processes: Final = SharedLook("the processes", self._processes)
        self.checks: Final = SharedLook("the databases", self._checks)

    async def sagas(self, *, state: str | None, parked: bool) -> Seen[list[SagaFields]]:
        """Look at the newest sagas, of all services by time."""
        from services.cli.saga_rows import list_sagas

        seen = await look_once(
            COORDINATORS, list_sagas(state=state, parked=parked, limit=SAGAS_MAX)
        )
        if seen.found is not None:
            seen.found.sort(key=lambda saga: str(saga["create_time"]), reverse=True)
        return seen

    async def saga(self, saga_id: UUID) -> Seen[SagaFields]:
        """Look at one saga."""
        from services.cli.saga_rows import get_saga

        return await look_once(COORDINATORS, get_saga(str(saga_id)))

    async def steps(self, saga_id: UUID) -> Seen[list[SagaStep]]:
        """Look at what the participants of a saga have noted."""
        from services.cli.saga_steps import steps_of

        return await look_once("the databases", asyncio.to_thread(steps_of, self._system, saga_id))

    @cached_property
    def _system(self) -> System:
        from services.cli.system import System

        return System()

    async def _processes(self) -> tuple[list[Standing], list[tuple[str, str]]]:
        from services.cli.standing import processes

        return await processes(self._system)

    async def _checks(self) -> list[Check]:
        from services.cli.checks import check_all

        return await check_all(self._system)
