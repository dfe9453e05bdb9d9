"""The objects that several of Auth's use cases share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from services.auth.domain.audit import Audit
from services.auth.domain.codes import Codes
from services.auth.domain.ip_limits import IpRateLimiter
from services.auth.domain.login_throttle import LoginThrottle
from services.auth.domain.outbox import Outbox
from services.auth.domain.passwords import Hasher
from services.auth.domain.reauthentication import Reauthentication
from services.auth.domain.sessions import SessionIssuer
from services.auth.domain.tokens import AccessTokenSigner, RefreshTokens
from services.common.keys import SigningKeys
from services.kernel.db.database import Database
from services.kernel.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Collaborators:
    """The parts of Auth between its use cases and its stores."""

    database: Database
    hasher: Hasher
    signing_keys: SigningKeys
    audit: Audit
    ip_limits: IpRateLimiter
    throttle: LoginThrottle
    reauthentication: Reauthentication
    refresh_tokens: RefreshTokens
    issuer: SessionIssuer
    outbox: Outbox
    codes: Codes

    @classmethod
    def of(
        cls,
        database: Database,
        secrets: Mapping[str, Secret],
        hasher: Hasher,
        signing_keys: SigningKeys,
        *,
        limits_ips: bool,
    ) -> Self:
        """Put them together.

        Args:
            database: Auth's database.
            secrets: The secrets of Auth, the same for every replica.
            hasher: Hashes passwords.
            signing_keys: The keys that sign access tokens.
            limits_ips: Whether there are limits per client IP.
        """
        audit = Audit(secrets["pseudonyms"])
        throttle = LoginThrottle(database, secrets["pseudonyms"], audit)
        refresh_tokens = RefreshTokens(secrets["refresh"])
        outbox = Outbox(secrets["outbox"])
        return cls(
            database=database,
            hasher=hasher,
            signing_keys=signing_keys,
            audit=audit,
            ip_limits=IpRateLimiter(enabled=limits_ips),
            throttle=throttle,
            reauthentication=Reauthentication(database, hasher, throttle),
            refresh_tokens=refresh_tokens,
            issuer=SessionIssuer(AccessTokenSigner(signing_keys), refresh_tokens),
            outbox=outbox,
            codes=Codes(database, secrets["codes"], outbox),
        )
