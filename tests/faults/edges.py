"""Edges, and what can go wrong at them.

An edge is a point that an actor passes: a statement or commit on its way to a database,
a request or reply on the wire. Its name says who and where, and `~2` the second time:
`a1.T1.commit.sent`, `p1.CreateProfile.handled`, `a1.CreateProfile.request~2`.
A schedule names edges and the fault that waits there.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import psycopg

PAUSE_SECONDS = 20.0
NAP_SECONDS = 4.5
DOWN_SECONDS = 20.0
JUMP_SECONDS = 11.0
SLOW_SECONDS = 8.0
# PostgreSQL ends a session that idles in a transaction for so long (see `limits.LIMITS`).
IDLE_SECONDS = 5.0
WEEKS_SECONDS = 8 * 86400.0
SKEW_SECONDS = 600.0
# A caller that waits looks ten times a second, and each look is a read.
READS_STRUCK = 2
# More calls of one method while the clock stands still are calls without end.
CALLS_AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class Strike:
    """A fault at an edge."""

    edge: str
    fault: str

    def __str__(self) -> str:
        return f"{self.edge}:{self.fault}"


Schedule = tuple[Strike, ...]


def parse(text: str) -> Schedule:
    """Read what `str` of strikes wrote, separated by spaces."""
    return tuple(Strike(*word.rsplit(":", 1)) for word in text.split())


# The faults of each edge, by the end of its name. `wire` carries out those of the wire, and
# this module all others.
ACKED_BY_ALL = ("crash", "pause", "nap", "sweep")
DATABASE_FAULTS = ("crash", "pause", "nap", "cut", "readonly", "leave", "jump", "stop")
FAULTS = {
    "statement": DATABASE_FAULTS,
    "sent": ("crash", "pause", "nap", "overlap", "slow", "cut", "lost", "leave", "stop"),
    "acked": (*ACKED_BY_ALL, "leave", "jump", "age", "stop", "ahead", "behind"),
    "read": ("crash", "pause", "cut"),
    "request": ("refuse", "lose", "twice", "again", "delay", "down", "pause", "jump", "leave"),
    "arrive": ("crash", "pause"),
    "handled": ("crash", "pause", "nap"),
    "page": ("crash", "pause", "nap"),
    "reply": ("lose", "reset", "garble", "crash", "pause", "nap", "jump"),
}
CLIENT_FAULTS = {"request": ("twice", "ahead", "behind"), "reply": ("lose",)}
# A participant decides nothing, and only its callers wait for it.
PARTICIPANT_FAULTS = FAULTS | {
    "statement": tuple(f for f in DATABASE_FAULTS if f not in ("leave", "jump", "stop")),
    "sent": tuple(f for f in FAULTS["sent"] if f not in ("leave", "stop")),
    "acked": ACKED_BY_ALL,
    "arrive": ("crash", "pause", "ahead", "behind"),
}
# A failover can lose only the commit that begins a saga: a later write confirms it.
FAILOVER_EDGE = ".T1.commit.sent"
# A saga has the time to outlive these faults: they must not make it turn back.
BENIGN = frozenset({"twice", "again", "reset", "garble", "refuse", "cut", "lost", "sweep"})
# Faults of a clock that is not the coordinator's must not do so either.
SKEWS = frozenset({"ahead", "behind"})


def faults_at(edge: str) -> Sequence[str]:
    """Return the faults that can happen at an edge."""
    actor, _, rest = edge.partition(".")
    kind = rest.partition("~")[0].rpartition(".")[2].partition("#")[0]
    if actor == "client":
        return CLIENT_FAULTS.get(kind, ())
    if kind == "read" and int(rest.partition("~")[2] or 1) > READS_STRUCK:
        return ()
    if actor[0] == "p":
        return PARTICIPANT_FAULTS.get(kind, ())
    faults = FAULTS.get(kind, ())
    return (*faults, "failover") if FAILOVER_EDGE in edge else faults


@dataclass(eq=False)
class Actor:
    """A process: a replica of a service, or the client."""

    name: str
    service: str
    died: asyncio.Future[None]
    dead: bool = False
    stopping: bool = False
    resumed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.resumed.set()


class Stage(Protocol):
    """The effects of faults on the world."""

    def kill_sessions(self, actor: Actor, *, idle_only: bool) -> None:
        """End an actor's sessions at the database."""

    def sweep(self) -> None:
        """Let the cleaners of all services do a round."""

    def skew(self, actor: Actor, seconds: float) -> None:
        """Move the clock of an actor's database; of a client: that of the participant's."""

    def has_opened(self) -> bool:
        """Say whether a saga of this run can be seen."""

    def lose_opening(self) -> None:
        """Fail over to a standby that never got T1."""

    async def stop(self, actor: Actor) -> None:
        """Send SIGTERM to an actor."""

    def committed(self, actor: Actor, edge: str) -> None:
        """Look at the tables, because they have changed."""

    def sending(self, method: str, message: bytes) -> None:
        """Look at a message that is about to be sent."""

    def meet(self) -> asyncio.Task[None]:
        """Send the other request of two that meet."""


