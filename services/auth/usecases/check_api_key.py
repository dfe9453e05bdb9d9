"""Say whether an API key is good, whose it is, and what it may do."""

from __future__ import annotations

from dataclasses import dataclass

from services.auth.domain.api_keys import ApiKeys
from services.kernel.rpc.api_keys import ApiKey


@dataclass(frozen=True, slots=True)
class CheckApiKey:
    """Checks API keys for other services."""

    api_keys: ApiKeys

    async def __call__(self, key: str, *, client_ip: str | None) -> ApiKey | None:
        """Return a key; None when it has ended, or its owner may not log in."""
        return await self.api_keys.check(key, client_ip=client_ip)
