"""Disable an account."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.auth import events
from services.auth.domain.administrators import ensure_one_remains
from services.auth.domain.audit import Audit, Event
from services.auth.domain.endings import end_opened
from services.auth.errors import UserNotFound
from services.auth.model import Status, User
from services.auth.sagas.profile_status import USER_DISABLING
from services.auth.store import accounts, users
from services.kernel.db.database import Database, Transaction
from services.kernel.errors import IllegalState
from services.kernel.events.writer import tell
from services.kernel.rpc import call
from services.kernel.sagas.forward_only import ForwardOnlySagas
from services.kernel.sagas.model import Nothing


@dataclass(frozen=True, slots=True)
class DisableUser:
    """Disables accounts: their sessions end, and their profiles are suspended."""

    database: Database
    forward_only: ForwardOnlySagas
    audit: Audit

    async def __call__(self, *, caller: call.Caller, user_id: UUID, client_ip: str | None) -> User:
        """Disable an account; a repeat changes nothing.

        Raises:
            UserNotFound: There is no such user.
            IllegalState: The account is being deleted.
            LastAdministrator: No administrator would remain.
        """

        async def initial_change(tx: Transaction, saga_id: UUID) -> None:
            await accounts.lock_administrators(tx)
            user = await accounts.lock(tx, user_id)
            if user is None:
                raise UserNotFound
            if user.status is Status.DELETING:
                raise IllegalState("The account is being deleted.")
            if user.status is Status.DISABLED:
                return
            await ensure_one_remains(tx, user)
            await accounts.set_status(tx, user_id, Status.DISABLED)
            await end_opened(tx, user_id)
            await self.audit.write(
                tx, Event.USER_ARCHIVED, user_id=user_id, actor=caller.actor, client_ip=client_ip
            )
            await tell(tx, events.user_disabled(user_id), saga_id=saga_id)

        await self.forward_only.run(
            USER_DISABLING.new(Nothing(), user_id=user_id, initial_change=initial_change)
        )
        user = await users.get(self.database, user_id)
        if user is None:
            raise UserNotFound
        return user
