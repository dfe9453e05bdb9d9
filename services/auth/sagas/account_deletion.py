"""The end of an account: everywhere, or not at all.

Commerce is the pivot: it refuses while an order is in flight, and then the user is
ACTIVE again. Once it has agreed there is no way back, only forward: the sessions end,
Profile forgets, and last of all the user goes, whose row drove the saga until then.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import pydantic
from google.type.money_pb2 import Money
from lockstep.commerce.v1 import order_service_pb2 as order_pb
from lockstep.commerce.v1 import order_service_pb2_grpc as order_grpc
from lockstep.profile.v1 import profile_service_pb2 as profile_pb
from lockstep.profile.v1 import profile_service_pb2_grpc as profile_grpc

from services.auth import events
from services.auth.domain.audit import Event
from services.auth.domain.endings import end_opened
from services.auth.domain.holdings import Amount
from services.auth.model import CanonicalEmail, Status
from services.auth.store import accounts, codes
from services.auth.store.forgetting import FORGETTING
from services.kernel.audit import log
from services.kernel.db.database import Transaction
from services.kernel.errors import SagaCancelled
from services.kernel.events.writer import tell
from services.kernel.rpc.timestamps import timestamp
from services.kernel.sagas.model import STORED, Nothing, RunningSaga, SagaKind
from services.kernel.sagas.protocol import Rejected, ReversibleSaga
from services.kernel.sagas.remote import saga_step


@pydantic.dataclasses.dataclass(frozen=True, slots=True, config=STORED)
class DeletionPayload:
    """What a deletion needs.

    Attributes:
        status: The status that the user gets back if the account stays.
        forfeit: The balance that the user has given up; None: all of it.
    """

    status: Status
    # Version 1, of 0.1, did not ask.
    forfeit: Amount | None = None


# How long Commerce takes the messages of a driver that has begun or claimed a saga. Longer than
# any saga is driven in one go, and shorter than Commerce keeps its refusal (a week): a late
# message meets one or the other.
MESSAGE_LIFE: Final = timedelta(days=1)

ACCOUNT_DELETION = SagaKind("account_deletion", DeletionPayload, Nothing, version=2, since=1)


@dataclass(frozen=True, slots=True)
class AccountDeletionSaga(ReversibleSaga[DeletionPayload, None, Nothing]):
    """See the module. It has no deadline: after the pivot it must not turn back."""

    orders: order_grpc.OrderServiceAsyncStub
    profiles: profile_grpc.ProfileServiceAsyncStub
    forget_limits: Callable[[Transaction, CanonicalEmail], Awaitable[None]]

    kind = ACCOUNT_DELETION
    deadline = None

    async def forward(self, saga: RunningSaga[DeletionPayload]) -> None:
        """Have Commerce agree, end the sessions, and have Profile forget."""
        saga_id, user_id = str(saga.id), str(saga.user_id)
        await self._ask_commerce(saga)

        async def end_sessions(tx: Transaction) -> None:
            await end_opened(tx, saga.user_id)

        await saga.database.transact("A", end_sessions)
        given_up = saga.payload.forfeit
        await self.profiles.ForgetProfile(
            profile_pb.ForgetProfileRequest(
                saga_id=saga_id,
                user_id=user_id,
                forfeit=None if given_up is None else _money(given_up),
            )
        )

    async def _ask_commerce(self, saga: RunningSaga[DeletionPayload]) -> None:
        request = order_pb.ForgetUserRequest(
            saga_id=str(saga.id),
            user_id=str(saga.user_id),
            not_after=timestamp(saga.driven_since + MESSAGE_LIFE),
        )
        try:
            with saga_step():
                await self.orders.ForgetUser(request)
        except Rejected as refusal:
            if refusal.error.reason == SagaCancelled.reason:
                # This driver is late, but another may have had the user forgotten.
                raise refusal.error from None
            raise

    async def complete(
        self,
        tx: Transaction,
        saga: RunningSaga[DeletionPayload],
        answer: None,  # noqa: ARG002 - both have done as they were asked
    ) -> Nothing:
        """Delete the user, and all other personal data here."""
        email = await accounts.delete_user(tx, saga.user_id)
        if email is not None:
            # In the order in which a code is compared: the limits, then the flow.
            await self.forget_limits(tx, email)
            await codes.forget(tx, user_id=saga.user_id, email=email)
            await tell(tx, events.user_deleted(saga.user_id), saga_id=saga.id)
        await log.conclude(tx, saga.id, Event.USER_DELETED, user_id=saga.user_id)
        await FORGETTING.forget_user(tx, saga.user_id)
        return Nothing()

    async def compensate(self, saga: RunningSaga[DeletionPayload]) -> None:
        """Leave Commerce alone: it has refused, and changed nothing."""

    async def undo(self, tx: Transaction, saga: RunningSaga[DeletionPayload]) -> None:
        """Give the user the status back."""
        user = await accounts.lock(tx, saga.user_id)
        if user is not None and user.status is Status.DELETING:
            await accounts.set_status(tx, user.id, saga.payload.status)
            await log.conclude(
                tx, saga.id, Event.DELETION_REFUSED, {"reason": saga.error.reason}, user_id=user.id
            )


def _money(amount: Amount) -> Money:
    return Money(currency_code=amount.currency, units=amount.units, nanos=amount.nanos)
