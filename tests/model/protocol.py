"""The protocol of one saga as a state space that is small enough to visit all of it.

One saga, two drivers that may stop anywhere and go on at any time, messages that are lost,
late and repeated without limit, two clocks, and the clean-up of barriers. The names are those
of docs/architecture.md: T1, A, T2, T3, C, T4. The model begins after T1.

It knows no time of leases: a driver may claim at any time, and go on after the other has claimed.
So all that holds here holds whatever becomes of leases and their renewal. Drivers that are fenced
by the epoch of their lease, as the real ones are, do less and never more (`is_fenced`).

What else it leaves out: SQL, snapshots and connections, which tests/faults plays for real.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Protocol as Callback

DEADLINE = 1  # on the coordinator's clock; T1 is at 0
ALLOWANCE = 1  # how much later a message may come, for a participant whose clock is ahead
KEPT = 3  # how long a barrier is kept, on the participant's clock
TIME_MAX = 7
DRIVERS = 2


class Row(StrEnum):
    """The coordinator's row, which decides."""

    RUNNING = "RUNNING"
    DONE = "DONE"
    COMPENSATING = "COMPENSATING"
    ABORTED = "ABORTED"


class Barrier(StrEnum):
    """The participant's row; NONE: there is no row."""

    NONE = "-"
    DONE = "DONE"
    REJECTED = "REJECTED"
    CANCELLED = "CANCELLED"


class Step(StrEnum):
    """The next step of a driver."""

    REST = "rest"
    ASK = "ask"
    WAIT = "wait for A"
    COMPLETE = "T2"
    TURN = "T3"
    CANCEL = "send C"
    WAIT_CANCEL = "wait for C"
    UNDO = "T4"


class Reply(StrEnum):
    """An answer of the participant."""

    OK = "ok"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    UNDONE = "undone"


class Move(Callback):
    """Moves one driver on."""

    def __call__(self, step: Step, after: State = ..., /) -> State:
        """Return the state after it; `after` is the rest of that state."""


_DECISIONS = (Step.COMPLETE, Step.TURN, Step.UNDO)


