"""The questions that Auth asks Profile before a registration begins."""

from __future__ import annotations

from dataclasses import dataclass

from grpc_health.v1 import health_pb2, health_pb2_grpc
from lockstep.profile.v1 import profile_service_pb2 as profile_pb
from lockstep.profile.v1 import profile_service_pb2_grpc as profile_grpc

from services.auth.errors import RegistrationUnavailable
from services.kernel.sagas.remote import needed

SERVING_SECONDS = 2.0


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

    async def ensure_serving(self) -> None:
        """Make sure that Profile can work.

        Raises:
            RegistrationUnavailable: It cannot.
        """
        with needed(RegistrationUnavailable):
            answer = await self.health.Check(  # type: ignore[attr-defined] # its types leave it out
                health_pb2.HealthCheckRequest(), timeout=SERVING_SECONDS
            )
        if answer.status != health_pb2.HealthCheckResponse.SERVING:
            raise RegistrationUnavailable
