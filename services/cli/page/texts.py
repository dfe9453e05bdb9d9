"""How the local page writes values for people."""

from datetime import UTC, datetime
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from services.cli.tables import Value, rfc3339

MINUTE: Final = 60
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
TONES: Final = {
    "SERVING": "ok",
    "running": "ok",
    "done": "ok",
    "aborted": "info",
    "compensating": "warn",
    "starting": "info",
}


def environment() -> Environment:
    """Make the environment of the templates: it escapes everything, and no name may be missing."""
    made = Environment(
        loader=PackageLoader("services.cli.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(ago=ago, tone=tone, moment=moment, precise=precise, rfc3339=rfc3339)
    return made


def ago(then: datetime) -> str:
    """Return how long ago something was, such as 3 min."""
    return span_of((datetime.now(UTC) - then).total_seconds())


def span_of(seconds: float) -> str:
    """Return a length of time in its largest unit."""
    for unit, name in ((DAY, "days"), (HOUR, "h"), (MINUTE, "min")):
        if seconds >= 2 * unit:
            return f"{seconds // unit:.0f} {name}"
    return f"{max(0.0, seconds):.0f} s"


def moment(time: datetime) -> str:
    """Return a time as it is on the clock of this machine."""
    return time.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def precise(time: datetime) -> str:
    """Return a time to the millisecond, so that the steps of a saga can be told apart."""
    return f"{moment(time)}.{time.microsecond // 1000:03}"


def tone(state: Value) -> str:
    """Return the colour of a state; one that is not known has that of a problem."""
    return TONES.get(str(state), "problem")


def saga_tone(saga: dict[str, Any]) -> str:
    """Return the colour of a saga: one that is under way is no problem unless it is parked."""
    if saga["parked"]:
        return "problem"
    return "info" if saga["state"] == "running" else tone(saga["state"])
