"""A database whose transactions are spans."""

from __future__ import annotations

from typing import Any, Final, TypeVar

from opentelemetry.trace import SpanKind, Tracer, get_current_span

from services.kernel.db.database import Database, Work
from services.kernel.telemetry.spans import spanning

T = TypeVar("T")
ATTRIBUTES: Final = {"db.system.name": "postgresql"}


class TracedDatabase(Database):
    """Makes a span of each transaction of a request or a saga, with its name.

    Transactions of loops begin no traces: there would be one each second.

    Args:
        url: As for `Database`, and so are all further arguments.
        tracer: Makes the spans.
    """

    def __init__(self, url: str, *, tracer: Tracer, **more: Any) -> None:
        super().__init__(url, **more)
        self._tracer = tracer

    async def _tries(self, name: str, work: Work[T]) -> T:
        if not get_current_span().get_span_context().is_valid:
            return await super()._tries(name, work)
        with spanning(
            self._tracer, f"{self.name}.{name}", kind=SpanKind.CLIENT, attributes=ATTRIBUTES
        ):
            return await super()._tries(name, work)
