"""How long a database may take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# How long libpq waits for a silent peer: in seconds, the last one in milliseconds.
SOCKET_LIMITS = {
    "connect_timeout": 3,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 6000,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeLimits:
    """The time that a database may take, in seconds.

    The server holds the first three. So they hold also while the client is paused (a
    zombie) or gone. The others are the client's, for a server that stays silent.

    Attributes:
        statement_seconds: The time for a statement.
        lock_seconds: The time to wait for a lock.
        idle_seconds: The time for which a transaction may be idle.
        margin_seconds: The further time for the server's answer, after which the client
            finishes the connection.
        turn_seconds: The time to wait for a free connection.
        reconnect_seconds: The time in which attempts to connect become rarer. Then they
            begin anew.
    """

    statement_seconds: float = 5.0
    lock_seconds: float = 2.0
    idle_seconds: float = 5.0
    margin_seconds: float = 2.0
    turn_seconds: float = 2.0
    reconnect_seconds: float = 5.0

    @property
    def answer_seconds(self) -> float:
        """The time to wait for the answer to BEGIN, a statement, COMMIT or ROLLBACK."""
        return self.statement_seconds + self.margin_seconds

    @property
    def settings(self) -> dict[str, str]:
        """The limits that the server holds, as settings of a session or a role."""
        limits = {
            "statement_timeout": self.statement_seconds,
            "lock_timeout": self.lock_seconds,
            "idle_in_transaction_session_timeout": self.idle_seconds,
        }
        return {name: f"{1000 * limit:.0f}ms" for name, limit in limits.items()}


LIMITS = TimeLimits()


def options_of(settings: Mapping[str, str]) -> str:
    """Return settings as options of a session."""
    return " ".join(f"-c {name}={value}" for name, value in settings.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRules:
    """How sessions begin.

    Attributes:
        application_name: What the server calls them; empty for no name.
        is_pooled: Whether a pooler lends them for a transaction each. It takes no options,
            so the role must bring the limits.
        prepares: Whether statements are prepared.
        options: More settings, as `-c name=value`.
    """

    application_name: str = ""
    is_pooled: bool = False
    prepares: bool = True
    options: str = ""

    def parameters(self, own_options: str, limits: TimeLimits) -> dict[str, str | int | None]:
        """Return what psycopg needs to connect so.

        Args:
            own_options: The options that the URL asks for.
            limits: The limits that the server holds.
        """
        parameters: dict[str, str | int | None] = dict(SOCKET_LIMITS)
        if self.application_name:
            parameters["application_name"] = self.application_name
        if not self.is_pooled:
            held = options_of(limits.settings)
            parameters["options"] = f"{own_options} {held} {self.options}".strip()
        if not self.prepares:
            parameters["prepare_threshold"] = None
        return parameters


DIRECT = SessionRules()
