"""Calls of the command to the services. Its identity is `operator`; it has no secret."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import grpc

T = TypeVar("T")


def ask(service: str, call: "Callable[[grpc.aio.Channel], Awaitable[T]]") -> T:
    """Call a service as the operator.

    Args:
        service: The name of the service.
        call: Makes the call on a channel to it.

    Raises:
        NotFound: The service does not have what was asked for.
        CommandError: The call failed.
    """
    from lockstep_clients import LockstepError, NotFound

    from services.cli.failures import failure_of
    from services.common.settings import CommonSettings, load

    try:
        return asyncio.run(_call(service, call))
    except NotFound:
        raise
    except LockstepError as error:
        target = getattr(load(CommonSettings), f"{service}_address")
        raise failure_of(service, target, error) from error


async def _call(service: str, call: "Callable[[grpc.aio.Channel], Awaitable[T]]") -> T:
    from lockstep_clients import ServiceIdentity, connect

    from services.common.keys import KeyRing
    from services.common.settings import CommonSettings, load

    settings = load(CommonSettings)
    ring = KeyRing.load(settings.keys, "operator")
    identity = ServiceIdentity(ring.service, ring.private_key)
    target = getattr(settings, f"{service}_address")
    async with connect(target, identity=identity, audience=service) as channel:
        return await call(channel)
