"""API keys: what they may be allowed, and whether one is good."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, partial
from typing import Final

from lockstep_clients.methods import methods

from services.auth.store import api_keys as store
from services.kernel.db.database import Database
from services.kernel.errors import DatabaseUnavailable
from services.kernel.ids import new_id
from services.kernel.rpc.api_keys import SECRET_BYTES, ApiKey, PresentedKey, read_api_key
from services.kernel.rpc.call import ADMIN
from services.kernel.rpc.client_ips import parse_client_ip
from services.kernel.validation import Violations

DAYS: Final = 90
DAYS_MAX: Final = 365
SCOPES_MAX: Final = 50


@dataclass(frozen=True, slots=True)
class ApiKeys:
    """Looks API keys up, for every service and for Auth itself (`api_keys.ApiKeyChecker`).

    Attributes:
        database: Auth's database.
        admins_need_mfa: Whether administrators need a second factor (`LOCKSTEP_ADMIN_MFA`). A
            key has none, but the session that made it may have had one.
    """

    database: Database
    admins_need_mfa: bool

    async def check(self, key: str, *, fresh: bool = True, client_ip: str | None) -> ApiKey | None:  # noqa: ARG002 - every answer is fresh
        """See `api_keys.ApiKeyChecker`. The key counts as used."""
        presented = read_api_key(key)
        found = None if presented is None else await store.find(self.database, presented.id)
        if presented is None or found is None:
            return None
        if not hmac.compare_digest(found.secret_hash, secret_hash(presented)):
            return None
        if not found.was_used:
            note = partial(
                store.note_use, key_id=presented.id, client_ip=parse_client_ip(client_ip)
            )
            with contextlib.suppress(DatabaseUnavailable):  # a later use will be written down
                await self.database.transact("api_key.use", note)
        return ApiKey(
            id=presented.id,
            user_id=found.user_id,
            role=found.role,
            scopes=frozenset(found.scopes),
            lacks_mfa=self.admins_need_mfa and found.role == ADMIN and not found.has_second_factor,
        )


def new_key() -> PresentedKey:
    """Return a new API key."""
    return PresentedKey(new_id(), secrets.token_bytes(SECRET_BYTES))


def secret_hash(key: PresentedKey) -> bytes:
    """Return the hash that is stored instead of a key's secret, which is random."""
    return hashlib.sha256(key.secret).digest()


def check_scopes(v: Violations, scopes: list[str], field: str) -> list[str]:
    """Check the scopes of a new API key, and return each once, in order."""
    named = sorted(set(scopes))
    if not 1 <= len(named) <= SCOPES_MAX:
        v.add(field, f"must be 1 to {SCOPES_MAX} services or methods")
    for scope in named[:SCOPES_MAX]:
        if scope not in grantable():
            v.add(field, f"cannot be {scope!r}: must be a service or method that API keys may call")
    return named


def check_days(v: Violations, days: int, field: str) -> timedelta:
    """Check the days until a new API key expires."""
    if not 0 <= days <= DAYS_MAX:
        v.add(field, f"must be 1 to {DAYS_MAX}, or 0 for {DAYS}")
        return timedelta()
    return timedelta(days=days or DAYS)


@cache
def grantable() -> frozenset[str]:
    """Return the scopes that a key can have: methods that admit API keys, and their services."""
    admitting = [method for method in methods().values() if method.admits_api_keys]
    names = {f"{method.service}.{method.name}" for method in admitting}
    return frozenset(names | {method.service for method in admitting})
