"""Opening and renewing sessions: who is let in is told by two tokens."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.auth.domain.tokens import AccessTokenSigner, RefreshTokens
from services.auth.store import sessions
from services.auth.store.credentials import Credentials
from services.kernel.db.database import Transaction
from services.kernel.ids import new_id


@dataclass(frozen=True, slots=True, repr=False)
class Tokens:
    """What a session's owner is given.

    Attributes:
        email_display: As it was typed.
    """

    user_id: UUID
    email_display: str
    access: str
    refresh: str


@dataclass(frozen=True, slots=True)
class SessionIssuer:
    """Makes the tokens of sessions."""

    access: AccessTokenSigner
    refresh: RefreshTokens

    async def open(self, tx: Transaction, user: Credentials) -> Tokens:
        """Begin a session of a user whose row is held."""
        session_id = new_id()
        token = self.refresh.make(session_id, 0)
        await sessions.insert_session(
            tx,
            session_id=session_id,
            user_id=user.user_id,
            refresh_hash=self.refresh.hash(token),
        )
        return Tokens(
            user_id=user.user_id,
            email_display=user.email_display,
            access=self.access.sign(user_id=user.user_id, session_id=session_id, role=user.role),
            refresh=token,
        )

    async def renew(
        self, tx: Transaction, session_id: UUID, session: sessions.Refreshable
    ) -> Tokens:
        """Give a session that is locked its next tokens; the ones before are spent."""
        token = self.refresh.make(session_id, session.generation + 1)
        await sessions.rotate(tx, session_id, refresh_hash=self.refresh.hash(token))
        return self._tokens(session_id, session, token)

    def repeat(self, session_id: UUID, session: sessions.Refreshable) -> Tokens:
        """Give the refresh token that was given last, and a new access token."""
        return self._tokens(session_id, session, self.refresh.make(session_id, session.generation))

    def _tokens(self, session_id: UUID, session: sessions.Refreshable, refresh: str) -> Tokens:
        return Tokens(
            user_id=session.user_id,
            email_display=session.email_display,
            access=self.access.sign(
                user_id=session.user_id, session_id=session_id, role=session.role
            ),
            refresh=refresh,
        )
