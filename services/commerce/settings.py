"""Settings of Commerce."""

from pydantic import Field

from services.common.settings import CommonSettings, PostgresUrl, database_of


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
