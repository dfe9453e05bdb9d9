"""SIGKILL in the middle of a call: a repeat at another process finds all of it or nothing."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import grpc
import pytest
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc
from lockstep.profile.v1 import profile_service_pb2 as profile_pb
from lockstep.profile.v1 import wallet_service_pb2 as wallet_pb
from lockstep_clients import LockstepError

import services
from services.common.settings import as_environment
from services.kernel.ids import new_id
from services.profile.settings import ProfileSettings
from tests.environment import variables, without_settings
from tests.faulty import started
from tests.ports import free_port
from tests.profile.world import (
    World,
    connected,
    debit_request,
    outcome,
    profile_world,
    registration,
    settings_for,
)

pytestmark = pytest.mark.processes

Step = Callable[[World, UUID], Awaitable[Message]]
DEBIT, REFUND, TOP_UP = new_id(), new_id(), new_id()


async def create(world: World, user_id: UUID) -> Message:
    saga_id = UUID(int=user_id.int ^ 1)
    return await world.by_auth.CreateProfile(registration(saga_id=saga_id, user_id=user_id))


async def cancel(world: World, user_id: UUID) -> Message:
    saga_id = UUID(int=user_id.int ^ 1)
    request = profile_pb.CancelProfileRequest(saga_id=str(saga_id), user_id=str(user_id))
    return await world.by_auth.CancelProfile(request)


async def forget(world: World, user_id: UUID) -> Message:
    request = profile_pb.ForgetProfileRequest(saga_id=str(new_id()), user_id=str(user_id))
    return await world.by_auth.ForgetProfile(request)


async def top_up(world: World, user_id: UUID) -> Message:
    return await world.top_up(user_id, 1000, transfer_id=TOP_UP)


async def debit(world: World, user_id: UUID) -> Message:
    return await world.by_commerce.DebitWallet(debit_request(user_id, 300, transfer_id=DEBIT))


async def void(world: World, user_id: UUID) -> Message:
    return await world.void(DEBIT)


async def refund(world: World, user_id: UUID) -> Message:
    return await world.refund(DEBIT, 100, transfer_id=REFUND)


STEPS: dict[str, Step] = {
    "CreateProfile": create,
    "CancelProfile": cancel,
    "ForgetProfile": forget,
    "TopUpWallet": top_up,
    "DebitWallet": debit,
    "VoidTransfer": void,
    "RefundWallet": refund,
}
BEFORE: dict[str, list[str]] = {
    "CreateProfile": [],
    "CancelProfile": ["CreateProfile", "TopUpWallet"],
    "ForgetProfile": ["CreateProfile", "TopUpWallet", "DebitWallet"],
    "TopUpWallet": ["CreateProfile"],
    "DebitWallet": ["CreateProfile", "TopUpWallet"],
    "VoidTransfer": ["CreateProfile", "TopUpWallet", "DebitWallet"],
    "RefundWallet": ["CreateProfile", "TopUpWallet", "DebitWallet"],
}
# wallets, sales, forfeited
AFTER = {
    "CreateProfile": (0, 0, 0),
    "CancelProfile": (0, 0, 1000),
    "ForgetProfile": (0, 300, 700),
    "TopUpWallet": (1000, 0, 0),
    "DebitWallet": (700, 300, 0),
    "VoidTransfer": (1000, 0, 0),
    "RefundWallet": (800, 200, 0),
}
EDGES = [
    ("CreateProfile", "commit.acked"),  # [R17]
    ("CancelProfile", "statement#2"),  # [R40]
    ("ForgetProfile", "statement#6"),
    ("TopUpWallet", "commit.acked"),
    ("DebitWallet", "commit.acked"),
    ("VoidTransfer", "commit.acked"),
    ("RefundWallet", "statement#5"),
]


@pytest.mark.parametrize(("name", "edge"), EDGES)
async def test_a_step_that_was_killed_is_repeated_with_one_effect(
    profile_url: str, keys: Path, tmp_path: Path, name: str, edge: str
) -> None:
    user_id = new_id()
    async with profile_world(profile_url, keys) as world:
        for earlier in BEFORE[name]:
            await STEPS[earlier](world, user_id)
        settings = settings_for(profile_url, keys, world.auth)
        async with (
            started(
                "profile", settings, tmp_path / "log", edge=f"profile.{name}.{edge}"
            ) as process,
            connected(process.port, settings, world.auth) as victim,
        ):
            with pytest.raises(LockstepError):
                await STEPS[name](victim, user_id)
            await process.gone()
        first = await STEPS[name](world, user_id)
        assert await STEPS[name](world, user_id) == first
        assert books(world) == AFTER[name]
        assert world.wrong_balances() == []


async def test_killed_under_64_debits_it_loses_none_and_takes_none_twice(
    profile_url: str, keys: Path, tmp_path: Path
) -> None:
    requests = [new_id() for _ in range(64)]
    async with profile_world(profile_url, keys) as world:
        user_id = await world.user_with(64 * 10)
        settings = settings_for(profile_url, keys, world.auth)
        settings = settings.model_copy(update={"profile_port": free_port()})
        async with (
            python_m_services_profile(settings, tmp_path / "log") as process,
            connected(settings.profile_port, settings, world.auth) as victim,
        ):
            debits = [
                asyncio.ensure_future(outcome(victim.debit(user_id, 10, transfer_id=transfer_id)))
                for transfer_id in requests
            ]
            await asyncio.wait(debits, return_when=asyncio.FIRST_COMPLETED)
            process.send_signal(signal.SIGKILL)
            answers = await asyncio.gather(*debits)
        assert any(isinstance(answer, str) for answer in answers), "it was killed too late"
        assert world.wrong_balances() == []
        for transfer_id, answer in zip(requests, answers, strict=True):
            again = await world.debit(user_id, 10, transfer_id=transfer_id)
            assert again.state == wallet_pb.TRANSFER_STATE_POSTED
            assert isinstance(answer, str) or again == answer
        assert books(world) == (0, 640, 0)
        assert world.wrong_balances() == []


@asynccontextmanager
async def python_m_services_profile(
    settings: ProfileSettings, log: Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run Profile as its own process, and kill it at the end."""
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services.profile"),
            cwd=Path(services.__file__).parent.parent,
            env=without_settings() | as_environment(settings) | variables(profile_metrics_port="0"),
            stdout=output,
            stderr=output,
        )
    try:
        async with asyncio.timeout(30):
            await serving(settings.profile_port)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def serving(port: int) -> None:
    """Wait until a server says that it serves."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(  # type: ignore[attr-defined]
            health_pb2.HealthCheckRequest(), wait_for_ready=True
        )
        async for answer in watch:
            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                return


def books(world: World) -> tuple[int, int, int]:
    query = "SELECT coalesce(sum(balance), 0) AS all FROM accounts WHERE kind = 'wallet'"
    return (
        int(world.rows(query)[0][0]),
        world.system_balance("sales"),
        world.system_balance("forfeited"),
    )
