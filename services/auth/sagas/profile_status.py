"""Bring the status of a profile in line with what Auth has decided about its user.

Three kinds of sagas do this and differ in their names only: an address was confirmed,
an account was disabled, an account was enabled. Auth's own change is committed when
they begin, with a version that grows by one each time. Profile takes a status only if
its version is greater than the last one, so they may overtake one another.
"""

from __future__ import annotations

from lockstep.profile.v1 import profile_service_pb2 as profile_pb
from lockstep.profile.v1 import profile_service_pb2_grpc as profile_grpc
from lockstep_clients import NotFound

from services.auth.store import accounts
from services.kernel.db.database import Database, Transaction
from services.kernel.sagas.forward_only import ForwardOnly
from services.kernel.sagas.model import Json, Saga

EMAIL_VERIFICATION = "email_verification"
USER_DISABLING = "user_disabling"
USER_ENABLING = "user_enabling"
KINDS = (EMAIL_VERIFICATION, USER_DISABLING, USER_ENABLING)


class ProfileStatusSaga(ForwardOnly):
    """See the module.

    Args:
        kind: Its name.
        database: Auth's: what holds now is sent, not what held when the saga began.
        profiles: Profile, called with Auth's identity.
    """

    def __init__(
        self, kind: str, database: Database, profiles: profile_grpc.ProfileServiceAsyncStub
    ) -> None:
        """See the class."""
        self.kind = kind
        self._database = database
        self._profiles = profiles

    async def forward(self, saga: Saga) -> Json:
        """Set the profile's status, unless the account was deleted since."""
        assert saga.user_id is not None
        account = await accounts.status(self._database, saga.user_id)
        if account is not None:
            await self._set(saga, account)
        return {}

    async def complete(self, tx: Transaction, saga: Saga, replies: Json) -> Json:  # noqa: ARG002 - the protocol's
        """Have nothing left to do."""
        return replies

    async def _set(self, saga: Saga, account: accounts.AccountStatus) -> None:
        request = profile_pb.SetProfileStatusRequest(
            user_id=str(saga.user_id),
            status=account.profile_status,
            status_version=account.version,
        )
        try:
            await self._profiles.SetProfileStatus(request)
        except NotFound:
            return


def profile_status_sagas(
    database: Database, profiles: profile_grpc.ProfileServiceAsyncStub
) -> list[ProfileStatusSaga]:
    """Return the saga of each kind."""
    return [ProfileStatusSaga(kind, database, profiles) for kind in KINDS]
