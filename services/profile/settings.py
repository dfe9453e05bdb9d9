"""Settings of Profile."""

from pydantic import Field

from services.common.settings import CommonSettings, PostgresUrl, database_of


class ProfileSettings(CommonSettings):
    """Profile's settings beside the common ones."""

    profile_database_url: PostgresUrl = Field(
        default_factory=lambda data: database_of(data, "profiledb"),
        description="database of Profile",
    )
    profile_migrate_database_url: PostgresUrl = Field(
        default_factory=lambda data: data["profile_database_url"],
        description="that database as the role that migrates it, past any pooler",
    )
