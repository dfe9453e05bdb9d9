"""The objects that several of Auth's use cases share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from services.auth.domain.api_keys import ApiKeys
from services.auth.domain.audit import Audit
from services.auth.domain.code_limits import CodeLimiter
from services.auth.domain.codes import Codes
from services.auth.domain.email_templates import MailWriter
from services.auth.domain.ip_limits import IpRateLimiter
from services.auth.domain.login_throttle import LoginThrottle
from services.auth.domain.outbox import Outbox
from services.auth.domain.passwords import Hasher
from services.auth.domain.places import Places
from services.auth.domain.public_addresses import Resolver
from services.auth.domain.reauthentication import Reauthentication
from services.auth.domain.sessions import SessionIssuer
from services.auth.domain.tokens import AccessTokenSigner, LocalKeys, RefreshTokens
from services.auth.domain.totp import SecondFactors
from services.auth.domain.webhook_secrets import WebhookSecrets
from services.auth.domain.webhooks import Webhooks
from services.auth.model import CanonicalEmail
from services.auth.settings import AuthSettings
from services.auth.store.session_checks import LocalSessions
from services.common.auth_client import Authentication
from services.common.keys import SigningKeys
from services.common.parts import ServiceParts
from services.kernel.db.database import Database, Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Collaborators:
    """The parts of Auth between its use cases and its stores."""

    database: Database
    hasher: Hasher
    signing_keys: SigningKeys
    audit: Audit
    api_keys: ApiKeys
    ip_limits: IpRateLimiter
    throttle: LoginThrottle
    reauthentication: Reauthentication
    refresh_tokens: RefreshTokens
    issuer: SessionIssuer
    outbox: Outbox
    codes: Codes
    factors: SecondFactors
    local_sessions: LocalSessions
    webhooks: Webhooks

    @classmethod
    def of(
        cls,
        parts: ServiceParts,
        settings: AuthSettings,
        hasher: Hasher,
        signing_keys: SigningKeys,
    ) -> Self:
        """Put them together.

        Args:
            parts: Auth's database and secrets.
            settings: Auth's settings.
            hasher: Hashes passwords.
            signing_keys: The keys that sign access tokens.
        """
        database, secrets = parts.database, parts.keys.secrets
        audit = Audit(secrets["pseudonyms"])
        places = Places(secrets["pseudonyms"])
        refresh_tokens = RefreshTokens(secrets["refresh"])
        outbox = Outbox(secrets["outbox"], MailWriter(settings.product_name, settings.link_base))
        admins_need_mfa = settings.admin_mfa == "required"
        return cls(
            database=database,
            hasher=hasher,
            signing_keys=signing_keys,
            audit=audit,
            api_keys=ApiKeys(database, admins_need_mfa),
            ip_limits=IpRateLimiter(
                enabled=settings.address_limits, factor=settings.address_limits_factor
            ),
            throttle=LoginThrottle(database, places, outbox, audit),
            reauthentication=Reauthentication(database, hasher, audit),
            refresh_tokens=refresh_tokens,
            issuer=SessionIssuer(AccessTokenSigner(signing_keys), refresh_tokens, audit),
            outbox=outbox,
            factors=SecondFactors(secrets["totp"], settings.product_name),
            local_sessions=LocalSessions(database, admins_need_mfa),
            webhooks=Webhooks(
                WebhookSecrets(secrets["webhooks"]),
                Resolver(allows_private=settings.webhook_private_addresses),
            ),
            codes=Codes(
                database, secrets["codes"], outbox, CodeLimiter(secrets["codes"], places), audit
            ),
        )

    @property
    def authentication(self) -> Authentication:
        """The answers about tokens, sessions and API keys, from Auth's own database."""
        return Authentication(LocalKeys(self.signing_keys), self.local_sessions, self.api_keys)

    async def forget_limits(self, tx: Transaction, email: CanonicalEmail) -> None:
        """Forget what was counted for an account that is gone, and where its owner has been."""
        await self.throttle.forget(tx, email)
        await self.codes.clear(tx, email)
