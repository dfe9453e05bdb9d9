"""What `lockstep reconcile --every` tells on its management port."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from services.cli.clocks import CLOCKS
from services.cli.comparison import Kind
from services.common.settings import CommonSettings
from services.kernel.ids import process_name
from services.kernel.telemetry.management import managed
from services.kernel.telemetry.metrics import Telemetry

NAME: Final = "reconcile"
KINDS: Final = (*(kind.value for kind in Kind), CLOCKS)


class Findings:
    """The findings of the last look that came to its end.

    Args:
        meter: Creates the metric.

    Attributes:
        is_known: Whether a look has come to its end.
    """

    def __init__(self, meter: Meter) -> None:
        self.is_known = False
        self._counts = Counter[str]()
        meter.create_observable_gauge(
            "lockstep.reconcile.findings",
            callbacks=[self._read],
            unit="{finding}",
            description="Differences between the databases that the last look has left",
        )

    def note(self, counts: Counter[str]) -> None:
        """Take the findings of a look."""
        self._counts = counts
        self.is_known = True

    def _read(self, _options: CallbackOptions) -> Iterable[Observation]:
        if self.is_known:
            for kind in KINDS:
                yield Observation(self._counts[kind], {"lockstep.reconcile.kind": kind})


@contextlib.contextmanager
def telling(settings: CommonSettings) -> Iterator[Findings]:
    """Open the management port until the context ends; it is ready after the first look.

    Raises:
        OSError: The port is taken or not allowed.
    """
    telemetry = Telemetry(NAME, instance=process_name(NAME))
    findings = Findings(telemetry.meter)
    try:
        with managed(
            settings.metrics_host, settings.metrics_port(NAME), telemetry.registry
        ) as management:
            if management is not None:
                management.watch(lambda: None if findings.is_known else "starting")
            yield findings
    finally:
        telemetry.close()
