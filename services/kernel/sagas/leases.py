"""The leases that this process holds on sagas.

A lease is short, so that a saga whose process was killed goes on soon. While a saga is driven,
its lease is renewed, so a saga may take as long as it needs.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import structlog

from services.kernel.db.database import Database, Transaction
from services.kernel.errors import DatabaseUnavailable
from services.kernel.sagas import lease_store
from services.kernel.sagas.lease_store import SagaQueue
from services.kernel.sagas.model import Saga
from services.kernel.sagas.store import LEASE_SECONDS, SagaRow
from services.kernel.tasks import end

CLAIM: Final = "K"
RENEWAL_SECONDS: Final = 0.7
# A saga of milliseconds is over before its lease is worth a renewal.
YOUNG_SECONDS: Final = 0.1
ATTEMPTS_BEFORE_PARKING: Final = 10
PAUSE_FIRST_SECONDS: Final = 0.05
PAUSE_LONGEST_SECONDS: Final = 60.0
PAUSE_PARKED_SECONDS: Final = 300.0

log = structlog.get_logger("lockstep.saga")


class LeaseLost(Exception):
    """Another process has taken the saga up, so this one must let go of it."""


@dataclass(slots=True, eq=False)
class Lease:
    """The right of this process to drive a saga.

    Attributes:
        epoch: Grows with each claim, so it names this lease among all of the saga.
        ends: When it runs out unless it is renewed, on the clock of `time.monotonic`.
    """

    saga_id: UUID
    epoch: int
    ends: float

    @classmethod
    def of(cls, saga: Saga, *, since: float) -> Lease:
        """Return the lease of a saga that was begun or claimed after this moment."""
        return cls(saga.id, saga.lease_epoch, since + LEASE_SECONDS)

    @property
    def key(self) -> tuple[UUID, int]:
        """The saga and the epoch."""
        return self.saga_id, self.epoch


class Leases:
    """Takes leases, renews them while their sagas are driven, and gives them back.

    Args:
        database: The connections for leases.
        owner: Names this process.
    """

    def __init__(self, database: Database, *, owner: str) -> None:
        self._database = database
        self._owner = owner
        self._held: dict[Lease, asyncio.Task[None]] = {}
        self._renewal: asyncio.Task[None] | None = None

    async def claim(
        self, kinds: Collection[tuple[str, int]], limits: Mapping[SagaQueue, int]
    ) -> list[SagaRow]:
        """Take leases of sagas that are due; see `lease_store.claim_due`.

        Raises:
            DatabaseUnavailable: None was taken, or nobody knows which.
        """

        async def claim(tx: Transaction) -> list[SagaRow]:
            return await lease_store.claim_due(tx, owner=self._owner, kinds=kinds, limits=limits)

        return await self._database.transact(CLAIM, claim)

    async def abandon_claim(self) -> None:
        """Give up a claim that does not end, with the connections."""
        await self._database.abandon(CLAIM)

    def hold(self, lease: Lease, task: asyncio.Task[None]) -> None:
        """Renew a lease until the task that drives its saga ends."""
        self._held[lease] = task
        task.add_done_callback(lambda _: self._held.pop(lease, None))
        if self._renewal is None:
            # In a context of its own: what is logged is not about the saga of this task.
            self._renewal = asyncio.get_running_loop().create_task(
                self._renew_while_any_is_held(),
                name="lease-renewal",
                context=contextvars.Context(),
            )

    async def ensure(self, lease: Lease) -> None:
        """Make sure that this process may go on.

        A lease that has run out is good as long as nobody has taken it.

        Raises:
            LeaseLost: Another process has taken it.
            DatabaseUnavailable: Nobody knows.
        """
        if (now := time.monotonic()) < lease.ends:
            return

        async def ensure(tx: Transaction) -> bool:
            return await lease_store.ensure(tx, *lease.key, owner=self._owner)

        if not await self._database.transact("renewal", ensure):
            raise LeaseLost
        lease.ends = now + LEASE_SECONDS

    async def postpone(self, saga: Saga | SagaRow, error: Exception) -> None:
        """Give a lease back after a failure, for a time that grows with the attempts."""
        is_parked = saga.attempts >= ATTEMPTS_BEFORE_PARKING
        name = named(error)
        if is_parked:
            log.error("saga parked", state=saga.state, error=name, attempts=saga.attempts)
            pause = PAUSE_PARKED_SECONDS
        else:
            log.warning("saga postponed", state=saga.state, error=name)
            longest = min(PAUSE_LONGEST_SECONDS, PAUSE_FIRST_SECONDS * 2**saga.attempts)
            pause = random.uniform(0, longest)

        async def postpone(tx: Transaction) -> None:
            await lease_store.postpone(
                tx,
                saga.id,
                saga.lease_epoch,
                pause_seconds=pause,
                last_error=name,
                is_parked=is_parked,
            )

        try:
            await self._database.transact("release", postpone)
        except DatabaseUnavailable:  # then the lease runs out by itself
            log.warning("cannot postpone a saga", error=name)

    async def abandon(self, tasks: Collection[asyncio.Task[None]], *, wait_seconds: float) -> None:
        """Stop these tasks, and give the leases of their sagas back at once.

        What the tasks had begun may yet take effect, which is as harmless as a second driver.
        A transaction that they had begun goes on, so the leases of its sagas are given back last.
        """
        held = [lease.key for lease, task in self._held.items() if task in tasks]
        for task in tasks:
            task.cancel()
        left = await self._release(held, waits=False)
        if tasks:
            await asyncio.wait(tasks, timeout=wait_seconds)
        await self._release(left, waits=True)

    async def stop(self) -> None:
        """Renew no more."""
        await end(self._renewal)

    async def _release(
        self, held: Sequence[tuple[UUID, int]], *, waits: bool
    ) -> list[tuple[UUID, int]]:
        """Give leases back; return those whose sagas were locked, or have ended."""
        if not held:
            return []

        async def release(tx: Transaction) -> Collection[UUID]:
            return await lease_store.release(tx, held, owner=self._owner, waits=waits)

        try:
            released = await self._database.transact("release", release)
        except DatabaseUnavailable as error:  # then the leases run out by themselves
            log.warning("cannot give sagas back", error=named(error))
            return []
        return [each for each in held if each[0] not in released]

    async def _renew_while_any_is_held(self) -> None:
        try:
            while self._held:
                await asyncio.sleep(RENEWAL_SECONDS)
                await self._renew()
        finally:
            self._renewal = None

    async def _renew(self) -> None:
        now = time.monotonic()
        old = now + LEASE_SECONDS - YOUNG_SECONDS
        due = [lease for lease in self._held if lease.ends <= old]
        if not due:
            return

        async def renew(tx: Transaction) -> Collection[UUID]:
            return await lease_store.renew(tx, [each.key for each in due], owner=self._owner)

        try:
            renewed = await self._database.transact("renewal", renew)
        except DatabaseUnavailable as error:
            log.warning("cannot renew leases", error=named(error))
        except Exception:
            log.exception("cannot renew leases")
        else:
            for lease in due:
                if lease.saga_id in renewed:
                    lease.ends = now + LEASE_SECONDS


def named(error: Exception) -> str:
    """Return the name of an error, and its reason if it has one; its text may hold anything."""
    reason = getattr(error, "reason", None)
    return f"{type(error).__name__}: {reason}" if reason else type(error).__name__
