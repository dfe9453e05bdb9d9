"""Erase an account in every service."""

from __future__ import annotations

from uuid import UUID

from services.auth.domain.administrators import ensure_one_remains
from services.auth.domain.audit import Audit, Event
from services.auth.errors import UserNotFound
from services.auth.model import Status, User
from services.auth.sagas.account_deletion import AccountDeletionSaga
from services.auth.store import accounts, users
from services.kernel.db.database import Database, Transaction
from services.kernel.errors import SagaNotFound
from services.kernel.ids import new_id
from services.kernel.rpc import call
from services.kernel.rpc.access import require_own
from services.kernel.sagas.engine import SagaEngine
from services.kernel.sagas.protocol import NewSaga


class DeleteUser:
    """Erases accounts, through a saga.

    Args:
        database: Auth's.
        engine: Drives the saga.
        audit: Hears of it.
    """

    def __init__(self, database: Database, engine: SagaEngine, audit: Audit) -> None:
        """See the class."""
        self._database = database
        self._engine = engine
        self._audit = audit

    async def __call__(
        self, *, caller: call.UserPrincipal, user_id: UUID, client_ip: str | None
    ) -> None:
        """Erase an account; while it is being erased a repeat waits with the first.

        Raises:
            Forbidden: The id is another user's, and the caller is not an administrator.
            UserNotFound: There is no such user.
            LastAdministrator: There would be none left.
            RecordedError: Commerce has refused (CHECKOUT_IN_PROGRESS).
            DeadlineExceeded: Nobody knows yet; the saga goes on.
        """
        require_own(user_id, caller)
        user = await users.get(self._database, user_id)
        if user is None:
            raise UserNotFound
        if user.status is not Status.DELETING:
            try:
                await self._begin(user, caller, client_ip)
                return
            except _Underway:
                pass
        await self._attach(user_id)

    async def _begin(self, user: User, caller: call.UserPrincipal, client_ip: str | None) -> None:
        async def initial_change(tx: Transaction) -> None:
            await accounts.lock_administrators(tx)
            now = await accounts.lock(tx, user.id)
            if now is None:
                raise UserNotFound
            if now.status is not user.status:
                raise _Underway
            await ensure_one_remains(tx, now)
            await accounts.set_status(tx, user.id, Status.DELETING)
            await self._audit.write(
                tx, Event.USER_DELETED, user_id=user.id, actor=caller.id, client_ip=client_ip
            )

        outcome = await self._engine.run(
            NewSaga(
                id=new_id(),
                kind=AccountDeletionSaga.kind,
                payload={"status": user.status},
                user_id=user.id,
                initial_change=initial_change,
            )
        )
        outcome.unwrap()

    async def _attach(self, user_id: UUID) -> None:
        saga_id = await accounts.running_saga(
            self._database, user_id, kind=AccountDeletionSaga.kind
        )
        if saga_id is None:
            raise UserNotFound
        try:
            (await self._engine.attach(saga_id)).unwrap()
        except SagaNotFound:
            raise UserNotFound from None


class _Underway(Exception):
    """The status has changed since it was read; internal to this module."""
