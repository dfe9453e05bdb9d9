"""The metrics of webhooks."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.metrics import Meter

from services.auth.store import webhook_deliveries, webhook_rounds
from services.kernel.db.database import Database
from services.kernel.db.survey import Survey


def webhook_surveys(
    database: Database, meter: Meter
) -> Sequence[Survey[webhook_rounds.WebhookStanding] | Survey[webhook_deliveries.WebhookBacklog]]:
    """Return the surveys of webhooks, and of what waits for them."""
    standing = Survey(database, meter, webhook_rounds.STANDING, "webhooks")
    standing.gauge(
        "lockstep.webhooks.enabled",
        lambda row: row.enabled,
        unit="{webhook}",
        description="Webhooks that get events",
    )
    standing.gauge(
        "lockstep.webhooks.disabled",
        lambda row: row.disabled,
        unit="{webhook}",
        description="Webhooks that were disabled, other than by an administrator",
    )
    standing.gauge(
        "lockstep.webhooks.failing.age",
        lambda row: row.failing_seconds,
        unit="s",
        description="The longest time for which a webhook has taken nothing",
    )
    backlog = Survey(database, meter, webhook_deliveries.BACKLOG, "deliveries")
    backlog.gauge(
        "lockstep.webhooks.waiting",
        lambda row: row.deliveries,
        unit="{delivery}",
        description="Events that wait for a webhook",
    )
    return standing, backlog
