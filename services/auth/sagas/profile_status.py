"""Bring the status of a profile in line with what Auth has decided about its user.

Three kinds of sagas do this and differ in their names only: an address was confirmed,
an account was disabled, an account was enabled. Auth's own change is committed when
they begin, with a version that grows by one each time. Profile takes a status only if
its version is greater than the last one, so they may overtake one another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lockstep.profile.v1 import profile_service_pb2 as profile_pb
from lockstep.profile.v1 import profile_service_pb2_grpc as profile_grpc
from lockstep_clients import NotFound

from services.auth.store import accounts
from services.kernel.db.database import Transaction
from services.kernel.sagas.model import Nothing, RunningSaga, SagaKind
from services.kernel.sagas.protocol import ForwardOnlySaga

EMAIL_VERIFICATION: Final = SagaKind("email_verification", Nothing, Nothing, version=1)
USER_DISABLING: Final = SagaKind("user_disabling", Nothing, Nothing, version=1)
USER_ENABLING: Final = SagaKind("user_enabling", Nothing, Nothing, version=1)


@dataclass(frozen=True, slots=True)
class ProfileStatusSaga(ForwardOnlySaga[Nothing, Nothing]):
    """See the module. The status that holds now is sent, not that of the saga's beginning."""

    kind: SagaKind[Nothing, Nothing]
    profiles: profile_grpc.ProfileServiceAsyncStub

    async def forward(self, saga: RunningSaga[Nothing]) -> None:
        """Set the profile's status, unless the account was deleted since."""
        account = await accounts.status(saga.database, saga.user_id)
        if account is None:
            return
        request = profile_pb.SetProfileStatusRequest(
            user_id=str(saga.user_id),
            status=account.profile_status,
            status_version=account.version,
        )
        try:
            await self.profiles.SetProfileStatus(request)
        except NotFound:
            return

    async def complete(self, tx: Transaction, saga: RunningSaga[Nothing]) -> Nothing:  # noqa: ARG002 - there is no more to do
        """Return nothing: Auth's own change was final from the beginning."""
        return Nothing()


def profile_status_sagas(
    profiles: profile_grpc.ProfileServiceAsyncStub,
) -> list[ProfileStatusSaga]:
    """Return the saga of each kind."""
    kinds = (EMAIL_VERIFICATION, USER_DISABLING, USER_ENABLING)
    return [ProfileStatusSaga(kind, profiles) for kind in kinds]