@dataclass(eq=False)
class Run:
    """One schedule under way.

    Attributes:
        plan: The faults that have not happened yet.
        trace: The edges that were passed.
        hit: The faults that happened.
        violations: Broken promises, the first one first.
        late: Messages that were held back, to be delivered in the end.
        lingering: Commits that take long, and their actors.
        jumps: How many jumps of the clock are not over yet.
        doomed: Commits whose answer will be lost ("lost") or that never arrive ("cut").
        severed: Readers whose connection will be lost before they read.
        at_once: The calls since the clock has moved, and when that was.
        endless: The methods that were called without end.
    """

    stage: Stage
    plan: dict[str, str]
    client: Actor
    trace: list[str] = field(default_factory=list)
    hit: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    late: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    lingering: dict[asyncio.Task[Any] | None, Actor] = field(default_factory=dict)
    doomed: dict[asyncio.Task[Any] | None, str] = field(default_factory=dict)
    severed: set[asyncio.Task[Any] | None] = field(default_factory=set)
    overlapping: dict[asyncio.Event, str | None] = field(default_factory=dict)
    met: asyncio.Task[None] | None = None
    paused: set[Actor] = field(default_factory=set)
    jumps: int = 0
    on_leave: Callable[[], object] = lambda: None
    background: set[asyncio.Task[Any]] = field(default_factory=set)
    down: set[str] = field(default_factory=set)
    sent: Counter[str] = field(default_factory=Counter)
    at_once: tuple[float, Counter[str]] = field(default_factory=lambda: (0.0, Counter()))
    endless: set[str] = field(default_factory=set)
    unexpected: list[str] = field(default_factory=list)
    unreplicated: bool = False
    losing: bool = False
    healed: bool = False
    counts: Counter[str] = field(default_factory=Counter)

    def watch(self, task: asyncio.Task[Any]) -> None:
        """Keep a task, and ignore its errors."""
        self.background.add(task)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())

    def has_met(self, *faults: str) -> bool:
        """Return whether one of these faults has happened."""
        return any(hit.rpartition(":")[2] in faults for hit in self.hit)

    def blame(self, text: str) -> None:
        """Note a broken promise."""
        self.violations.append(text)

    async def calling(self, method: str) -> None:
        """Count a call. Who calls without end waits, so that the clock can move."""
        loop = asyncio.get_running_loop()
        self.sent[method] += 1
        if self.at_once[0] != loop.time():
            self.at_once = loop.time(), Counter()
        counts = self.at_once[1]
        counts[method] += 1
        if counts[method] > CALLS_AT_ONCE and method not in self.endless:
            self.endless.add(method)
            self.blame(f"{method} was sent {counts[method]} times at once")
        if method in self.endless:
            await asyncio.sleep(1)

    async def at(self, actor: Actor, edge: str) -> str | None:
        """Pass an edge; returns the fault of the wire that happens there, if any."""
        await self.gate(actor)
        self.counts[edge] += 1
        number = self.counts[edge]
        label = edge if number == 1 else f"{edge}~{number}"
        self.trace.append(label)
        if edge.endswith("commit.acked"):
            self.stage.committed(actor, edge)
        fault = None if self.healed else self.plan.pop(label, None)
        if fault is None:
            return None
        self.hit.append(f"{label}:{fault}")
        strike = _STRIKES.get(fault)
        if strike is None:
            return fault
        await strike(self, actor, edge)
        await self.gate(actor)
        return None

    async def gate(self, actor: Actor) -> None:
        """Wait while an actor is stopped, for ever when it is dead."""
        await actor.resumed.wait()
        if actor.dead:
            await asyncio.get_running_loop().create_future()

    def ended(self, task: asyncio.Task[Any] | None) -> None:
        """Note that the server has answered a commit."""
        self.lingering.pop(task, None)

    def is_held(self) -> bool:
        """Return whether a fault is still at work."""
        lingers = any(not actor.dead for actor in self.lingering.values())
        return bool(self.paused or self.jumps or self.down or lingers)

    def blocked(self) -> bool:
        """End the commits that take until somebody waits for them."""
        waits = _transaction(self.trace[-1]) if self.trace else ""
        released = [event for event, own in self.overlapping.items() if own != waits]
        for event in released:
            del self.overlapping[event]
            event.set()
        return bool(released)

    def pause(self, actor: Actor, seconds: float) -> None:
        """Stop an actor as SIGSTOP does."""
        loop = asyncio.get_running_loop()
        actor.resumed.clear()
        self.paused.add(actor)
        loop.call_later(min(IDLE_SECONDS, seconds), self._end_idle, actor)
        loop.call_later(seconds, self._resume, actor)

    def _end_idle(self, actor: Actor) -> None:
        if actor in self.paused:
            self.stage.kill_sessions(actor, idle_only=True)

    def _resume(self, actor: Actor) -> None:
        self.paused.discard(actor)
        actor.resumed.set()


