"""Floods: from one IP, and more passwords than can be hashed."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import threading
from collections.abc import AsyncIterator, Callable

import bcrypt
import grpc
import pytest
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep.options.v1 import options_pb2 as options_pb
from lockstep_clients import (
    InvalidArgument,
    LockstepError,
    ResourceExhausted,
    Unauthenticated,
)

from services.auth.domain import ip_limits, passwords
from services.auth.domain.ip_limits import IpRateLimiter, client_ip_of
from services.auth.domain.passwords import Hasher
from services.auth.settings import AuthSettings
from services.kernel.errors import TooManyRequests
from services.kernel.rpc.call import Call, Method
from tests.auth.test_hostile_texts import rpcs
from tests.auth.world import PASSWORD, Sink, World, calling_as, serving_auth

EMAIL = "ada@example.com"
METHOD = Method.of(auth_pb.DESCRIPTOR.services_by_name["AuthService"].methods_by_name["Login"])


@pytest.mark.parametrize(
    ("peer", "client_ip"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("ipv4:203.0.113.7:5000", "203.0.113.7"),
        ("ipv6:[2001:db8::1]:5000", "2001:db8::1"),
        ("ipv6:%5B2001:db8::1%5D:5000", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("unix:/tmp/x", None),
        ("'; DROP TABLE users; --", None),
        ("", None),
        (None, None),
    ],
)
def test_ips_are_read_from_what_the_transport_or_the_gateway_says(
    peer: str | None, client_ip: str | None
) -> None:
    call = Call(method=METHOD, metadata={}, message=b"", client_ip=peer)
    assert client_ip_of(call) == client_ip


@pytest.fixture
def few_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an IP call three times a minute."""
    monkeypatch.setattr(ip_limits, "calls_a_minute", lambda _: 3)


@pytest.fixture
def address_limits_factor() -> int:
    """How high the limits per IP are: as they are without a setting."""
    return 1


# Whatever makes accounts, sends mail, takes codes or passwords has a limit of its own.
CALLS_A_MINUTE = {
    "Register": 20,
    "SendOtp": 20,
    "RequestPasswordReset": 20,
    "VerifyOtp": 10,
    "VerifyEmail": 10,
    "ResetPassword": 10,
    "VerifyMfa": 10,
    "CheckInvitation": 10,
    "AcceptInvitation": 10,
    "Login": 60,
    "RefreshToken": 300,
    "GetJwks": 300,
}
PUBLIC = [
    method
    for each in rpcs()
    if each.containing_service.full_name.startswith("lockstep.auth.")
    and (method := Method.of(each)).access == options_pb.ACCESS_PUBLIC
]


@pytest.mark.parametrize("method", PUBLIC, ids=lambda method: method.name)
@pytest.mark.parametrize("factor", [1, 3])
async def test_an_ip_may_call_each_method_as_often_as_its_proto_says(
    method: Method, factor: int
) -> None:
    limiter = IpRateLimiter(enabled=True, factor=factor)
    call = Call(method=method, metadata={}, message=b"", client_ip="203.0.113.7")
    for _ in range(CALLS_A_MINUTE[method.name] * factor):
        await limiter.hit(call)
    with pytest.raises(TooManyRequests):
        await limiter.hit(call)
    call.client_ip = "203.0.113.8"
    await limiter.hit(call)


async def test_without_limits_an_ip_may_call_as_often_as_it_likes() -> None:
    limiter = IpRateLimiter(enabled=False, factor=1)
    call = Call(method=METHOD, metadata={}, message=b"", client_ip="203.0.113.7")
    for _ in range(CALLS_A_MINUTE["Login"] + 1):
        assert await limiter.hit(call) == "203.0.113.7"


async def ask(world: World, client_ip: str | None = None) -> LockstepError | None:
    """Send an empty request for a password reset, through the gateway when an IP is given."""
    request = auth_pb.RequestPasswordResetRequest()
    async with contextlib.AsyncExitStack() as stack:
        auth, metadata = world.auth, grpc.aio.Metadata()
        if client_ip is not None:
            auth = await stack.enter_async_context(calling_as(world, "gateway"))
            metadata = grpc.aio.Metadata(("x-lockstep-client-address", client_ip))
        try:
            await auth.RequestPasswordReset(request, metadata=metadata)
        except LockstepError as error:
            return error
    return None


