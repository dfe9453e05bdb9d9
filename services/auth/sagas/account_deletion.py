"""The end of an account: everywhere, or not at all.

Commerce is the pivot: it refuses while an order is in flight, and then the user is
ACTIVE again. Once it has agreed there is no way back, only forward: the sessions end,
Profile forgets, and last of all the user goes, whose row drove the saga until then.
"""

from __future__ import annotations

from uuid import UUID

from lockstep.commerce.v1 import order_service_pb2 as order_pb
from lockstep.commerce.v1 import order_service_pb2_grpc as order_grpc
from lockstep.profile.v1 import profile_service_pb2 as profile_pb
from lockstep.profile.v1 import profile_service_pb2_grpc as profile_grpc

from services.auth.model import Status
from services.auth.store import accounts, audit, codes, sessions
from services.auth.store.forgetting import FORGETTING
from services.kernel.db.database import Database, Transaction
from services.kernel.errors import DomainError, Internal
from services.kernel.sagas.model import Json, Saga
from services.kernel.sagas.remote import saga_step


class AccountDeletionSaga:
    """See the module. It never turns back by time: after the pivot nobody may.

    Args:
        database: Auth's.
        orders: Commerce, called with Auth's identity.
        profiles: Profile, called with Auth's identity.
    """

    kind = "account_deletion"
    deadline_seconds: float | None = None

    def __init__(
        self,
        database: Database,
        orders: order_grpc.OrderServiceAsyncStub,
        profiles: profile_grpc.ProfileServiceAsyncStub,
    ) -> None:
        """See the class."""
        self._database = database
        self._orders = orders
        self._profiles = profiles

    async def forward(self, saga: Saga) -> Json:
        """Have Commerce agree, end the sessions, and have Profile forget."""
        names = {"saga_id": str(saga.id), "user_id": str(saga.user_id)}
        with saga_step():
            await self._orders.ForgetUser(order_pb.ForgetUserRequest(**names))
        await self._database.transact("A", lambda tx: _end_sessions(tx, _user_id(saga)))
        await self._profiles.ForgetProfile(profile_pb.ForgetProfileRequest(**names))
        return {}

    async def complete(self, tx: Transaction, saga: Saga, replies: Json) -> Json:
        """Delete the user, and whatever else here is personal."""
        user_id = _user_id(saga)
        email = await accounts.delete_user(tx, user_id)
        if email is not None:
            await codes.forget(tx, user_id=user_id, email=email)
        await FORGETTING.forget_user(tx, user_id)
        await audit.forget_client_ips(tx, user_id)
        return replies

    async def compensate(self, saga: Saga) -> None:
        """Have nothing to tell anybody: Commerce has refused and changed nothing."""

    async def undo(self, tx: Transaction, saga: Saga) -> None:
        """Give the user the status back."""
        user = await accounts.lock(tx, _user_id(saga))
        if user is not None and user.status is Status.DELETING:
            await accounts.set_status(tx, user.id, Status(saga.payload["status"]))

    def unavailable(self) -> DomainError:
        """Never happens: there is no deadline."""
        return Internal()


async def _end_sessions(tx: Transaction, user_id: UUID) -> None:
    await sessions.end_all(tx, user_id)


def _user_id(saga: Saga) -> UUID:
    assert saga.user_id is not None
    return saga.user_id
