"""The metrics of sagas: those that end, and those that wait."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from opentelemetry.metrics import Meter, Observation
from sqlalchemy import func, literal_column, select

from services.kernel.db.database import Database
from services.kernel.db.statement import NoParameters, Statement
from services.kernel.db.survey import Survey
from services.kernel.db.tables import SAGAS, clock_once, seconds_since
from services.kernel.db.tables import UNFINISHED as UNFINISHED_STATES
from services.kernel.sagas.model import Saga, SagaState
from services.kernel.telemetry.metrics import DURATION_BUCKETS

COUNTED_MAX: Final = 10_000
KIND: Final = "lockstep.saga.kind"
STATE: Final = "lockstep.saga.state"
REASON: Final = "lockstep.saga.reason"


@dataclass(frozen=True, slots=True)
class Unfinished:
    """The unfinished sagas of one kind in one state.

    Attributes:
        sagas: How many there are.
        due: How many wait to be taken up.
        due_seconds: How long the oldest of these has waited.
        parked: How many have failed so often that somebody must look.
    """

    kind: str
    state: str
    sagas: int
    due: int
    due_seconds: float
    parked: int


# Those that were due first, or will be next. The count of a longer queue ends there.
_SOONEST = (
    select(SAGAS.c.kind, SAGAS.c.state, SAGAS.c.next_run_at, SAGAS.c.parked_at)
    .where(UNFINISHED_STATES)
    .order_by(SAGAS.c.next_run_at)
    .limit(literal_column(str(COUNTED_MAX)))
    .subquery()
)
_IS_DUE = _SOONEST.c.next_run_at <= clock_once()
_DUE_SINCE = func.min(_SOONEST.c.next_run_at).filter(_IS_DUE)
UNFINISHED: Final = Statement(
    select(
        _SOONEST.c.kind,
        _SOONEST.c.state,
        func.count().label("sagas"),
        func.count().filter(_IS_DUE).label("due"),
        seconds_since(_DUE_SINCE).label("due_seconds"),
        func.count(_SOONEST.c.parked_at).label("parked"),
    ).group_by(_SOONEST.c.kind, _SOONEST.c.state),
    NoParameters,
    Unfinished,
)


class SagaMeter:
    """Counts the sagas that this process drives to an end or turns back."""

    def __init__(self, meter: Meter) -> None:
        self._claimed_at = time.monotonic()
        self._ended = meter.create_counter(
            "lockstep.saga.ended", unit="{saga}", description="Sagas that have ended"
        )
        self._turned_back = meter.create_counter(
            "lockstep.saga.turned_back",
            unit="{saga}",
            description="Sagas that are undone, by the reason that their caller is told",
        )
        self._unreadable = meter.create_counter(
            "lockstep.saga.unreadable",
            unit="{saga}",
            description="Sagas that were postponed, because their rows cannot be read",
        )
        self._durations = meter.create_histogram(
            "lockstep.saga.duration",
            unit="s",
            description="The time from a saga's beginning to its end",
            explicit_bucket_boundaries_advisory=[*DURATION_BUCKETS, 60.0, 600.0, 3600.0],
        )
        meter.create_observable_gauge(
            "lockstep.saga.claim.age",
            callbacks=[lambda _: [Observation(time.monotonic() - self._claimed_at)]],
            unit="s",
            description="The time since this process last looked for due sagas",
        )

    def claimed(self) -> None:
        """Note that this process has looked for due sagas."""
        self._claimed_at = time.monotonic()

    def unreadable(self, kind: str) -> None:
        """Note that this process has postponed a saga that it cannot read."""
        self._unreadable.add(1, {KIND: kind})

    def moved(self, before: Saga, now: Saga) -> None:
        """Note a change of a saga's state."""
        if now.state is before.state:
            return
        kind = {KIND: now.kind}
        if now.state is SagaState.COMPENSATING:
            reason = now.error.reason if now.error is not None else ""
            self._turned_back.add(1, {**kind, REASON: reason})
        if now.state.is_final:
            state = {**kind, STATE: now.state}
            self._ended.add(1, state)
            self._durations.record((now.update_time - now.create_time).total_seconds(), state)


def saga_survey(database: Database, meter: Meter) -> Survey[Unfinished]:
    """Return the survey of the unfinished sagas in the database."""
    survey = Survey(
        database, meter, UNFINISHED, "sagas", lambda row: {KIND: row.kind, STATE: row.state}
    )
    survey.gauge(
        "lockstep.saga.unfinished",
        lambda row: row.sagas,
        unit="{saga}",
        description=f"Unfinished sagas, {COUNTED_MAX:,} at most",
    )
    survey.gauge(
        "lockstep.saga.due",
        lambda row: row.due,
        unit="{saga}",
        description="Unfinished sagas that wait to be taken up",
    )
    survey.gauge(
        "lockstep.saga.due.age",
        lambda row: row.due_seconds,
        unit="s",
        description="The longest wait of a saga that is due",
    )
    survey.gauge(
        "lockstep.saga.parked",
        lambda row: row.parked,
        unit="{saga}",
        description="Unfinished sagas that keep failing, so that somebody must look",
    )
    return survey