async def test_an_address_may_call_each_method_so_often(few_calls: None, world: World) -> None:
    for _ in range(3):
        assert isinstance(await ask(world), InvalidArgument)
    error = await ask(world)
    assert isinstance(error, ResourceExhausted)
    assert error.reason == "TOO_MANY_REQUESTS"
    assert error.retry_after_seconds is not None
    assert 1 <= error.retry_after_seconds <= 60
    with pytest.raises(Unauthenticated):
        await world.login(EMAIL)


async def test_people_behind_the_gateway_are_told_apart(few_calls: None, world: World) -> None:
    for client_ip in ("203.0.113.1", "203.0.113.2", "2001:db8::1", "2001:db8:0:1::1"):
        for _ in range(3):
            assert isinstance(await ask(world, client_ip), InvalidArgument)
    for client_ip in ("203.0.113.1", "2001:db8::2", "2001:db8:0:1:2::3"):
        assert isinstance(await ask(world, client_ip), ResourceExhausted)


async def test_who_is_not_the_gateway_cannot_choose_an_address(
    few_calls: None, world: World
) -> None:
    for number in range(4):
        with pytest.raises(LockstepError) as caught:
            await world.auth.RequestPasswordReset(
                auth_pb.RequestPasswordResetRequest(),
                metadata=(("x-lockstep-client-address", f"203.0.113.{number}"),),
            )
    assert isinstance(caught.value, ResourceExhausted)


@pytest.fixture
async def lifted(
    few_calls: None, make_settings: Callable[..., AuthSettings], mail: tuple[Sink, int]
) -> AsyncIterator[World]:
    """An Auth without limits for IPs."""
    async with serving_auth(make_settings(address_limits=False), mail[0]) as world:
        yield world


async def test_the_limits_of_addresses_can_be_lifted_and_those_of_accounts_stay(
    lifted: World,
) -> None:
    for _ in range(5):
        assert isinstance(await ask(lifted), InvalidArgument)
    for _ in range(6):
        with pytest.raises(Unauthenticated):
            await lifted.login(EMAIL, "Wrong-horse-7")
    with pytest.raises(ResourceExhausted):
        await lifted.login(EMAIL)


async def test_passwords_wait_in_a_queue_that_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "WAITING_PER_THREAD", 2)
    hasher = Hasher(8, threads=1)
    try:
        answers = await asyncio.gather(
            *(hasher.hash(PASSWORD) for _ in range(6)), return_exceptions=True
        )
    finally:
        hasher.close()
    refused = [answer for answer in answers if not isinstance(answer, str)]
    assert 0 < len(refused) < 6
    for error in refused:
        assert getattr(error, "reason", None) == "TOO_MANY_REQUESTS"
        assert getattr(error, "retry_after_seconds", None)


async def test_a_storm_of_logins_is_refused_beyond_the_queue_and_other_calls_go_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = await world.member(EMAIL)
    monkeypatch.setattr(passwords, "WAITING_PER_THREAD", 4)
    may_end = threading.Event()
    monkeypatch.setattr(bcrypt, "checkpw", lambda *_: may_end.wait(30) and False)
    storm = [
        asyncio.ensure_future(world.login(f"user{number}@example.com")) for number in range(100)
    ]
    room = 4 * (os.cpu_count() or 1)
    for ended in itertools.islice(asyncio.as_completed(storm), 100 - room):
        with pytest.raises(ResourceExhausted) as caught:
            await ended
        assert caught.value.retry_after_seconds
    await world.auth.GetUser(auth_pb.GetUserRequest(user_id="me"), metadata=member.proof)
    may_end.set()
    answers = await asyncio.gather(*storm, return_exceptions=True)
    assert sum(isinstance(answer, Unauthenticated) for answer in answers) == room


async def test_known_and_unknown_addresses_cost_the_same_work(world: World) -> None:
    """Each login hashes exactly once, with and without an account."""
    await world.register(EMAIL)
    hashed = []
    original = Hasher._run

    async def counted(self: Hasher, work: Callable[[], object]) -> object:
        hashed.append(1)
        return await original(self, work)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Hasher, "_run", counted)
        for email, password in (
            (EMAIL, "Wrong-horse-7"),
            ("nobody@example.com", "Wrong-horse-7"),
            ("not an address", "Wrong-horse-7"),
            (EMAIL, "x" * 100),
        ):
            hashed.clear()
            with pytest.raises(Unauthenticated):
                await world.login(email, password)
            assert len(hashed) == 1
        for email in (EMAIL, "nobody@example.com"):
            hashed.clear()
            await world.auth.SendOtp(auth_pb.SendOtpRequest(email=email, password=PASSWORD))
            assert len(hashed) == 1
