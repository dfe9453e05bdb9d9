"""Publish the keys that verify access tokens."""

from __future__ import annotations

from services.auth.domain.tokens import jwks
from services.common.keys import SigningKeys


class GetJwks:
    """Publishes public keys."""

    def __init__(self, keys: SigningKeys) -> None:
        """Publish these."""
        self._keys = keys

    async def __call__(self) -> list[dict[str, str]]:
        """Return a JSON Web Key Set's keys (RFC 7517), the signing one first."""
        return jwks(self._keys)