async def _crash(run: Run, actor: Actor, edge: str) -> None:
    actor.dead = True
    if not actor.died.done():
        actor.died.set_result(None)
    run.stage.kill_sessions(actor, idle_only=False)


async def _pause(run: Run, actor: Actor, edge: str) -> None:
    run.pause(actor, PAUSE_SECONDS)


async def _nap(run: Run, actor: Actor, edge: str) -> None:
    run.pause(actor, NAP_SECONDS)


async def _overlap(run: Run, actor: Actor, edge: str) -> None:
    """Take long to commit: until somebody waits for a lock, at most for a while."""
    await _linger(run, actor, None)


async def _slow(run: Run, actor: Actor, edge: str) -> None:
    """Take long to commit: until somebody waits in another transaction."""
    await _linger(run, actor, _transaction(edge))


async def _linger(run: Run, actor: Actor, own: str | None) -> None:
    event = asyncio.Event()
    run.lingering[asyncio.current_task()] = actor
    run.overlapping[event] = own
    asyncio.get_running_loop().call_later(SLOW_SECONDS, event.set)
    await event.wait()
    run.overlapping.pop(event, None)


def _transaction(edge: str) -> str:
    return edge.split(".")[1]


async def _cut(run: Run, actor: Actor, edge: str) -> None:
    if edge.endswith("commit.sent"):
        run.doomed[asyncio.current_task()] = "cut"
    elif ".read" in edge:
        run.severed.add(asyncio.current_task())
    else:
        run.stage.kill_sessions(actor, idle_only=True)


async def _lost(run: Run, actor: Actor, edge: str) -> None:
    run.doomed[asyncio.current_task()] = "lost"


async def _failover(run: Run, actor: Actor, edge: str) -> None:
    run.doomed[asyncio.current_task()] = "lost"
    # Who sees an opening sees it after the standby has it: what a copy commits then loses nothing.
    run.unreplicated = run.losing = not run.stage.has_opened()


async def _readonly(run: Run, actor: Actor, edge: str) -> None:
    raise psycopg.errors.ReadOnlySqlTransaction("failing over")


async def _leave(run: Run, actor: Actor, edge: str) -> None:
    run.on_leave()
    await asyncio.sleep(0)


async def _jump(run: Run, actor: Actor, edge: str) -> None:
    run_loop(JUMP_SECONDS)
    # Those who are due now act before this actor does. Nothing heals before that.
    run.jumps += 1
    try:
        await asyncio.sleep(0.5)
    finally:
        run.jumps -= 1


async def _age(run: Run, actor: Actor, edge: str) -> None:
    """Let days pass, unless a request is under way meanwhile: its deadline would have ended it."""
    meets = run.met is not None and not run.met.done()
    if not run.overlapping and not meets:
        run_loop(WEEKS_SECONDS)
    run.stage.sweep()


async def _sweep(run: Run, actor: Actor, edge: str) -> None:
    run.stage.sweep()


async def _ahead(run: Run, actor: Actor, edge: str) -> None:
    run.stage.skew(actor, SKEW_SECONDS)


async def _behind(run: Run, actor: Actor, edge: str) -> None:
    run.stage.skew(actor, -SKEW_SECONDS)


async def _meet(run: Run, actor: Actor, edge: str) -> None:
    """Let the other request go as far as it can: to its end, or until it waits for a lock."""
    event = asyncio.Event()
    run.met = other = run.stage.meet()
    other.add_done_callback(lambda _: event.set())
    run.overlapping[event] = None
    asyncio.get_running_loop().call_later(SLOW_SECONDS, event.set)
    await event.wait()
    run.overlapping.pop(event, None)


async def _stop(run: Run, actor: Actor, edge: str) -> None:
    await run.stage.stop(actor)


def run_loop(seconds: float) -> None:
    """Move the clock of everybody."""
    from tests.faults.clock import VirtualLoop

    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop.jump(seconds)


_STRIKES = {
    "crash": _crash,
    "pause": _pause,
    "nap": _nap,
    "overlap": _overlap,
    "slow": _slow,
    "cut": _cut,
    "lost": _lost,
    "failover": _failover,
    "readonly": _readonly,
    "leave": _leave,
    "jump": _jump,
    "meet": _meet,
    "age": _age,
    "sweep": _sweep,
    "ahead": _ahead,
    "behind": _behind,
    "stop": _stop,
}
