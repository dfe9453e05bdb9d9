"""Settings of Commerce."""

from pydantic import Field

from services.common.settings import CommonSettings, PostgresUrl, database_of


class CommerceSettings(CommonSettings):
    """What Commerce understands beside the common settings."""

    commerce_database_url: PostgresUrl = Field(
        default_factory=lambda data: database_of(data, "commercedb"),
        description="database of Commerce",
    )
