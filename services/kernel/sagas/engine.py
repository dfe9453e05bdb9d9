"""The engine that drives sagas: those that a caller waits for, and those left behind.

Every saga is driven under a lease, by the process that began it or by any replica that
finds it due. How it is driven is here; its steps are in `protocol`.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from typing import Any, TypeVar
from uuid import UUID

import structlog
from lockstep_clients import deadlines
from lockstep_clients.errors import LockstepError
from opentelemetry.metrics import Meter

from services.kernel.db.database import Database, Transaction
from services.kernel.errors import (
    CommitUnknown,
    DatabaseUnavailable,
    DeadlineExceeded,
    DomainError,
    RequestInProgress,
    SagaNotFound,
)
from services.kernel.sagas import store as saga_store
from services.kernel.sagas.idempotency import EarlierRequest
from services.kernel.sagas.metrics import SagaMeter
from services.kernel.sagas.model import NewSaga, Outcome, P, R, Saga, SagaKind, SagaState
from services.kernel.sagas.protocol import AnySaga, DedupKey, SagaStateMachine
from services.kernel.sagas.store import LEASE_SECONDS
from services.kernel.telemetry.metrics import NO_METER

T = TypeVar("T")
# A saga that is decided, or the request that was first. None: the driver has given the saga
# back, and any replica may end it.
_Answer = asyncio.Future[Saga | EarlierRequest | None]

# The end of a lease that its holder leaves unused, so that its last try ends inside it.
LEASE_RESERVE_SECONDS = 4.0
POLL_SECONDS = 1.0
CLAIMED_AT_ONCE = 8
DRIVEN_AT_ONCE = 16
ATTEMPTS_BEFORE_PARKING = 10
PAUSE_FIRST_SECONDS = 0.05
PAUSE_LONGEST_SECONDS = 60.0
PAUSE_PARKED_SECONDS = 300.0
WAIT_RESERVE_SECONDS = 0.1
WATCH_SECONDS = 0.1
STOP_GRACE_SECONDS = 5.0

log = structlog.get_logger("lockstep.saga")


class SagaEngine:
    """Drives the sagas of one coordinator.

    Args:
        database: The coordinator's database, for the sagas that callers wait for.
        recovery: The same database through connections of its own, so that recovery
            goes on when requests have taken all others.
        sagas: The kinds of sagas that are known here; others are left alone.
        owner: Names this process in the leases.
        sleep: Waits; a test's own makes hours cost nothing.
        poll_seconds: How often sagas that are due are looked for.
        meter: Creates the metrics.
    """

    def __init__(
        self,
        database: Database,
        *,
        recovery: Database,
        sagas: Iterable[AnySaga],
        owner: str,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        poll_seconds: float = POLL_SECONDS,
        meter: Meter = NO_METER,
    ) -> None:
        self._database = database
        self._recovery = recovery
        self._steps = SagaStateMachine(sagas)
        self._owner = owner
        self._meter = SagaMeter(meter)
        self._sleep = sleep
        self._poll_seconds = poll_seconds
        self._tasks: dict[asyncio.Task[None], Saga | None] = {}
        self._recovering: set[asyncio.Task[None]] = set()
        self._answers: dict[UUID, _Answer] = {}
        self._worker: asyncio.Task[None] | None = None

    async def run(
        self, new: NewSaga[P, R], key: DedupKey[R] | None = None
    ) -> Outcome[R] | EarlierRequest:
        """Begin a saga and wait for its outcome, until the caller's deadline.

        The saga runs in a task of its own: a caller that leaves, or whose deadline
        passes, ends the waiting and nothing else.

        Returns:
            The saga's outcome, or the request that has taken the key: no saga has begun.

        Raises:
            DeadlineExceeded: The outcome is not known yet; the saga goes on.
        """
        if _left() < WAIT_RESERVE_SECONDS:
            raise DeadlineExceeded
        answer = self._expect(new.id)
        self._spawn(self._open_and_drive(new, key, answer))
        try:
            ended = await self._told(answer) or await self._watch(new.id)
        except (RequestInProgress, SagaNotFound) as error:
            # Not found: T1 is still on its way, and may yet be committed.
            raise DeadlineExceeded from error
        return ended if isinstance(ended, EarlierRequest) else new.kind.outcome_of(ended)

    async def attach(self, kind: SagaKind[P, R], saga_id: UUID) -> Outcome[R]:
        """Wait for the outcome of a saga that another request has begun.

        Raises:
            RequestInProgress: It is not known before the caller's deadline.
            SagaNotFound: There is no such saga.
        """
        answer = self._answers.get(saga_id)
        ended = None if answer is None else await self._told(answer)
        if not isinstance(ended, Saga):
            ended = await self._watch(saga_id)
        return kind.outcome_of(ended)

    @property
    def is_recovering(self) -> bool:
        """Whether sagas that are due are taken up."""
        return self._worker is not None

    def start(self) -> None:
        """Begin to take up sagas that are due."""
        self._worker = asyncio.create_task(self._recover(), name="saga-recovery")

    async def stop(self) -> None:
        """Take up nothing more, let running sagas end, and give the rest back."""
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.wait([self._worker])
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_GRACE_SECONDS)
        left = dict(self._tasks)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=STOP_GRACE_SECONDS)
        for saga in left.values():
            if saga is not None:
                await self._reschedule(saga, pause_seconds=0.0, error=None)

    # --- beginning and waiting

    async def _open_and_drive(
        self, new: NewSaga[P, R], key: DedupKey[R] | None, answer: _Answer
    ) -> None:
        async def t1(tx: Transaction) -> Saga | EarlierRequest:
            return await self._steps.begin(tx, new, key, owner=self._owner)

        try:
            begun = await self._commit_surely("T1", t1)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller is told
            self._fail(new.id, answer, error)
            return
        if isinstance(begun, EarlierRequest):
            self._answer(new.id, begun)
        else:
            await self._drive(begun, self._database)

    async def _commit_surely(self, name: str, work: Callable[[Transaction], Awaitable[T]]) -> T:
        for pause in _pauses(tries=5):
            try:
                return await self._database.transact(name, work)
            except CommitUnknown:
                await self._sleep(pause)
        return await self._database.transact(name, work)

    def _expect(self, saga_id: UUID) -> _Answer:
        answer: _Answer = asyncio.get_running_loop().create_future()
        # Read the exception: asyncio logs futures whose exception nobody read.
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._answers[saga_id] = answer
        return answer

    def _fail(self, saga_id: UUID, answer: _Answer, error: Exception) -> None:
        self._answers.pop(saga_id, None)
        if not answer.done():
            answer.set_exception(error)

    def _tell(self, saga: Saga) -> None:
        """Answer the waiting callers, as soon as the answer is true for ever."""
        if saga.is_decided:
            self._answer(saga.id, saga)

    def _answer(self, saga_id: UUID, told: Saga | EarlierRequest | None) -> None:
        answer = self._answers.pop(saga_id, None)
        if answer is not None and not answer.done():
            answer.set_result(told)

    async def _watch(self, saga_id: UUID) -> Saga:
        """Wait until a saga's row is decided."""
        while _left() > WAIT_RESERVE_SECONDS + WATCH_SECONDS:
            with contextlib.suppress(RequestInProgress):
                return await self._look(saga_id, last=False)
            await asyncio.sleep(WATCH_SECONDS)
        return await self._look(saga_id, last=True)

    async def _told(self, answer: _Answer) -> Saga | EarlierRequest | None:
        """Wait for the driver's word; None: it has given the saga back, or time is up."""
        try:
            return await asyncio.wait_for(
                asyncio.shield(answer), max(0.0, _left() - WAIT_RESERVE_SECONDS)
            )
        except TimeoutError:
            return None

    async def _look(self, saga_id: UUID, *, last: bool) -> Saga:
        saga = await saga_store.get(self._database, saga_id)
        if saga is None:
            raise SagaNotFound
        # Not undone yet, but bound to be: at last that is an answer, too.
        is_turned = last and saga.state is SagaState.COMPENSATING
        if not saga.is_decided and not is_turned:
            raise RequestInProgress
        return saga

    # --- driving

    async def _drive(self, saga: Saga, database: Database) -> None:
        """Take a saga as far as it goes within its lease."""
        structlog.contextvars.bind_contextvars(saga_id=str(saga.id), saga=saga.kind)
        self._note(saga)
        lease_ends = time.monotonic() + LEASE_SECONDS - LEASE_RESERVE_SECONDS
        pauses = _pauses()
        while not saga.state.is_final:
            try:
                before, saga = saga, await self._steps.next(saga, database)
                self._meter.moved(before, saga)
                self._note(saga)
                self._tell(saga)
            except Exception as error:
                pause = next(pauses)
                if saga.state is SagaState.COMPENSATING or time.monotonic() + pause > lease_ends:
                    await self._give_back(saga, error)
                    return
                unexpected = not isinstance(error, (DomainError, LockstepError))
                log.info("saga step repeated", error=_named(error), exc_info=unexpected)
                await self._sleep(pause)
        self._tell(saga)

    async def _give_back(self, saga: Saga, error: Exception) -> None:
        self._answer(saga.id, None)  # from now on any replica may end it: watch the row
        parked = saga.attempts >= ATTEMPTS_BEFORE_PARKING
        if parked:
            log.error("saga parked", state=saga.state, error=_named(error), attempts=saga.attempts)
            pause = PAUSE_PARKED_SECONDS
        else:
            log.warning("saga postponed", state=saga.state, error=_named(error))
            longest = min(PAUSE_LONGEST_SECONDS, PAUSE_FIRST_SECONDS * 2**saga.attempts)
            pause = random.uniform(0, longest)
        await self._reschedule(saga, pause_seconds=pause, error=_named(error), parked=parked)

    async def _reschedule(
        self, saga: Saga, *, pause_seconds: float, error: str | None, parked: bool = False
    ) -> None:
        async def release(tx: Transaction) -> None:
            await saga_store.reschedule(
                tx, saga, pause_seconds=pause_seconds, last_error=error, is_parked=parked
            )

        with contextlib.suppress(DatabaseUnavailable):  # then the lease runs out by itself
            await self._recovery.transact("release", release)

    # --- recovery

    async def _recover(self) -> None:
        while True:
            claimed: list[Saga] = []
            try:
                claimed = await self._claim()
                self._meter.claimed()
            except DatabaseUnavailable as error:
                log.warning("cannot look for sagas", error=_named(error))
            except Exception:
                log.exception("cannot look for sagas")
            for saga in claimed:
                self._recovering.add(self._spawn(self._drive(saga, self._recovery)))
            if len(claimed) < CLAIMED_AT_ONCE:
                await self._sleep(self._poll_seconds * random.uniform(0.8, 1.2))

    async def _claim(self) -> list[Saga]:
        free = DRIVEN_AT_ONCE - len(self._recovering)
        if free <= 0:
            await asyncio.wait(self._recovering, return_when=asyncio.FIRST_COMPLETED)
            return []

        async def claim(tx: Transaction) -> list[Saga]:
            return await saga_store.claim_due(
                tx,
                owner=self._owner,
                kinds=self._steps.kinds,
                lease_seconds=LEASE_SECONDS,
                limit=min(free, CLAIMED_AT_ONCE),
            )

        return await self._recovery.transact("K", claim)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        # A context of its own: the caller's deadline must not bind the saga.
        context = contextvars.Context()
        for name, value in structlog.contextvars.get_contextvars().items():
            context.run(structlog.contextvars.bind_contextvars, **{name: value})
        task = asyncio.get_running_loop().create_task(coroutine, context=context)
        self._tasks[task] = None
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        self._recovering.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("saga driver failed", exc_info=error)

    def _note(self, saga: Saga) -> None:
        task = asyncio.current_task()
        if task in self._tasks:
            self._tasks[task] = saga


def _left() -> float:
    deadline = deadlines.current_deadline.get()
    return 10.0 if deadline is None else deadline - time.monotonic()


def _pauses(tries: int | None = None) -> Iterator[float]:
    longest = PAUSE_FIRST_SECONDS
    while tries is None or tries > 0:
        yield random.uniform(longest / 2, longest)
        longest = min(longest * 2, 1.0)
        tries = None if tries is None else tries - 1


def _named(error: Exception) -> str:
    reason = getattr(error, "reason", None)
    return f"{type(error).__name__}: {reason}" if reason else type(error).__name__
