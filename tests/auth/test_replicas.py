"""Several processes of Auth on one database: each request takes effect once."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep.auth.v1 import auth_service_pb2_grpc as auth_grpc
from lockstep_clients import (
    InvalidArgument,
    LockstepError,
    ResourceExhausted,
    Unauthenticated,
    connect,
)

from services.auth.settings import AuthSettings
from tests.auth.world import PASSWORD, WRONG, Sink, World, serving_auth
from tests.fakes.participants import FakeOrders, FakeProfile
from tests.faulty import started

EMAIL = "ada@example.com"
ME = auth_pb.GetUserRequest(user_id="me")

pytestmark = pytest.mark.processes


@dataclass
class Replicas:
    """Two processes of Auth, and a third Auth in this process."""

    world: World
    stubs: list[auth_grpc.AuthServiceAsyncStub]

    def spread(self, number: int) -> list[auth_grpc.AuthServiceAsyncStub]:
        """Return this many stubs, of each replica in turn."""
        return [self.stubs[n % len(self.stubs)] for n in range(number)]


@pytest.fixture
def settings(make_settings: Callable[..., AuthSettings]) -> AuthSettings:
    return make_settings(address_limits=False)


@pytest.fixture
async def replicas(
    settings: AuthSettings, mail: tuple[Sink, int], tmp_path: Path
) -> AsyncIterator[Replicas]:
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        processes = await asyncio.gather(
            *(enter(started("auth", settings, tmp_path / f"log{n}")) for n in range(2))
        )
        world = await enter(serving_auth(settings, mail[0]))
        stubs = [world.auth]
        for process in processes:
            stub = auth_grpc.AuthServiceStub(await enter(connect(f"127.0.0.1:{process.port}")))
            await stub.GetJwks(auth_pb.GetJwksRequest(), wait_for_ready=True)
            stubs.append(stub)
        yield Replicas(world, stubs)


async def test_what_must_happen_once_happens_once(replicas: Replicas, profile: FakeProfile) -> None:
    """Everything is in one test, because replicas take seconds to start."""
    await _one_code_makes_one_account(replicas)
    await _of_wrong_codes_five_are_compared(replicas)
    await _parallel_refreshes_get_one_successor(replicas)
    await _of_wrong_passwords_the_free_ones_are_answered(replicas)
    await _no_login_survives_a_deletion(replicas)
    await _one_administrator_stays(replicas)
    users = await replicas.world.sql("SELECT id::text FROM users")
    assert {user.id for user in users} == set(profile.profiles)


async def _one_code_makes_one_account(replicas: Replicas) -> None:
    send = auth_pb.SendOtpRequest(email=EMAIL, password=PASSWORD)
    flow_id = (await replicas.stubs[0].SendOtp(send)).flow_id
    code = await replicas.world.sink.code(EMAIL)
    verify = auth_pb.VerifyOtpRequest(flow_id=flow_id, email=EMAIL, otp=code)
    answers = await asyncio.gather(*(auth.VerifyOtp(verify) for auth in replicas.spread(18)))
    assert len({answer.user.id for answer in answers}) == 1
    assert len(await replicas.world.sql("SELECT 1 FROM users")) == 1


async def _of_wrong_codes_five_are_compared(replicas: Replicas) -> None:
    email = "eve@example.com"
    send = auth_pb.SendOtpRequest(email=email, password=PASSWORD)
    flow_id = (await replicas.stubs[0].SendOtp(send)).flow_id
    verify = auth_pb.VerifyOtpRequest(flow_id=flow_id, email=email, otp=WRONG)
    answers = await asyncio.gather(
        *(auth.VerifyOtp(verify) for auth in replicas.spread(18)), return_exceptions=True
    )
    assert sum(isinstance(answer, InvalidArgument) for answer in answers) == 5
    assert sum(isinstance(answer, ResourceExhausted) for answer in answers) == 13


async def _parallel_refreshes_get_one_successor(replicas: Replicas) -> None:
    token = (await replicas.world.login(EMAIL)).refresh_token
    refresh = auth_pb.RefreshTokenRequest(refresh_token=token)
    answers = await asyncio.gather(*(auth.RefreshToken(refresh) for auth in replicas.spread(18)))
    successors = {answer.refresh_token for answer in answers}
    assert len(successors) == 1
    await replicas.stubs[1].RefreshToken(
        auth_pb.RefreshTokenRequest(refresh_token=successors.pop())
    )


async def _of_wrong_passwords_the_free_ones_are_answered(replicas: Replicas) -> None:
    login = auth_pb.LoginRequest(email="mallory@example.com", password="Wrong-horse-7")
    await replicas.world.stop_clock()
    answers = await asyncio.gather(
        *(auth.Login(login) for auth in replicas.spread(24)), return_exceptions=True
    )
    await replicas.world.start_clock()
    assert sum(isinstance(answer, Unauthenticated) for answer in answers) == 6
    assert sum(isinstance(answer, ResourceExhausted) for answer in answers) == 18


async def _no_login_survives_a_deletion(replicas: Replicas) -> None:
    world = replicas.world
    for number in range(3):
        member = await world.member(f"user{number}@example.com")
        login = auth_pb.LoginRequest(email=member.email, password=PASSWORD)
        delete = auth_pb.DeleteUserRequest(user_id="me")
        deletion, *logins = await asyncio.gather(
            replicas.stubs[1].DeleteUser(delete, metadata=member.proof),
            *(auth.Login(login) for auth in replicas.spread(9)),
            return_exceptions=True,
        )
        assert isinstance(deletion, auth_pb.DeleteUserResponse)
        for answer in logins:
            if isinstance(answer, auth_pb.LoginResponse):
                with pytest.raises(Unauthenticated):
                    await replicas.stubs[2].GetUser(ME, metadata=world.of(answer).proof)
        assert not await world.sql("SELECT 1 FROM sessions WHERE user_id = %s", member.id)


async def _one_administrator_stays(replicas: Replicas) -> None:
    world = replicas.world
    members = [await world.admin(f"root{number}@example.com") for number in range(3)]
    answers = await asyncio.gather(
        *(
            auth.DisableUser(
                auth_pb.DisableUserRequest(user_id=members[(n + 1) % 3].id),
                metadata=members[n].proof,
            )
            for n, auth in enumerate(replicas.stubs)
        ),
        return_exceptions=True,
    )
    assert any(isinstance(answer, LockstepError) for answer in answers)
    [row] = await world.sql(
        "SELECT count(*) AS number FROM users JOIN roles ON roles.id = role_id "
        "WHERE name = 'admin' AND status = 'ACTIVE'"
    )
    assert row.number >= 1


async def test_a_replica_that_stops_gives_to_another_what_it_took_up(
    settings: AuthSettings, mail: tuple[Sink, int], profile: FakeProfile, tmp_path: Path
) -> None:
    """[R56]: at once, while a call of its own goes on."""
    async with serving_auth(settings, mail[0]) as world:
        member = await world.member(EMAIL)
    profile.gate = asyncio.Event()
    async with (
        started("auth", settings, tmp_path / "log") as stopping,
        connect(f"127.0.0.1:{stopping.port}") as channel,
    ):
        await world.sql(
            "INSERT INTO sagas (id, kind, state, payload, user_id, next_run_at) VALUES"
            " (gen_random_uuid(), 'user_enabling', 'RUNNING', '{}', %s, saga_now())",
            member.id,
        )
        await _has(world, "kind = 'user_enabling' AND lease_owner IS NOT NULL")
        request = auth_pb.RegisterRequest(
            email="eve@example.com", password=PASSWORD, full_name="Eve", course="Law"
        )
        call = asyncio.ensure_future(auth_grpc.AuthServiceStub(channel).Register(request))
        await _has(world, "kind = 'registration' AND state = 'RUNNING'")
        stopping.signal(signal.SIGTERM)
        await _has(world, "kind = 'user_enabling' AND lease_owner IS NULL AND attempts = 1")
        async with serving_auth(settings, mail[0]):
            await _has(world, "kind = 'user_enabling' AND lease_owner IS NOT NULL")
            assert stopping.process.returncode is None
            profile.gate.set()
            assert (await call).user.email == "eve@example.com"
            await _has(world, "kind = 'user_enabling' AND state = 'DONE'")


async def _has(world: World, condition: str) -> None:
    """Wait until there is a saga of which a condition holds."""
    async with asyncio.timeout(10):
        while not await world.sql(f"SELECT 1 FROM sagas WHERE {condition}"):
            pass


@pytest.mark.parametrize(
    "edge",
    [
        "auth.T1.commit.sent",
        "auth.T1.commit.acked",
        "auth.A.commit.sent",
        "auth.A.commit.acked",
        "auth.T2.statement#3",
        "auth.T2.commit.sent",
        "auth.T2.commit.acked",
    ],
)
async def test_a_deletion_that_is_killed_anywhere_ends_or_never_began(  # noqa: PLR0917 - fixtures
    settings: AuthSettings,
    mail: tuple[Sink, int],
    profile: FakeProfile,
    orders: FakeOrders,
    tmp_path: Path,
    edge: str,
) -> None:
    async with serving_auth(settings, mail[0]) as world:
        member = await world.member(EMAIL)
        async with (
            started("auth", settings, tmp_path / "log", edge=edge) as struck,
            connect(f"127.0.0.1:{struck.port}") as channel,
        ):
            stub = auth_grpc.AuthServiceStub(channel)
            delete = auth_pb.DeleteUserRequest(user_id="me")
            with contextlib.suppress(LockstepError):
                await stub.DeleteUser(delete, metadata=member.proof, wait_for_ready=True)
            await struck.gone()
        await world.settled()
        began = bool(await world.sql("SELECT 1 FROM sagas WHERE kind = 'account_deletion'"))
        users = await world.sql("SELECT status FROM users")
        if began:
            assert users == []
            assert set(orders.forgotten) == set(profile.forgotten) == {member.id}
            assert profile.profiles == {}
        else:
            assert [user.status for user in users] == ["ACTIVE"]
            assert orders.forgotten == profile.forgotten == []
            await world.auth.GetUser(ME, metadata=member.proof)
