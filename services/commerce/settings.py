"""Settings of Commerce."""

from typing import Final

from pydantic import Field

from services.common.settings import CommonSettings, PostgresUrl, database_of

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
    commission_bps: int = Field(
        default=0,
        ge=0,
        le=10_000,
        description="part of a price, in 1/10000, that a seller does not get; kept with each order",
    )
