"""Registration when things fail in the middle: both or neither, whatever happens.

In brackets: the rows of the fault matrix in docs/reliability.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep.auth.v1 import auth_service_pb2_grpc as auth_grpc
from lockstep.profile.v1 import profile_service_pb2 as profile_pb
from lockstep.profile.v1 import profile_service_pb2_grpc as profile_grpc
from lockstep_clients import (
    Aborted,
    AlreadyExists,
    LockstepError,
    ServiceIdentity,
    Unavailable,
    connect,
)

from services.auth.errors import RegistrationUnavailable
from services.auth.sagas.registration import RegistrationSaga
from services.cli.postgres import THROWAWAY, EmbeddedPostgres
from services.common.keys import KeyRing
from services.kernel.db.migrations import upgrade
from services.kernel.ids import new_id
from services.kernel.sagas.protocol import Deadline
from tests.conftest import SERVICES
from tests.faulty import started
from tests.kernel.saga_world import Stop
from tests.system import (
    ONLOOKER,
    UNUSED_PORT,
    System,
    auth_settings,
    profile_settings,
    raw_channel,
    raw_method,
    student,
    system,
)

KEY = (("idempotency-key", "once"),)


@contextlib.asynccontextmanager
async def profile_as_auth(lockstep: System) -> AsyncIterator[profile_grpc.ProfileServiceAsyncStub]:
    """Call Profile with Auth's identity."""
    ring = KeyRing.load(lockstep.auth_settings.keys, "auth")
    identity = ServiceIdentity("auth", ring.private_key)
    async with connect(f"127.0.0.1:{lockstep.profile_port}", identity=identity) as channel:
        yield profile_grpc.ProfileServiceStub(channel)


async def test_with_profile_down_nothing_is_written(
    auth_url: str, profile_url: str, keys: Path, tmp_path: Path
) -> None:
    """B5 [R12]: 503, with a phone and without one."""
    async with system(auth_url, profile_url, keys, tmp_path) as lockstep:
        of_auth = lockstep.auth_settings.model_copy(
            update={"profile_address": f"127.0.0.1:{UNUSED_PORT}"}
        )
        async with (
            started("auth", of_auth, tmp_path / "log") as auth,
            connect(f"127.0.0.1:{auth.port}") as channel,
        ):
            stub = auth_grpc.AuthServiceStub(channel)
            for fields in ({}, {"phone_number": "+1234567890"}):
                with pytest.raises(Unavailable) as caught:
                    await stub.Register(student(**fields))
                assert caught.value.reason == "PROFILE_UNAVAILABLE"
        assert await lockstep.users() == []
        assert await lockstep.query("auth", "SELECT 1 FROM sagas") == []


