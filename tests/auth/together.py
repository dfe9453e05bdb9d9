"""Auth with the real Profile and the real Commerce."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lockstep.commerce.v1 import cart_service_pb2_grpc as cart_grpc
from lockstep.profile.v1 import profile_service_pb2 as profile_pb
from lockstep.profile.v1 import profile_service_pb2_grpc as profile_grpc
from lockstep_clients import connect

from services.commerce import __main__ as commerce_main
from services.commerce.settings import CommerceSettings
from services.profile import __main__ as profile_main
from services.profile.settings import ProfileSettings
from tests.auth.world import Member, Sink, World, serving_auth, settings_for
from tests.own_keys import own_keys
from tests.ports import free_port

LISTEN_ON = "127.0.0.1:0"


@dataclass
class All:
    """The services that run, and stubs of them."""

    world: World
    profiles: profile_grpc.ProfileServiceAsyncStub
    carts: cart_grpc.CartServiceAsyncStub
    targets: dict[str, str]

    async def status(self, member: Member, of: Member | None = None) -> str:
        """Return the status of a profile as its owner or an administrator sees it."""
        request = profile_pb.GetProfileRequest(user_id=(of or member).id)
        return (await self.profiles.GetProfile(request, metadata=member.proof)).status


@contextlib.asynccontextmanager
async def serving_all(
    auth_url: str,
    profile_url: str,
    commerce_url: str,
    keys: Path,
    mail: tuple[Sink, int],
    **more: Any,
) -> AsyncIterator[All]:
    """Run all three services on these databases, with more settings of Auth."""
    auth_target = f"127.0.0.1:{free_port()}"
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        of_profile = ProfileSettings(
            keys=own_keys(keys, "profile"),
            profile_database_url=profile_url,
            auth_address=auth_target,
        )
        profile = await enter(profile_main.running(of_profile, listen_on=LISTEN_ON))
        profile_target = f"127.0.0.1:{profile.port}"
        of_commerce = CommerceSettings(
            keys=own_keys(keys, "commerce"),
            commerce_database_url=commerce_url,
            auth_address=auth_target,
            profile_address=profile_target,
        )
        commerce = await enter(commerce_main.running(of_commerce, listen_on=LISTEN_ON))
        commerce_target = f"127.0.0.1:{commerce.port}"
        of_auth = settings_for(
            auth_url,
            keys,
            profile=profile_target,
            commerce=commerce_target,
            smtp_url=f"smtp://127.0.0.1:{mail[1]}",
            address_limits=False,
            **more,
        )
        world = await enter(serving_auth(of_auth, mail[0], listen_on=auth_target))
        yield All(
            world=world,
            profiles=profile_grpc.ProfileServiceStub(await enter(connect(profile_target))),
            carts=cart_grpc.CartServiceStub(await enter(connect(commerce_target))),
            targets={
                "auth": auth_target,
                "profile": profile_target,
                "commerce": commerce_target,
            },
        )
