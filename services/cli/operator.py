"""Calls of the command to the services. Its identity is `operator`; it has no secret."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    import grpc
    from lockstep_clients import ServiceIdentity

    from services.common.settings import CommonSettings
    from services.common.tls import Tls

OPERATOR: Final = "operator"
PAGE_SIZE_MAX: Final = 100
T = TypeVar("T")


def ask(service: str, call: "Callable[[grpc.aio.Channel], Awaitable[T]]") -> T:
    """Call a service as the operator, as `call_as_operator` does."""
    return asyncio.run(call_as_operator(service, call))


async def call_as_operator(service: str, call: "Callable[[grpc.aio.Channel], Awaitable[T]]") -> T:
    """Call a service as the operator.

    Args:
        service: The name of the service.
        call: Makes the call on a channel to it.

    Raises:
        CallError: The call failed.
    """
    from lockstep_clients import ServiceIdentity

    from services.common.keys import KeyRing
    from services.common.settings import CommonSettings, load

    settings = load(CommonSettings)
    ring = KeyRing.load(settings.keys, OPERATOR)
    identity = ServiceIdentity(ring.service, ring.private_key)
    return await _call(settings, service, call, identity)


async def call_as_anybody(service: str, call: "Callable[[grpc.aio.Channel], Awaitable[T]]") -> T:
    """Do the same as people do, without an identity of the command."""
    from services.common.settings import CommonSettings, load

    return await _call(load(CommonSettings), service, call, None)


async def rows(
    method: Callable[[Any], Awaitable[Any]], wanted: Any, field: str, *, limit: int | None = None
) -> list[Any]:
    """Return the first rows of a list, page by page.

    Args:
        method: The method of a stub.
        wanted: The request without a page; it stays as it is.
        field: The field of an answer that has the rows of a page.
        limit: The most rows; None: all of them.
    """
    request = type(wanted)()
    request.CopyFrom(wanted)
    request.page_size = min(limit or PAGE_SIZE_MAX, PAGE_SIZE_MAX)
    found: list[Any] = []
    while True:
        page = await method(request)
        found.extend(getattr(page, field))
        if not page.next_page_token or (limit is not None and len(found) >= limit):
            return found[:limit]
        request.page_token = page.next_page_token


async def _call(
    settings: "CommonSettings",
    service: str,
    call: "Callable[[grpc.aio.Channel], Awaitable[T]]",
    identity: "ServiceIdentity | None",
) -> T:
    from lockstep_clients import LockstepError, connect

    from services.cli.failures import failure_of
    from services.common.tls import tls_of

    target, tls = getattr(settings, f"{service}_address"), tls_of(settings, OPERATOR)
    try:
        async with connect(target, identity=identity, audience=service, tls=tls) as channel:
            return await call(channel)
    except LockstepError as error:
        raise failure_of(service, target, error) from error


def operator_tls() -> "Tls | None":
    """Read the credentials of the command; None: TLS is off.

    Raises:
        FileProblem: They cannot be used.
    """
    from services.common.settings import CommonSettings, load
    from services.common.tls import tls_of

    return tls_of(load(CommonSettings), OPERATOR)
