"""Show the invitation of a token."""

from __future__ import annotations

from dataclasses import dataclass

from services.auth.domain.invitations import Invitation, Invitations


@dataclass(frozen=True, slots=True)
class CheckInvitation:
    """Shows invitations to those who have their tokens."""

    invitations: Invitations

    async def __call__(self, token: str, *, client_ip: str | None) -> Invitation:
        """Return the open invitation of a token.

        Raises:
            InvitationNotFound: There is none, or it has ended.
        """
        return await self.invitations.show(token, client_ip=client_ip)
