"""Settings of Profile."""

from pydantic import Field

from services.common.settings import CommonSettings, PostgresUrl, database_of


class ProfileSettings(CommonSettings):
    """Profile's settings beside the common ones."""

    profile_database_url: PostgresUrl = Field(
        default_factory=lambda data: database_of(data, "profiledb"),
        description="database of Profile",
    )
