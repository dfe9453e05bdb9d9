"""Exchange a refresh token for the next tokens of its session."""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from services.auth.domain.audit import Audit, Event
from services.auth.domain.sessions import SessionIssuer, Tokens
from services.auth.domain.tokens import Refresh, RefreshTokens, seed_hash
from services.auth.store import sessions as store
from services.kernel.db.database import Database, Transaction
from services.kernel.errors import InvalidToken, SessionEnded


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """Renews sessions (RFC 9700, 4.14: rotation with detection of reuse)."""

    database: Database
    tokens: RefreshTokens
    sessions: SessionIssuer
    audit: Audit

    async def __call__(self, refresh_token: str, *, client_ip: str | None) -> Tokens:
        """Renew a session.

        The same token within ten seconds gets the same successor: one client has sent
        two requests at once, or has lost an answer.

        Raises:
            InvalidToken: Auth did not make the token.
            SessionEnded: The session has ended, perhaps now because of a spent token.
        """
        read = self.tokens.read(refresh_token)
        if read is None:
            raise InvalidToken("The refresh token is not valid. Log in again.")

        async def work(tx: Transaction) -> Tokens | None:
            return await self._renew(tx, read, client_ip)

        tokens = await self.database.transact("refresh", work)
        if tokens is None:
            raise SessionEnded
        return tokens

    async def _renew(self, tx: Transaction, read: Refresh, client_ip: str | None) -> Tokens | None:
        """Return the new tokens, or None when the session has ended.

        It does not raise: the transaction that ends a session must be committed.
        """
        session = await store.lock(tx, read.session_id)
        if session is None or not hmac.compare_digest(seed_hash(read.seed), session.seed_hash):
            return None
        if read.generation == session.generation:
            await self.audit.write(
                tx, Event.SESSION_RENEWED, user_id=session.user_id, client_ip=client_ip
            )
            return await self.sessions.renew(tx, read, session, client_ip=client_ip)
        if read.generation == session.generation - 1 and session.rotated_lately:
            return self.sessions.repeat(read, session)
        await store.end(tx, read.session_id)
        await self.audit.write(
            tx, Event.REFRESH_REUSE, user_id=session.user_id, client_ip=client_ip
        )
        return None
