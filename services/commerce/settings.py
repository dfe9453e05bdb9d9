"""Settings of Commerce."""

from typing import Final

from pydantic import Field

from services.common.settings import CommonSettings, PostgresUrl, database_of
from services.common.standby_place import StandbyPlace

# The default makes the planner prefer sequential scans.
SESSION_SETTINGS: Final = {"random_page_cost": "1.1"}


class CommerceSettings(CommonSettings):
    """Commerce's settings, beside the common ones."""

    commerce_database_url: PostgresUrl = Field(
        default_factory=lambda data: database_of(data, "commercedb"),
        description="database of Commerce",
    )
    commerce_migrate_database_url: PostgresUrl = Field(
        default_factory=lambda data: data["commerce_database_url"],
        description="that database as the role that migrates it, past any pooler",
    )
    commerce_read_database_url: PostgresUrl | None = Field(
        default=None,
        description="standbys of that database, past any pooler, where strangers read the catalog",
    )
    commerce_read_behind_seconds: float = Field(
        default=2.0,
        ge=0.5,
        le=60,
        description="seconds that such a read may be behind; a standby that lags more is left out",
    )
    commission_bps: int = Field(
        default=0,
        ge=0,
        le=10_000,
        description="part of a price, in 1/10000, that a seller does not get; kept with each order",
    )

    @property
    def standby(self) -> StandbyPlace | None:
        """Where strangers' reads of the catalog are made; None: at the primary."""
        if self.commerce_read_database_url is None:
            return None
        return StandbyPlace(self.commerce_read_database_url, self.commerce_read_behind_seconds)