@dataclass(frozen=True, slots=True)
class State:
    """Everything that the parties know, and everything that is on its way.

    Attributes:
        user: Whether the coordinator's own change is there: provisional or, in DONE, final.
        sent: The messages that were ever sent. Each may arrive any number of times, or never.
        replies: The replies that were ever given; each may reach any driver that waits.
        told: The outcomes that a caller may have been told: those of DONE and COMPENSATING.
        holder: The driver whose lease has the row's epoch; nobody asks unless drivers are fenced.
        expires: When the clean-up may take the barrier, on the participant's clock.
    """

    row: Row = Row.RUNNING
    user: bool = True
    profile: bool = False
    barrier: Barrier = Barrier.NONE
    expires: int = 0
    coordinator_clock: int = 0
    participant_clock: int = 0
    drivers: tuple[Step, ...] = (Step.ASK, *[Step.REST] * (DRIVERS - 1))
    sent: frozenset[str] = frozenset()
    replies: frozenset[Reply] = frozenset()
    told: frozenset[Row] = frozenset()
    holder: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """The protections of the protocol; a test switches each of them off.

    Attributes:
        compares: T2, T3 and T4 are compare-and-sets.
        turns_first: No Cancel is sent before T3 is committed.
        has_not_after: A message that comes too late is refused.
        keeps_barriers: The clean-up waits until no message can be accepted any more.
        remembers_refusals: A refusal leaves a row, and its branch is cancelled all the same.
        keeps_cancels: A Cancel that finds nothing leaves a tombstone.
        cancels_by_saga: A Cancel undoes by the saga's id, whether there is a barrier or not.
        keeps_tombstones: A late step that is refused leaves the tombstone where it is.
        undoes_last: The coordinator undoes its own change after the participant has undone.
        is_fenced: A driver decides nothing once the other has claimed the saga. No protection:
            it only takes moves away.
        skew_max: How far the two clocks may differ.
        allowance: How much later than the coordinator's deadline a message may come.
    """

    compares: bool = True
    turns_first: bool = True
    has_not_after: bool = True
    keeps_barriers: bool = True
    remembers_refusals: bool = True
    keeps_cancels: bool = True
    cancels_by_saga: bool = True
    keeps_tombstones: bool = True
    undoes_last: bool = True
    is_fenced: bool = False
    skew_max: int = 1
    allowance: int = ALLOWANCE

    @property
    def not_after(self) -> int:
        """The time in a message, after which the participant refuses it."""
        return DEADLINE + self.allowance

    def moves(self, state: State) -> Iterator[tuple[str, State]]:
        """Return every move that is possible in a state, and where it leads."""
        yield from self._clocks(state)
        yield from self._participant(state)
        for number in range(DRIVERS):
            for name, after in self._driver(state, number):
                yield f"driver {number}: {name}", after

    # --- time

    def _clocks(self, state: State) -> Iterator[tuple[str, State]]:
        ours, theirs = state.coordinator_clock, state.participant_clock
        if self.skew_max == 0:
            steps = [("both clocks", ours + 1, theirs + 1)]
        else:
            steps = [
                ("the coordinator's clock", ours + 1, theirs),
                ("the participant's clock", ours, theirs + 1),
            ]
        for name, a, b in steps:
            if max(a, b) <= TIME_MAX and abs(a - b) <= self.skew_max:
                yield name, replace(state, coordinator_clock=a, participant_clock=b)

    # --- the participant

    def _participant(self, state: State) -> Iterator[tuple[str, State]]:
        if "A" in state.sent:
            yield from self._arrival(state)
        if "C" in state.sent:
            yield "C arrives", self._cancelled(state)
        is_over = not self.keeps_barriers or state.participant_clock > state.expires
        if state.barrier is not Barrier.NONE and is_over:
            yield "clean-up", replace(state, barrier=Barrier.NONE)

    def _arrival(self, state: State) -> Iterator[tuple[str, State]]:
        match state.barrier:
            case Barrier.NONE:
                if self.has_not_after and state.participant_clock > self.not_after:
                    yield "A arrives too late", _replied(state, Reply.CANCELLED)
                    return
                yield "A is done", self._done(state)
                yield "A is refused", self._refused(state)
            case Barrier.DONE:
                yield "A again", _replied(state, Reply.OK)
            case Barrier.REJECTED:
                yield "A refused again", _replied(state, Reply.REFUSED)
            case Barrier.CANCELLED:
                kept = Barrier.CANCELLED if self.keeps_tombstones else Barrier.NONE
                yield "A is cancelled", _replied(replace(state, barrier=kept), Reply.CANCELLED)

    def _done(self, state: State) -> State:
        expires = self.not_after + KEPT
        done = replace(state, barrier=Barrier.DONE, profile=True, expires=expires)
        return _replied(done, Reply.OK)

    def _refused(self, state: State) -> State:
        barrier = Barrier.REJECTED if self.remembers_refusals else Barrier.NONE
        refused = replace(state, barrier=barrier, expires=self.not_after + KEPT)
        return _replied(refused, Reply.REFUSED)

    def _cancelled(self, state: State) -> State:
        was = state.barrier
        barrier, expires = Barrier.CANCELLED, state.expires
        if was is Barrier.NONE:
            expires = state.participant_clock + KEPT
            barrier = Barrier.CANCELLED if self.keeps_cancels else Barrier.NONE
        undoes = self.cancels_by_saga or was is Barrier.DONE
        profile = state.profile and not undoes
        undone = replace(state, barrier=barrier, expires=expires, profile=profile)
        return _replied(undone, Reply.UNDONE)

    # --- the drivers

    def _driver(self, state: State, number: int) -> Iterator[tuple[str, State]]:
        def to(step: Step, after: State = state) -> State:
            drivers = list(after.drivers)
            drivers[number] = step
            return replace(after, drivers=tuple(drivers))

        step = state.drivers[number]
        if step is Step.REST:
            holder = number if self.is_fenced else state.holder
            yield from self._claim(replace(state, holder=holder), to)
            return
        if step in _DECISIONS and self.is_fenced and state.holder != number:
            yield f"{step} finds another epoch", to(Step.REST)
            return
        yield "stops", to(Step.REST)
        yield from self._forward(state, step, to)
        yield from self._back(state, step, to)

    def _forward(self, state: State, step: Step, to: Move) -> Iterator[tuple[str, State]]:
        if step is Step.ASK and not self.turns_first:
            yield "sends C", replace(state, sent=state.sent | {"C"})
        match step:
            case Step.ASK if state.coordinator_clock <= DEADLINE:
                yield "sends A", to(Step.WAIT, replace(state, sent=state.sent | {"A"}))
            case Step.ASK:
                yield "time is up", to(Step.TURN)
            case Step.WAIT:
                yield "asks again", to(Step.ASK)
                if Reply.OK in state.replies:
                    yield "hears ok", to(Step.COMPLETE)
                if state.replies & {Reply.REFUSED, Reply.CANCELLED}:
                    yield "hears no", to(Step.TURN)
            case Step.COMPLETE:
                yield "T2", to(Step.REST, self._t2(state))

    def _back(self, state: State, step: Step, to: Move) -> Iterator[tuple[str, State]]:
        match step:
            case Step.TURN:
                turned = self._t3(state)
                goes_on = turned.row is Row.COMPENSATING
                yield "T3", to(self._after_t3(state) if goes_on else Step.REST, turned)
            case Step.CANCEL:
                yield "sends C", to(Step.WAIT_CANCEL, replace(state, sent=state.sent | {"C"}))
            case Step.WAIT_CANCEL:
                yield "sends C again", to(Step.CANCEL)
                if Reply.UNDONE in state.replies:
                    yield "hears undone", to(Step.UNDO)
            case Step.UNDO:
                yield "T4", to(Step.REST, self._t4(state))

    def _claim(self, state: State, to: Move) -> Iterator[tuple[str, State]]:
        if state.row is Row.RUNNING:
            yield "claims", to(Step.ASK, state)
        if state.row is Row.COMPENSATING:
            yield "claims", to(self._after_t3(state), state)

    def _after_t3(self, state: State) -> Step:
        if not self.undoes_last:
            return Step.UNDO
        if not self.remembers_refusals and Reply.REFUSED in state.replies:
            return Step.UNDO
        return Step.CANCEL

    def _t2(self, state: State) -> State:
        if self.compares and state.row not in (Row.RUNNING, Row.DONE):
            return state
        return _decided(state, Row.DONE)

    def _t3(self, state: State) -> State:
        if self.compares and state.row not in (Row.RUNNING, Row.COMPENSATING):
            return state
        return _decided(state, Row.COMPENSATING)

    def _t4(self, state: State) -> State:
        if self.compares and state.row is not Row.COMPENSATING:
            return state
        sent = state.sent if self.undoes_last else state.sent | {"C"}
        return replace(state, row=Row.ABORTED, user=False, sent=sent)


