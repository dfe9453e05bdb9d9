"""Stand-ins for Profile and Commerce, which keep the contract of their saga steps in memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from google.protobuf.descriptor import ServiceDescriptor
from google.type.money_pb2 import Money
from lockstep.commerce.v1 import order_service_pb2 as order_pb
from lockstep.profile.v1 import profile_service_pb2 as profile_pb

from services.common.keys import KeyRing
from services.kernel.errors import Aborted, AlreadyExists, NotFound, SagaCancelled, Unavailable
from services.kernel.rpc.access import Access
from services.kernel.rpc.call import Call
from services.kernel.rpc.server import Server


class PhoneTaken(AlreadyExists):
    reason = "PHONE_TAKEN"


class ProfileNotFound(NotFound):
    reason = "PROFILE_NOT_FOUND"


class CheckoutInProgress(Aborted):
    reason = "CHECKOUT_IN_PROGRESS"


class Down(Unavailable):
    reason = "DATABASE_UNAVAILABLE"


@dataclass
class FakeProfile:
    """Keeps profiles in memory.

    Attributes:
        refused: How many calls have come while it was down.
    """

    profiles: dict[str, profile_pb.Profile] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    replies: dict[str, profile_pb.CreateProfileResponse] = field(default_factory=dict)
    cancelled: set[str] = field(default_factory=set)
    forgotten: list[str] = field(default_factory=list)
    holdings: dict[str, tuple[int, int]] = field(default_factory=dict)
    forfeited: list[int | None] = field(default_factory=list)
    is_down: bool = False
    refused: int = 0
    is_late: bool = False
    refuses_phones: bool = False
    gate: asyncio.Event | None = None

    async def _arrive(self) -> None:
        if self.gate is not None:
            await self.gate.wait()
        if self.is_down:
            self.refused += 1
            raise Down

    async def CreateProfile(
        self, request: profile_pb.CreateProfileRequest, call: Call
    ) -> profile_pb.CreateProfileResponse:
        await self._arrive()
        if self.is_late or request.saga_id in self.cancelled:
            raise SagaCancelled
        if request.saga_id not in self.replies:
            self.replies[request.saga_id] = self._create(request)
        return self.replies[request.saga_id]

    def _create(self, request: profile_pb.CreateProfileRequest) -> profile_pb.CreateProfileResponse:
        if self.refuses_phones or self._has_phone(request.phone_number):
            raise PhoneTaken
        profile = profile_pb.Profile(
            id=str(uuid4()),
            user_id=request.user_id,
            first_name=request.first_name,
            last_name=request.last_name,
            status=request.initial_status,
        )
        if request.HasField("phone_number"):
            profile.phone_number = request.phone_number
        self.profiles[request.user_id] = profile
        return profile_pb.CreateProfileResponse(profile=profile)

    def _has_phone(self, number: str) -> bool:
        return bool(number) and any(p.phone_number == number for p in self.profiles.values())

    async def CancelProfile(
        self, request: profile_pb.CancelProfileRequest, call: Call
    ) -> profile_pb.CancelProfileResponse:
        await self._arrive()
        self.cancelled.add(request.saga_id)
        if request.saga_id in self.replies:
            self.profiles.pop(request.user_id, None)
        return profile_pb.CancelProfileResponse()

    async def PhoneExists(
        self, request: profile_pb.PhoneExistsRequest, call: Call
    ) -> profile_pb.PhoneExistsResponse:
        return profile_pb.PhoneExistsResponse(exists=self._has_phone(request.phone_number))

    async def SetProfileStatus(
        self, request: profile_pb.SetProfileStatusRequest, call: Call
    ) -> profile_pb.SetProfileStatusResponse:
        await self._arrive()
        if request.user_id not in self.profiles:
            raise ProfileNotFound
        if request.status_version > self.versions.get(request.user_id, 0):
            self.versions[request.user_id] = request.status_version
            self.profiles[request.user_id].status = request.status
        return profile_pb.SetProfileStatusResponse()

    async def GetHoldings(
        self, request: profile_pb.GetHoldingsRequest, call: Call
    ) -> profile_pb.GetHoldingsResponse:
        balance, pending = self.holdings.get(request.user_id, (0, 0))
        return profile_pb.GetHoldingsResponse(
            balance=Money(currency_code="USD", units=balance),
            pending=Money(currency_code="USD", units=pending),
        )

    async def ForgetProfile(
        self, request: profile_pb.ForgetProfileRequest, call: Call
    ) -> profile_pb.ForgetProfileResponse:
        await self._arrive()
        self.profiles.pop(request.user_id, None)
        self.forgotten.append(request.user_id)
        self.forfeited.append(request.forfeit.units if request.HasField("forfeit") else None)
        return profile_pb.ForgetProfileResponse()

    def __getattr__(self, name: str) -> Any:
        return _absent(name)


@dataclass
class FakeOrders:
    """Forgets users, unless one of their orders is in flight.

    Attributes:
        refused: How many calls have come while it was down.
    """

    in_flight: set[str] = field(default_factory=set)
    forgotten: list[str] = field(default_factory=list)
    is_down: bool = False
    refused: int = 0

    async def ForgetUser(
        self, request: order_pb.ForgetUserRequest, call: Call
    ) -> order_pb.ForgetUserResponse:
        if self.is_down:
            self.refused += 1
            raise Down
        if request.user_id in self.in_flight:
            raise CheckoutInProgress
        self.forgotten.append(request.user_id)
        return order_pb.ForgetUserResponse()

    def __getattr__(self, name: str) -> Any:
        return _absent(name)


def _absent(name: str) -> Any:
    if name.startswith("_") or not name[0].isupper():
        raise AttributeError(name)

    async def refuse(request: object, call: Call) -> object:
        raise NotFound

    return refuse


class _Nothing:
    async def find(self, key_id: str) -> None:
        return None

    async def check(self, session_id: object, *, fresh: bool) -> None:
        return None


async def _well() -> None:
    return None


@contextlib.asynccontextmanager
async def serving(
    name: str, servicers: Sequence[tuple[ServiceDescriptor, Any]], keys: Path
) -> AsyncIterator[str]:
    """Serve stand-ins behind the kernel's own layers, and return their target."""
    access = Access(
        service=name,
        keys=_Nothing(),
        sessions=_Nothing(),
        trusted=KeyRing.load(keys, name).trusted,
        proxies=(),
    )
    server = Server(servicers, access=access, probe=_well)
    port = await server.start("127.0.0.1:0")
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


def serving_profile(profile: FakeProfile, keys: Path) -> Any:
    """Serve a stand-in for Profile."""
    service = profile_pb.DESCRIPTOR.services_by_name["ProfileService"]
    return serving("profile", [(service, profile)], keys)


def serving_orders(orders: FakeOrders, keys: Path) -> Any:
    """Serve a stand-in for Commerce's orders."""
    service = order_pb.DESCRIPTOR.services_by_name["OrderService"]
    return serving("commerce", [(service, orders)], keys)
