"""End an invitation."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.auth.domain.audit import Audit, Event
from services.auth.domain.callers import hold_caller
from services.auth.errors import InvitationNotFound
from services.auth.store import invitations
from services.kernel.db.database import Database, Transaction
from services.kernel.rpc.call import Caller


@dataclass(frozen=True, slots=True)
class EndInvitation:
    """Ends invitations."""

    database: Database
    audit: Audit

    async def __call__(self, invitation_id: UUID, *, caller: Caller, client_ip: str | None) -> None:
        """End an open invitation.

        Raises:
            InvitationNotFound: There is none with this id, or it has been accepted.
            SessionEnded: The caller's account has gone meanwhile.
        """

        async def work(tx: Transaction) -> None:
            await hold_caller(tx, caller)
            ended = await invitations.end(tx, invitation_id)
            if ended is None:
                raise InvitationNotFound
            await self.audit.write(
                tx,
                Event.INVITATION_ENDED,
                account=ended.email,
                actor=caller.actor,
                client_ip=client_ip,
                flow=str(ended.id),
            )

        await self.database.transact("invitation.end", work)
