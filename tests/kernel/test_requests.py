"""The same request again: whenever the other one comes, and however the first one ends.

The first to take the key decides, and the other one follows it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import NoReturn
from uuid import UUID

import pytest
from lockstep_clients import deadlines

from services.cli.postgres import EmbeddedPostgres
from services.kernel.db.database import Database, Reader, Transaction
from services.kernel.errors import (
    CommitUnknown,
    DatabaseUnavailable,
    DeadlineExceeded,
    DomainError,
    EtagMismatch,
    Forbidden,
    IllegalState,
    Internal,
    InvalidField,
    NotFound,
    SagaCancelled,
    SessionEnded,
    TooManyRequests,
    Violation,
)
from services.kernel.ids import new_id
from services.kernel.sagas.idempotency import EarlierRequest, RequestKey
from services.kernel.sagas.model import NewSaga
from services.kernel.sagas.requests import IdempotencyKey, Requests
from tests.kernel.saga_world import (
    THING,
    Made,
    Refused,
    ThingPayload,
    TooLate,
    World,
    create_tables,
    new_thing,
    world,
)
from tests.postgres import fresh_database, make_template

KEY = RequestKey(scope="anonymous", method="Make", key_hmac=b"k", fingerprint=b"r")

Hook = Callable[[], Awaitable[None]]


@pytest.fixture(scope="session")
def template(postgres: EmbeddedPostgres) -> str:
    return make_template(postgres, "requests_template", create_tables)


@pytest.fixture
async def w(postgres: EmbeddedPostgres, template: str, stack: ExitStack) -> AsyncIterator[World]:
    urls = [stack.enter_context(fresh_database(postgres, template)) for _ in range(2)]
    async with world(*urls) as made:
        yield made


class LongGone(NotFound):
    """The first saga was cleaned up."""

    reason = "LONG_GONE"


@dataclass
class Watched:
    """A dedup key, and whether somebody has looked for an earlier request."""

    key: IdempotencyKey
    found: asyncio.Event = field(default_factory=asyncio.Event)

    async def find(self, reader: Reader) -> EarlierRequest | None:
        earlier = await self.key.find(reader)
        self.found.set()
        return earlier

    async def take(self, tx: Transaction, saga_id: UUID) -> EarlierRequest | None:
        return await self.key.take(tx, saga_id)

    async def keep(self, database: Database, error: DomainError) -> EarlierRequest | None:
        return await self.key.keep(database, error)

    async def gone(self, reader: Reader) -> NoReturn:
        await self.key.gone(reader)


@dataclass
class Caller:
    """Sends a request, and lets a test step in.

    Attributes:
        refusal: What the check of the rules refuses with.
        seconds: How long it waits.
        saga_seconds: When the saga turns back; None: never.
        steps: What is awaited, once, when the request is there: at `check`, or an edge.
    """

    w: World
    request: RequestKey | None = KEY
    refusal: DomainError | None = None
    seconds: float = 10.0
    saga_seconds: float | None = None
    steps: dict[str, Hook] = field(default_factory=dict)
    checks: int = 0

    def __post_init__(self) -> None:
        self.key = Watched(IdempotencyKey(self.request, unknown=LongGone))

    async def __call__(self) -> str:
        """Return the thing that was made, or the reason why it was not."""
        return await asyncio.create_task(self._send())  # a task, for a deadline of its own

    async def _send(self) -> str:
        engine = await self.w.engine(observer=self._step, deadline_seconds=self.saga_seconds)
        deadlines.current_deadline.set(time.monotonic() + self.seconds)
        try:
            requests = Requests(engine._database, engine)
            made = await requests.run_once(THING, self.key, self._prepare)
        except DomainError as error:
            return error.reason
        return str(made.thing)

    async def _prepare(self) -> NewSaga[ThingPayload, Made]:
        self.checks += 1
        await self._step("check")
        if self.refusal is not None:
            raise self.refusal
        return new_thing(str(new_id()))

    async def _step(self, name: str) -> None:
        hook = self.steps.pop(name, None)
        if hook is not None:
            await hook()


@dataclass(frozen=True)
class Ending:
    """How the first request ends.

    Attributes:
        told: What its caller is told; empty: the thing that was made.
        is_kept: Whether a repeat gets the same, or what has become of it.
        begin: Brings it about.
    """

    name: str
    told: str
    is_kept: bool
    begin: Callable[[World, Caller], None]

    def heal(self, w: World) -> None:
        w.participant.refuses = False
        w.wire.create_faults = []


def nothing_fails(w: World, first: Caller) -> None:
    """Leave everything as it is."""


def participant_refuses(w: World, first: Caller) -> None:
    w.participant.refuses = True


def participant_is_away(w: World, first: Caller) -> None:
    w.wire.create_faults = ["lose request"] * 1000
    first.saga_seconds = 0.3


def caller_is_impatient(w: World, first: Caller) -> None:
    w.wire.create_faults = ["lose request"] * 1000
    first.seconds = 0.5


def check_refuses(w: World, first: Caller) -> None:
    first.refusal = Refused()


def check_is_unavailable(w: World, first: Caller) -> None:
    first.refusal = TooLate()


WITH_A_SAGA = [
    Ending("done", "", is_kept=True, begin=nothing_fails),
    Ending("kept by the saga", "PHONE_TAKEN", is_kept=True, begin=participant_refuses),
    Ending("freed by the saga", "PROFILE_UNAVAILABLE", is_kept=False, begin=participant_is_away),
    Ending("unknown", "DEADLINE_EXCEEDED", is_kept=True, begin=caller_is_impatient),
]
WITHOUT = [
    Ending("kept by a check", "PHONE_TAKEN", is_kept=True, begin=check_refuses),
    Ending("freed by a check", "PROFILE_UNAVAILABLE", is_kept=False, begin=check_is_unavailable),
]


@pytest.mark.parametrize("window", ["before", "check", "auth.T1.statement#2"])
@pytest.mark.parametrize("ending", [*WITH_A_SAGA, *WITHOUT], ids=lambda ending: ending.name)
async def test_the_second_to_take_the_key_gets_what_the_first_one_got(
    w: World, ending: Ending, window: str
) -> None:
    """[R5 R7]: the first ends before the other is sent, has checked, or takes the key in T1."""
    first, second = Caller(w), Caller(w)
    told = []

    async def ends() -> None:
        ending.begin(w, first)
        told.append(await first())
        ending.heal(w)

    if window == "before":
        await ends()
    else:
        second.steps[window] = ends
    answer = await second()
    await w.settled()
    await w.agree()
    made = await w.made()
    assert told == [ending.told or made[0]]
    if ending.told == "PHONE_TAKEN":
        assert answer == "PHONE_TAKEN"
        assert made == []
    else:
        assert [answer] == made
    is_repeat = window == "before" and ending.is_kept
    assert second.checks == (0 if is_repeat else 1)
    assert await Caller(w)() == answer


@pytest.mark.parametrize("ending", WITH_A_SAGA, ids=lambda ending: ending.name)
async def test_who_comes_while_the_first_is_under_way_waits_with_it(
    w: World, ending: Ending
) -> None:
    """[R5]: and is told the same, also when that frees the key."""
    first, second = Caller(w), Caller(w)
    begun = asyncio.Event()
    first.steps = {
        "auth.T1.commit.acked": _set(begun),
        "auth.T2.statement#1": second.key.found.wait,  # type: ignore[dict-item] # returns True
        "auth.T3.statement#1": second.key.found.wait,  # type: ignore[dict-item] # returns True
    }
    ending.begin(w, first)
    one = asyncio.create_task(first())
    await begun.wait()
    other = asyncio.create_task(second())
    told = await one
    ending.heal(w)
    answer = await other
    await w.settled()
    await w.agree()
    made = await w.made()
    assert told == (ending.told or made[0])
    assert answer == (made[0] if made else ending.told)
    assert second.checks == 0


def _set(event: asyncio.Event) -> Hook:
    async def hook() -> None:
        event.set()

    return hook


@pytest.mark.parametrize(
    "error",
    [
        TooLate(),
        EtagMismatch(),
        TooManyRequests(),
        SessionEnded(),
        InvalidField(Violation("a", "is bad")),
        Internal(),
        IllegalState(),
        Forbidden(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_copy_that_took_the_key_wins_over_any_refusal(w: World, error: DomainError) -> None:
    """[R5]"""
    first, second = Caller(w), Caller(w, refusal=error)
    told: list[str] = []

    async def ends() -> None:
        told.append(await first())

    second.steps["check"] = ends
    assert await second() == told[0]
    assert told == await w.made()


@pytest.mark.parametrize("error", [DeadlineExceeded(), DatabaseUnavailable(), CommitUnknown()])
async def test_only_what_speaks_of_one_try_is_told_although_a_copy_took_the_key(
    w: World, error: DomainError
) -> None:
    first, second = Caller(w), Caller(w, refusal=error)

    async def ends() -> None:
        await first()

    second.steps["check"] = ends
    assert await second() == error.reason
    assert [await Caller(w)()] == await w.made()


async def test_a_key_is_freed_when_the_participant_has_found_the_saga_too_late(w: World) -> None:
    """[R26]: it says nothing about the request, so the next try is a new one."""
    w.participant.refuses, w.participant.refusal = True, SagaCancelled
    assert await Caller(w, saga_seconds=5.0)() == "PROFILE_UNAVAILABLE"
    w.participant.refuses = False
    await w.settled()
    assert [await Caller(w)()] == await w.made()
    await w.agree()


async def test_a_saga_that_was_cleaned_up_is_neither_told_nor_kept(w: World) -> None:
    await Caller(w)()

    async def clean_up(tx: Transaction) -> None:
        await tx.connection.execute("DELETE FROM sagas")

    await w.coordinator.transact("clean up", clean_up)
    assert [await Caller(w)() for _ in range(2)] == ["LONG_GONE"] * 2


async def test_a_key_of_another_request_is_refused_in_every_window(w: World) -> None:
    """[R6]"""
    other = replace(KEY, fingerprint=b"other")
    for window in ("check", "auth.T1.statement#2"):
        second = Caller(w, replace(other, key_hmac=window.encode()))
        first = Caller(w, replace(KEY, key_hmac=window.encode()))

        async def ends(first: Caller = first) -> None:
            await first()

        second.steps[window] = ends
        assert await second() == "IDEMPOTENCY_KEY_REUSED"
    assert await Caller(w, replace(other, key_hmac=b"check"))() == "IDEMPOTENCY_KEY_REUSED"
    assert len(await w.made()) == 2


async def test_without_a_key_each_request_is_a_new_one(w: World) -> None:
    answers = [await Caller(w, None)() for _ in range(2)]
    assert sorted(answers) == await w.made()
    assert await Caller(w, None, refusal=IllegalState())() == "ILLEGAL_STATE"


async def test_a_t1_whose_answer_is_lost_finds_its_own_saga_before_its_key(w: World) -> None:
    """[R9]"""
    first = Caller(w)

    async def lose_answer() -> None:
        raise CommitUnknown

    first.steps["auth.T1.commit.acked"] = lose_answer
    assert [await first()] == await w.made()
    assert await w.states() == ["DONE"]


async def test_a_request_that_found_an_earlier_one_in_t1_leaves_no_saga(w: World) -> None:
    first, second = Caller(w), Caller(w)

    async def ends() -> None:
        await first()

    second.steps["auth.T1.statement#2"] = ends
    await second()
    assert await w.states() == ["DONE"]


async def test_a_refusal_that_cannot_be_kept_is_not_told(w: World) -> None:
    """Whoever is told no, and asks again, must be told no again."""
    first = Caller(w, refusal=IllegalState())

    async def fail() -> None:
        raise DatabaseUnavailable

    first.steps["auth.Make.refusal.statement#1"] = fail
    assert await first() == "DATABASE_UNAVAILABLE"
    assert [await Caller(w)()] == await w.made()
