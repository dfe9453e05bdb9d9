"""The engine that drives sagas: those that a caller waits for, and those left behind.

Every saga is driven under a lease, by the process that began it or by any replica that
finds it due. How it is driven is here; its steps are in `protocol`.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from typing import Any, TypeVar
from uuid import UUID

import structlog
from lockstep_clients import deadlines
from lockstep_clients.errors import LockstepError
from opentelemetry.metrics import Meter
from opentelemetry.trace import Tracer

from services.kernel.db.database import Database, Transaction
from services.kernel.errors import (
    CommitUnknown,
    DeadlineExceeded,
    DomainError,
    RequestInProgress,
    SagaNotFound,
)
from services.kernel.rpc import tracing
from services.kernel.sagas import store as saga_store
from services.kernel.sagas.idempotency import EarlierRequest
from services.kernel.sagas.leases import PAUSE_FIRST_SECONDS, Lease, LeaseLost, Leases, named
from services.kernel.sagas.metrics import SagaMeter
from services.kernel.sagas.model import NewSaga, Outcome, P, R, Saga, SagaKind, SagaState
from services.kernel.sagas.protocol import AnySaga, DedupKey, SagaStateMachine
from services.kernel.sagas.recovery import POLL_SECONDS, Recovery
from services.kernel.sagas.spans import spans_of
from services.kernel.sagas.store import FIRST_EPOCH
from services.kernel.tasks import Loop
from services.kernel.telemetry.metrics import NO_METER

T = TypeVar("T")
# A saga that is decided, or the request that was first. None: the driver has given the saga
# back, and any replica may end it.
_Answer = asyncio.Future[Saga | EarlierRequest | None]

# How long the steps of a saga that was begun here are repeated before recovery takes it up.
PATIENCE_SECONDS = 6.0
WAIT_RESERVE_SECONDS = 0.1
WATCH_SECONDS = 0.1
STOP_GRACE_SECONDS = 0.5

log = structlog.get_logger("lockstep.saga")


class SagaEngine:
    """Drives the sagas of one coordinator.

    Args:
        database: The coordinator's database, for the sagas that callers wait for.
        recovery: The same database through connections of its own, so that recovery
            goes on when requests have taken all others.
        leases: The same once more, so that leases are renewed when recovery has taken all of
            its own; None: those of recovery.
        sagas: The kinds of sagas that are known here; others are left alone.
        owner: Names this process in the leases.
        sleep: Waits; a test's own makes hours cost nothing.
        poll_seconds: How often sagas that are due are looked for.
        meter: Creates the metrics.
        tracer: Makes spans; None: there are none.
    """

    def __init__(
        self,
        database: Database,
        *,
        recovery: Database,
        leases: Database | None = None,
        sagas: Iterable[AnySaga],
        owner: str,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        poll_seconds: float = POLL_SECONDS,
        meter: Meter = NO_METER,
        tracer: Tracer | None = None,
    ) -> None:
        self._database = database
        self._recovery = recovery
        self._spans = spans_of(tracer)
        self._steps = SagaStateMachine(sagas, self._spans)
        self._owner = owner
        self._meter = SagaMeter(meter)
        self._sleep = sleep
        self._tasks: set[asyncio.Task[None]] = set()
        self._answers: dict[UUID, _Answer] = {}
        self._leases = Leases(leases or recovery, owner=owner)
        self._takes_up = Recovery(
            self._leases,
            kinds=self._steps.kinds,
            meter=self._meter,
            drive=self._take_up,
            run=self._spawn,
            sleep=sleep,
            poll_seconds=poll_seconds,
        )

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
        return self._takes_up.is_running

    @property
    def recovery(self) -> Loop:
        """The loop that takes up sagas that are due."""
        return self._takes_up

    def start(self) -> None:
        """Begin to take up sagas that are due."""
        self._takes_up.start()

    async def retire(self) -> None:
        """Take up nothing more, and give back at once what was taken up.

        Sagas that were begun here go on: their callers wait for them.
        """
        await self._takes_up.stop()

    async def stop(self) -> None:
        """Retire, let running sagas end for a moment, and give the rest back."""
        await self.retire()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_GRACE_SECONDS)
        await self._leases.abandon(set(self._tasks), wait_seconds=STOP_GRACE_SECONDS)
        await self._leases.stop()

    # --- beginning and waiting

    async def _open_and_drive(
        self, new: NewSaga[P, R], key: DedupKey[R] | None, answer: _Answer
    ) -> None:
        traceparent = tracing.traceparent()

        async def t1(tx: Transaction) -> Saga | EarlierRequest:
            return await self._steps.begin(tx, new, key, owner=self._owner, traceparent=traceparent)

        since = time.monotonic()
        try:
            begun = await self._commit_surely("T1", t1)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller is told
            self._fail(new.id, answer, error)
            return
        if isinstance(begun, EarlierRequest):
            self._answer(new.id, begun)
        elif begun.lease_epoch != FIRST_EPOCH:
            self._answer(new.id, None)  # T1 took so long that another replica drives it by now
        else:
            lease = Lease.of(begun, since=since)
            self._leases.hold(lease, _this_task())
            with self._spans.begun(begun):
                await self._drive(begun, lease, self._database, patience_seconds=PATIENCE_SECONDS)

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
            async with asyncio.timeout(max(0.0, _left() - WAIT_RESERVE_SECONDS)):
                return await asyncio.shield(answer)
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

    def _take_up(self, saga: Saga, lease: Lease) -> asyncio.Task[None]:
        task = self._spawn(self._drive_recovered(saga, lease))
        self._leases.hold(lease, task)
        return task

    async def _drive_recovered(self, saga: Saga, lease: Lease) -> None:
        if saga.traceparent is not None:
            tracing.resume(saga.traceparent)
        with self._spans.recovered(saga):
            # One try: what fails goes to the end of a queue of its own.
            await self._drive(saga, lease, self._recovery, patience_seconds=0.0)

    async def _drive(
        self, saga: Saga, lease: Lease, database: Database, *, patience_seconds: float
    ) -> None:
        """Take a saga as far as it goes while this process holds its lease.

        Args:
            saga: The saga.
            lease: Its lease.
            database: The connections for its steps.
            patience_seconds: How long steps that fail are repeated.
        """
        structlog.contextvars.bind_contextvars(saga_id=str(saga.id), saga=saga.kind)
        ends_at = time.monotonic() + patience_seconds
        pauses = _pauses()
        try:
            while not saga.state.is_final:
                try:
                    await self._leases.ensure(lease)
                    before, saga = saga, await self._steps.next(saga, database)
                    self._meter.moved(before, saga)
                    self._tell(saga)
                except LeaseLost:
                    log.info("saga taken up elsewhere", state=saga.state)
                    return
                except Exception as error:
                    pause = next(pauses)
                    if saga.state is SagaState.COMPENSATING or time.monotonic() + pause > ends_at:
                        self._answer(saga.id, None)
                        await self._leases.postpone(saga, error)
                        return
                    unexpected = not isinstance(error, (DomainError, LockstepError))
                    log.info("saga step repeated", error=named(error), exc_info=unexpected)
                    await self._sleep(pause)
            self._tell(saga)
        finally:
            self._answer(saga.id, None)  # from now on any replica may end it: watch the row

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        # A context of its own: the caller's deadline must not bind the saga.
        context = tracing.detached()
        task = asyncio.get_running_loop().create_task(coroutine, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("saga driver failed", exc_info=error)


def _left() -> float:
    deadline = deadlines.current_deadline.get()
    return 10.0 if deadline is None else deadline - time.monotonic()


def _pauses(tries: int | None = None) -> Iterator[float]:
    longest = PAUSE_FIRST_SECONDS
    while tries is None or tries > 0:
        yield random.uniform(longest / 2, longest)
        longest = min(longest * 2, 1.0)
        tries = None if tries is None else tries - 1


def _this_task() -> asyncio.Task[None]:
    task = asyncio.current_task()
    assert task is not None
    return task
