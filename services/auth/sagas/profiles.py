"""The questions that Auth asks Profile before a registration or a deletion begins."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from uuid import UUID

from google.type.money_pb2 import Money
from grpc_health.v1 import health_pb2, health_pb2_grpc
from lockstep.profile.v1 import profile_service_pb2 as profile_pb
from lockstep.profile.v1 import profile_service_pb2_grpc as profile_grpc
from lockstep_clients.errors import Unavailable

from services.auth.domain.holdings import Amount, Holdings
from services.auth.errors import DeletionUnavailable, RegistrationUnavailable
from services.kernel.sagas.remote import needed

SERVING_SECONDS = 2.0
# Each question goes to the next replica.
PAUSES_SECONDS = (0.05, 0.1, 0.2)


@dataclass(frozen=True, slots=True)
class RemoteProfiles:
    """Asks Profile over gRPC.

    Attributes:
        stub: Profile, called with Auth's identity.
        health: Its health service, on the same channel.
    """

    stub: profile_grpc.ProfileServiceAsyncStub
    health: health_pb2_grpc.HealthStub

    async def phone_exists(self, phone_number: str) -> bool:
        """Say whether a phone number is taken.

        Raises:
            RegistrationUnavailable: Profile did not answer in time.
        """
        with needed(RegistrationUnavailable):
            answer = await self.stub.PhoneExists(
                profile_pb.PhoneExistsRequest(phone_number=phone_number)
            )
        return answer.exists

    async def holdings(self, user_id: UUID) -> Holdings:
        """Return what the wallet of a user holds.

        Raises:
            DeletionUnavailable: Profile did not answer in time.
        """
        with needed(DeletionUnavailable):
            answer = await self.stub.GetHoldings(
                profile_pb.GetHoldingsRequest(user_id=str(user_id))
            )
        return Holdings(_amount(answer.balance), _amount(answer.pending))

    async def ensure_serving(self) -> None:
        """Make sure that Profile can work.

        A replica that leaves is NOT_SERVING, and answers in the moment before its callers know.
        So one answer says nothing about the others.

        Raises:
            RegistrationUnavailable: It cannot.
        """
        ends_at = time.monotonic() + SERVING_SECONDS
        with needed(RegistrationUnavailable):
            for pause in PAUSES_SECONDS:
                with contextlib.suppress(Unavailable):
                    if await self._is_serving(ends_at):
                        return
                await asyncio.sleep(pause)
            if await self._is_serving(ends_at):
                return
        raise RegistrationUnavailable

    async def _is_serving(self, ends_at: float) -> bool:
        answer = await self.health.Check(  # type: ignore[attr-defined] # its types leave it out
            health_pb2.HealthCheckRequest(), timeout=max(0.0, ends_at - time.monotonic())
        )
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _amount(money: Money) -> Amount:
    return Amount(money.currency_code, money.units, money.nanos)