async def test_a_profile_that_commits_and_answers_too_late_is_taken_back(
    auth_url: str, profile_url: str, keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[R17 R20 N4]"""
    monkeypatch.setattr(RegistrationSaga, "deadline", Deadline(0.5, RegistrationUnavailable))
    stop = Stop("profile.CreateProfile.commit.acked", times=100)
    async with system(auth_url, profile_url, keys, tmp_path, profile_observer=stop) as lockstep:
        with pytest.raises(Unavailable) as caught:
            await lockstep.auth.Register(student(), metadata=KEY)
        assert caught.value.reason == "PROFILE_UNAVAILABLE"
        assert len(await lockstep.query("profile", "SELECT 1 FROM profiles")) in (0, 1)
        stop.released.set()
        await lockstep.settled()
        await lockstep.agree()
        assert await lockstep.users() == []
        # The key is free after UNAVAILABLE: the next try is a new registration.
        monkeypatch.undo()
        await lockstep.auth.Register(student(), metadata=KEY)
        await lockstep.agree()
        assert len(await lockstep.users()) == 1


async def test_while_a_failed_registration_is_undone_its_address_is_in_progress(
    auth_url: str, profile_url: str, keys: Path, tmp_path: Path
) -> None:
    """[R4 R41]"""
    stop = Stop("profile.CreateProfile.statement#1", times=100)
    async with system(auth_url, profile_url, keys, tmp_path, profile_observer=stop) as lockstep:
        first = asyncio.ensure_future(lockstep.auth.Register(student()))
        await stop.reached.wait()
        with pytest.raises(Aborted) as caught:
            await lockstep.auth.Register(student())
        assert caught.value.reason == "REGISTRATION_IN_PROGRESS"
        assert caught.value.retry_after_seconds
        stop.released.set()
        await first
        with pytest.raises(AlreadyExists):
            await lockstep.auth.Register(student())
        await lockstep.agree()


async def test_a_late_create_after_the_cancel_is_refused(
    auth_url: str, profile_url: str, keys: Path, tmp_path: Path
) -> None:
    """[R23 R25]"""
    async with (
        system(auth_url, profile_url, keys, tmp_path) as lockstep,
        profile_as_auth(lockstep) as profile,
    ):
        create = profile_pb.CreateProfileRequest(
            saga_id=str(new_id()),
            user_id=str(new_id()),
            initial_status="pending",
            role="student",
            first_name="A",
        )
        create.not_after.FromDatetime(datetime.now(UTC) + timedelta(seconds=30))
        await profile.CancelProfile(
            profile_pb.CancelProfileRequest(saga_id=create.saga_id, user_id=create.user_id)
        )
        with pytest.raises(Aborted) as caught:
            await profile.CreateProfile(create)
        assert caught.value.reason == "SAGA_CANCELLED"
        assert await lockstep.query("profile", "SELECT 1 FROM profiles") == []


async def test_a_client_that_hangs_up_ends_the_waiting_only(
    auth_url: str, profile_url: str, keys: Path, tmp_path: Path
) -> None:
    """[R11 R31 N8]"""
    stop = Stop("profile.CreateProfile.statement#1")
    async with system(auth_url, profile_url, keys, tmp_path, profile_observer=stop) as lockstep:
        async with raw_channel(lockstep.auth_port) as channel:
            call = raw_method(channel, "/lockstep.auth.v1.AuthService/Register")(
                student().SerializeToString(), timeout=10
            )
            await stop.reached.wait()
            call.cancel()
        stop.released.set()
        await lockstep.settled()
        await lockstep.agree()
        assert await lockstep.users() == [("alice@example.com", "ACTIVE")]


@pytest.mark.parametrize(
    "edge",
    [
        "auth.T1.commit.sent",
        "auth.T1.commit.acked",
        "auth.T2.statement#1",
        "auth.T2.commit.sent",
        "auth.T2.commit.acked",
    ],
)
async def test_auth_killed_anywhere_leaves_all_or_nothing(
    auth_url: str, profile_url: str, keys: Path, tmp_path: Path, edge: str
) -> None:
    """[R2 R10 R27 R30 N1 N2 N3 N6]: SIGKILL; then another Auth answers the same key."""
    async with system(auth_url, profile_url, keys, tmp_path) as lockstep:
        async with started("auth", lockstep.auth_settings, tmp_path / "log", edge=edge) as auth:
            async with connect(f"127.0.0.1:{auth.port}") as channel:
                with pytest.raises(LockstepError):
                    await auth_grpc.AuthServiceStub(channel).Register(student(), metadata=KEY)
            await auth.gone()
        await lockstep.settled()
        await lockstep.agree()
        answer = await lockstep.auth.Register(student(), metadata=KEY)
        assert answer.user.email == "alice@example.com"
        assert await lockstep.users() == [("alice@example.com", "ACTIVE")]
        await lockstep.agree()


@pytest.mark.parametrize("edge", ["auth.T1.commit.acked", "auth.T2.statement#1"])
async def test_what_a_killed_auth_has_begun_another_one_finishes_in_time(
    auth_url: str, profile_url: str, keys: Path, tmp_path: Path, edge: str
) -> None:
    """[R10 R27]: Profile is well, so nothing turns back."""
    async with system(auth_url, profile_url, keys, tmp_path) as lockstep:
        async with started("auth", lockstep.auth_settings, tmp_path / "log", edge=edge) as auth:
            async with connect(f"127.0.0.1:{auth.port}") as channel:
                with pytest.raises(LockstepError):
                    await auth_grpc.AuthServiceStub(channel).Register(student(), metadata=KEY)
            await auth.gone()
        await _ended(lockstep)
        assert await lockstep.users() == [("alice@example.com", "ACTIVE")]
        await lockstep.agree()


async def test_a_registration_goes_through_although_auth_is_killed_while_profile_works_on_it(
    auth_url: str, profile_url: str, keys: Path, tmp_path: Path
) -> None:
    """[R17 R27]: Profile commits as soon as it may, and nobody hears of it."""
    async with contextlib.AsyncExitStack() as stack:
        lockstep = await stack.enter_async_context(system(auth_url, profile_url, keys, tmp_path))
        auth = await stack.enter_async_context(
            started("auth", lockstep.auth_settings, tmp_path / "log")
        )
        channel = await stack.enter_async_context(connect(f"127.0.0.1:{auth.port}"))
        async with await psycopg.AsyncConnection.connect(profile_url) as holder:
            await holder.execute("LOCK TABLE profiles IN EXCLUSIVE MODE")
            call = asyncio.ensure_future(
                auth_grpc.AuthServiceStub(channel).Register(student(), metadata=KEY)
            )
            async with asyncio.timeout(10):
                while not await lockstep.query(
                    "profile", "SELECT 1 FROM pg_locks WHERE NOT granted"
                ):
                    pass
            auth.signal(signal.SIGKILL)
            await auth.gone()
        with pytest.raises(LockstepError):
            await call
        await _ended(lockstep)
        assert await lockstep.users() == [("alice@example.com", "ACTIVE")]
        await lockstep.agree()
        answer = await lockstep.auth.Register(student(), metadata=KEY)
        assert answer.user.email == "alice@example.com"


async def _ended(lockstep: System) -> None:
    """Wait until no saga is unfinished, with the leases as they are."""
    async with asyncio.timeout(20):
        while await lockstep.query("auth", "SELECT 1 FROM sagas WHERE state = 'RUNNING'"):
            pass


@pytest.mark.parametrize(
    "edge",
    [
        "profile.CreateProfile.statement#1",
        "profile.CreateProfile.commit.sent",
        "profile.CreateProfile.commit.acked",
    ],
)
async def test_profile_killed_anywhere_is_asked_again_when_it_is_back(
    auth_url: str, profile_url: str, keys: Path, tmp_path: Path, edge: str
) -> None:
    """[R13 R16 R17]"""
    of_profile = profile_settings(profile_url, keys, UNUSED_PORT, tmp_path)
    log = tmp_path / "log"
    async with contextlib.AsyncExitStack() as stack:
        lockstep = await stack.enter_async_context(system(auth_url, profile_url, keys, tmp_path))
        profile = await stack.enter_async_context(started("profile", of_profile, log, edge=edge))
        of_auth = auth_settings(auth_url, keys, profile.port, tmp_path)
        auth = await stack.enter_async_context(started("auth", of_auth, log))
        channel = await stack.enter_async_context(connect(f"127.0.0.1:{auth.port}"))
        stub = auth_grpc.AuthServiceStub(channel)
        waiting = asyncio.ensure_future(stub.Register(student(), metadata=KEY))
        await profile.gone()
        target = f"127.0.0.1:{profile.port}"
        await stack.enter_async_context(started("profile", of_profile, log, listen_on=target))
        with contextlib.suppress(Unavailable):
            await waiting
        await lockstep.settled()
        await lockstep.agree()
        assert (await stub.Register(student(), metadata=KEY)).user.role == "student"
        await lockstep.agree()


async def test_a_zombie_auth_that_wakes_up_after_recovery_changes_nothing(
    auth_url: str, profile_url: str, keys: Path, tmp_path: Path
) -> None:
    """[R48 R50]: SIGSTOP before T2, recovery by another replica, SIGCONT."""
    async with system(auth_url, profile_url, keys, tmp_path) as lockstep:
        async with (
            started(
                "auth",
                lockstep.auth_settings,
                tmp_path / "log",
                edge="auth.T1.commit.acked",
                strike="STOP",
            ) as zombie,
            connect(f"127.0.0.1:{zombie.port}") as channel,
        ):
            call = asyncio.ensure_future(
                auth_grpc.AuthServiceStub(channel).Register(student(), metadata=KEY)
            )
            async with asyncio.timeout(10):
                while not await lockstep.query("auth", "SELECT 1 FROM sagas"):
                    pass
            await lockstep.settled()
            await lockstep.agree()
            zombie.signal(signal.SIGCONT)
            with contextlib.suppress(LockstepError):
                await call
        await lockstep.agree()
        assert await lockstep.users() == [("alice@example.com", "ACTIVE")]


async def test_sigterm_under_load_loses_no_registration(
    auth_url: str, profile_url: str, keys: Path, tmp_path: Path
) -> None:
    """[R56 N10]"""
    async with system(auth_url, profile_url, keys, tmp_path) as lockstep:
        async with started("auth", lockstep.auth_settings, tmp_path / "log") as auth:
            async with connect(f"127.0.0.1:{auth.port}") as channel:
                stub = auth_grpc.AuthServiceStub(channel)
                calls = [
                    asyncio.ensure_future(stub.Register(student(f"u{n}@example.com")))
                    for n in range(24)
                ]
                await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
                auth.signal(signal.SIGTERM)
                answers = await asyncio.gather(*calls, return_exceptions=True)
            await auth.gone()
        await lockstep.settled()
        await lockstep.agree()
        promised = {a.user.email for a in answers if isinstance(a, auth_pb.RegisterResponse)}
        assert promised <= {email for email, _ in await lockstep.users()}
        assert promised


async def test_a_restart_of_postgresql_in_the_middle_is_survived(
    keys: Path, tmp_path: Path
) -> None:
    """[R8 R29 R57]"""
    server = EmbeddedPostgres(tmp_path / "postgres", options=THROWAWAY)
    await asyncio.to_thread(server.start)
    try:
        server.create_databases(["authdb", "profiledb"])
        for service in ("auth", "profile"):
            await asyncio.to_thread(
                upgrade, server.url(f"{service}db"), SERVICES / service / "migrations"
            )
        stop = Stop("auth.T2.statement#1")
        async with system(
            server.url("authdb"), server.url("profiledb"), keys, tmp_path, auth_observer=stop
        ) as lockstep:
            waiting = asyncio.ensure_future(lockstep.auth.Register(student(), metadata=KEY))
            await stop.reached.wait()
            await asyncio.to_thread(server.stop)
            await asyncio.to_thread(server.start)
            stop.released.set()
            with contextlib.suppress(LockstepError):
                await waiting
            await lockstep.settled()
            await lockstep.agree()
            await lockstep.auth.Register(student(), metadata=KEY)
            assert len(await lockstep.users()) == 1
    finally:
        await asyncio.to_thread(server.destroy)


async def test_connections_cut_at_every_commit_leave_all_or_nothing(
    auth_url: str, profile_url: str, keys: Path, tmp_path: Path
) -> None:
    """[R9 R16 R29 R33 R45]"""
    cut: set[str] = set()

    async def cut_once(edge: str) -> None:
        if edge.endswith("commit.sent") and edge not in cut:
            cut.add(edge)
            async with await psycopg.AsyncConnection.connect(auth_url, autocommit=True) as c:
                await c.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE pid <> pg_backend_pid() AND application_name <> %s"
                    " AND datname IN (%s, %s)",
                    [ONLOOKER, _name(auth_url), _name(profile_url)],
                )

    async with system(
        auth_url, profile_url, keys, tmp_path, auth_observer=cut_once, profile_observer=cut_once
    ) as lockstep:
        for n in range(4):
            with contextlib.suppress(LockstepError):
                await lockstep.auth.Register(student(f"u{n}@example.com"))
        await lockstep.settled()
        await lockstep.agree()
        assert {"auth.T1.commit.sent", "auth.T2.commit.sent"} <= cut


def _name(url: str) -> str:
    return str(psycopg.conninfo.conninfo_to_dict(url)["dbname"])
