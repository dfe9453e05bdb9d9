"""The metrics of the outbox."""

from __future__ import annotations

from opentelemetry.metrics import Meter

from services.auth.store.outbox import STANDING, Standing
from services.kernel.db.database import Database
from services.kernel.db.survey import Survey
from services.kernel.telemetry.metrics import create_counter


class OutboxMeter:
    """Counts the mail that this process sends, postpones and gives up."""

    def __init__(self, meter: Meter) -> None:
        unit = "{mail}"
        self._sent = create_counter(
            meter, "lockstep.outbox.sent", unit=unit, description="Mail that the mail server took"
        )
        self._postponed = create_counter(
            meter,
            "lockstep.outbox.postponed",
            unit=unit,
            description="Times that the mail server did not take a mail",
        )
        self._expired = create_counter(
            meter,
            "lockstep.outbox.expired",
            unit=unit,
            description="Mail that was not sent before its time was over",
        )

    def sent(self) -> None:
        """Count a mail that the mail server took."""
        self._sent.add(1)

    def postponed(self) -> None:
        """Count a mail that the mail server did not take."""
        self._postponed.add(1)

    def expired(self, mails: int) -> None:
        """Count mail that nobody will get any more."""
        self._expired.add(mails)


def outbox_survey(database: Database, meter: Meter) -> Survey[Standing]:
    """Return the survey of the mail that waits."""
    survey = Survey(database, meter, STANDING, "mail")
    survey.gauge(
        "lockstep.outbox.waiting", lambda row: row.mails, unit="{mail}", description="Mail to send"
    )
    survey.gauge(
        "lockstep.outbox.oldest.age",
        lambda row: row.oldest_seconds,
        unit="s",
        description="The longest wait of a mail that is not sent yet",
    )
    return survey
