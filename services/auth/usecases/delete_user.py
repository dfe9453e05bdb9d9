"""Erase an account in every service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn
from uuid import UUID

from services.auth.domain.administrators import ensure_one_remains
from services.auth.domain.audit import Audit, Event
from services.auth.domain.endings import end_opened
from services.auth.domain.freshness import require_fresh
from services.auth.domain.holdings import AskHoldings
from services.auth.errors import UserNotFound
from services.auth.model import Status, User
from services.auth.sagas.account_deletion import ACCOUNT_DELETION, DeletionPayload
from services.auth.store import accounts, users
from services.kernel.db.database import Database, Reader, Transaction
from services.kernel.errors import DomainError, EtagMismatch, SessionEnded
from services.kernel.rpc import call
from services.kernel.rpc.access import require_own
from services.kernel.sagas.idempotency import EarlierRequest
from services.kernel.sagas.model import NewSaga, Nothing
from services.kernel.sagas.requests import Requests


@dataclass(frozen=True, slots=True)
class DeleteUser:
    """Erases accounts, through a saga."""

    database: Database
    requests: Requests
    audit: Audit
    holdings: AskHoldings

    async def __call__(
        self,
        *,
        caller: call.Caller,
        user_id: UUID,
        forfeits_balance: bool,
        client_ip: str | None,
    ) -> None:
        """Erase an account; while it is being erased a repeat waits with the first.

        Raises:
            Forbidden: The id is another user's, and the caller is not an administrator.
            ReauthenticationRequired: The caller proved the password too long ago.
            UserNotFound: There is no such user.
            LastAdministrator: There would be none left.
            BalanceLeft: The wallet holds money that the request does not give up.
            DeletionUnavailable: Profile did not tell what the wallet holds.
            EtagMismatch: The account was disabled or enabled at the same moment.
            RecordedError: Commerce has refused (CHECKOUT_IN_PROGRESS).
            DeadlineExceeded: The outcome is not known yet; the saga goes on.
        """
        require_own(user_id, caller)

        async def prepare() -> NewSaga[DeletionPayload, Nothing]:
            user = await users.get(self.database, user_id)
            if user is None:
                raise UserNotFound
            await self._require_fresh(caller, user_id)
            holdings = await self.holdings(user_id)
            if not forfeits_balance:
                holdings.ensure_nothing()
            payload = DeletionPayload(user.status, holdings.balance)
            return self._deletion(user, payload, caller, client_ip)

        await self.requests.run_once(ACCOUNT_DELETION, UserRowKey(user_id), prepare)

    async def _require_fresh(self, caller: call.Caller, user_id: UUID) -> None:
        try:
            await require_fresh(self.database, caller)
        except SessionEnded:
            # Another copy of the request may have erased the account, and its sessions.
            if await users.get(self.database, user_id) is None:
                raise UserNotFound from None
            raise

    def _deletion(
        self, user: User, payload: DeletionPayload, caller: call.Caller, client_ip: str | None
    ) -> NewSaga[DeletionPayload, Nothing]:
        async def begin(tx: Transaction, saga_id: UUID) -> None:
            now = await accounts.lock(tx, user.id)
            if now is None or now.status is not user.status:
                raise EtagMismatch  # the saga can give back only the status in its payload
            await ensure_one_remains(tx, now)
            await accounts.set_status(tx, user.id, Status.DELETING)
            # The sessions live until Commerce can no longer refuse.
            await end_opened(tx, user.id, sessions=False)
            await self.audit.begin(
                tx,
                saga_id,
                Event.DELETION_REQUESTED,
                user_id=user.id,
                actor=caller.actor,
                client_ip=client_ip,
            )

        return ACCOUNT_DELETION.new(payload, user_id=user.id, initial_change=begin)


@dataclass(frozen=True, slots=True)
class UserRowKey:
    """The row of a user, who is DELETING while one saga erases the account."""

    user_id: UUID

    async def find(self, reader: Reader) -> EarlierRequest | None:
        """Return the saga that erases the account."""
        return await self._running(reader, except_id=None)

    async def take(self, tx: Transaction, saga_id: UUID) -> EarlierRequest | None:
        """Lock the row, unless the account is being erased.

        Raises:
            UserNotFound: There is no such user any more.
        """
        await accounts.lock_administrators(tx)
        user = await accounts.lock(tx, self.user_id)
        if user is None:
            raise UserNotFound
        return await self._running(tx, except_id=saga_id)

    async def keep(self, database: Database, error: DomainError) -> EarlierRequest | None:  # noqa: ARG002 - it keeps none
        """Keep no refusal: the account is checked anew."""
        return await self.find(database)

    async def gone(self, reader: Reader) -> NoReturn:  # noqa: ARG002 - the row has gone too
        """Refuse: the account was erased long ago."""
        raise UserNotFound

    async def _running(self, reader: Reader, *, except_id: UUID | None) -> EarlierRequest | None:
        saga_id = await accounts.running_saga(
            reader, self.user_id, kind=ACCOUNT_DELETION.name, except_id=except_id
        )
        return None if saga_id is None else EarlierRequest(saga_id=saga_id)
