"""A question that is put to the database every few seconds, for metrics."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Generic, TypeVar

import structlog
from opentelemetry.metrics import CallbackOptions, Meter, Observation

from services.kernel.db.database import Database
from services.kernel.db.statement import NoParameters, Statement
from services.kernel.errors import DatabaseUnavailable
from services.kernel.tasks import PeriodicTask

EVERY_SECONDS: Final = 15.0

R = TypeVar("R")

log = structlog.get_logger("lockstep.survey")


class Survey(PeriodicTask, Generic[R]):
    """Runs a statement every few seconds, and makes gauges of the last answer.

    Every replica tells the same numbers, so a query over replicas takes their maximum.

    Args:
        database: The database.
        meter: Creates the gauges.
        statement: The statement; each of its rows is a value of each gauge.
        name: What it asks about, such as `sagas`.
        attributes: Returns the attributes of a row.
    """

    def __init__(
        self,
        database: Database,
        meter: Meter,
        statement: Statement[NoParameters, R],
        name: str,
        attributes: Callable[[R], Mapping[str, str]] = lambda _: {},
    ) -> None:
        super().__init__(self._run, name=f"survey of {name}")
        self._database = database
        self._meter = meter
        self._statement = statement
        self._attributes = attributes
        self._rows: Sequence[R] = ()

    def gauge(self, name: str, value: Callable[[R], float], *, unit: str, description: str) -> None:
        """Create a gauge."""

        def read(_options: CallbackOptions) -> Iterable[Observation]:
            for row in self._rows:
                yield Observation(value(row), self._attributes(row))

        self._meter.create_observable_gauge(
            name, callbacks=[read], unit=unit, description=description
        )

    async def ask(self) -> None:
        """Ask once.

        Raises:
            DatabaseUnavailable: The database did not answer in time.
        """
        self._rows = await self._database.all(self._statement, NoParameters())
        self.succeeded()

    async def _run(self) -> None:
        while True:
            try:
                await self.ask()
            except DatabaseUnavailable:
                log.warning("cannot survey")
            except Exception:
                log.exception("cannot survey")
            await asyncio.sleep(EVERY_SECONDS * random.uniform(0.8, 1.2))
