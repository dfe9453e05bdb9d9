"""Settings of the gateway."""

from services.kernel.settings import CommonSettings


class GatewaySettings(CommonSettings):
    """What the gateway understands beside the common settings."""