PROTECTIONS = [
    each.name for each in fields(Protocol) if each.type == "bool" and each.name != "is_fenced"
]


def _decided(state: State, row: Row) -> State:
    return replace(state, row=row, told=state.told | {row})


def _replied(state: State, reply: Reply) -> State:
    return replace(state, replies=state.replies | {reply})


def broken(state: State) -> str | None:
    """Return the invariant that a state breaks, or None."""
    if state.row is Row.DONE and not (state.user and state.profile):
        return "I1: DONE without both"
    if state.row is Row.ABORTED and state.user:
        return "I2: ABORTED with a user"
    if state.row is Row.ABORTED and state.profile:
        return "I2: ABORTED with a profile"
    if len(state.told) > 1:
        return "I3: two outcomes for one saga"
    if "C" in state.sent and state.row in (Row.RUNNING, Row.DONE):
        return "P6: Cancel before T3"
    return None


@dataclass(slots=True)
class Explored:
    """The state space of a protocol.

    Attributes:
        came_from: Of each state the state before it and the move that led there first.
        failure: The first broken invariant, with the moves that lead to it.
    """

    protocol: Protocol
    came_from: dict[State, tuple[State, str] | None]
    failure: str | None = None
    trace: list[str] = field(default_factory=list)


def explore(protocol: Protocol) -> Explored:
    """Visit every state, the nearest first, or stop at the first one that breaks a rule."""
    skews = range(-protocol.skew_max, protocol.skew_max + 1)
    begin = [State(participant_clock=skew) for skew in skews]
    found = Explored(protocol, dict.fromkeys(begin))
    waiting = deque(begin)
    while waiting:
        state = waiting.popleft()
        if (failure := broken(state)) is not None:
            found.failure, found.trace = failure, _trace(found, state)
            return found
        for name, after in protocol.moves(state):
            if after not in found.came_from:
                found.came_from[after] = state, name
                waiting.append(after)
    return found


def _trace(found: Explored, state: State) -> list[str]:
    moves: list[str] = []
    while (before := found.came_from[state]) is not None:
        state, name = before
        moves.append(name)
    return moves[::-1]


def stuck(found: Explored) -> set[State]:
    """Return the states from which no moves lead to DONE or ABORTED."""
    before: dict[State, list[State]] = {}
    for state in found.came_from:
        for _, after in found.protocol.moves(state):
            before.setdefault(after, []).append(state)
    waiting = [state for state in found.came_from if state.row in (Row.DONE, Row.ABORTED)]
    ends = set(waiting)
    while waiting:
        for state in before.get(waiting.pop(), ()):
            if state not in ends:
                ends.add(state)
                waiting.append(state)
    return found.came_from.keys() - ends
