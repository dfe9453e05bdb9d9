"""Publish the keys that verify access tokens."""

from __future__ import annotations

from dataclasses import dataclass

from services.auth.domain.tokens import jwks
from services.common.keys import SigningKeys


@dataclass(frozen=True, slots=True)
class GetJwks:
    """Publishes public keys."""

    keys: SigningKeys

    async def __call__(self) -> list[dict[str, str]]:
        """Return a JSON Web Key Set's keys (RFC 7517), the signing one first."""
        return jwks(self.keys)
