"""Sessions: the two tokens that their owners get when they are opened and renewed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from services.auth.domain.audit import Audit, Event
from services.auth.domain.tokens import AccessTokenSigner, Refresh, RefreshTokens, seed_hash
from services.auth.store import sessions
from services.auth.store.credentials import Credentials
from services.auth.store.sessions import SessionClient
from services.kernel.db.database import Transaction
from services.kernel.ids import new_id

CLIENT_NAME_MAX: Final = 100


@dataclass(frozen=True, slots=True, repr=False)
class Tokens:
    """The tokens of a session, and its user."""

    user_id: UUID
    email_display: str
    access: str
    refresh: str


@dataclass(frozen=True, slots=True)
class SessionIssuer:
    """Makes the tokens of sessions."""

    access: AccessTokenSigner
    refresh: RefreshTokens
    audit: Audit

    async def open(
        self,
        tx: Transaction,
        user: Credentials,
        client: SessionClient,
        *,
        has_second_factor: bool = False,
    ) -> Tokens:
        """Open a session of a user, whose row the transaction must have locked.

        Of more than fifty sessions the one ends that was seen longest ago.
        """
        session_id = new_id()
        refresh = self.refresh.new(session_id)
        await sessions.insert_session(
            tx,
            session_id=session_id,
            user_id=user.user_id,
            seed_hash=seed_hash(refresh.seed),
            client=client,
            has_second_factor=has_second_factor,
        )
        if ended := await sessions.end_surplus(tx, user.user_id):
            await self.audit.write(
                tx,
                Event.SESSION_REVOKED,
                user_id=user.user_id,
                client_ip=client.ip,
                by="too many sessions",
                sessions=ended,
            )
        return Tokens(
            user_id=user.user_id,
            email_display=user.email_display,
            access=self.access.sign(user_id=user.user_id, session_id=session_id, role=user.role),
            refresh=self.refresh.make(refresh),
        )

    async def renew(
        self,
        tx: Transaction,
        presented: Refresh,
        session: sessions.Refreshable,
        *,
        client_ip: str | None,
    ) -> Tokens:
        """Rotate the refresh token of a locked session, and return the new tokens."""
        await sessions.rotate(tx, presented.session_id, client_ip=client_ip)
        return self.repeat(presented, session)

    def repeat(self, presented: Refresh, session: sessions.Refreshable) -> Tokens:
        """Return the successor of a refresh token, perhaps again, and a new access token."""
        return Tokens(
            user_id=session.user_id,
            email_display=session.email_display,
            access=self.access.sign(
                user_id=session.user_id, session_id=presented.session_id, role=session.role
            ),
            refresh=self.refresh.make(presented.next),
        )
