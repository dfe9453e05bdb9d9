"""Auth and Profile in this process, with real servers and real databases."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import psycopg
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep.auth.v1 import auth_service_pb2_grpc as auth_grpc
from lockstep_clients import connect

from services.auth import __main__ as auth_main
from services.auth.settings import AuthSettings
from services.kernel.db.database import Observer
from services.profile import __main__ as profile_main
from services.profile.settings import ProfileSettings
from tests.unfinished_sagas import until_settled

PASSWORD = "Secure-Horse-42"
UNUSED_PORT = 1  # no process listens there, and none may


def student(email: str = "alice@example.com", **fields: Any) -> auth_pb.RegisterRequest:
    """Return a registration with only the required fields."""
    given = {"full_name": "Alice Johnson", "course": "Computer Science", **fields}
    return auth_pb.RegisterRequest(email=email, password=PASSWORD, **given)


# Names the connections of a test, which a test that cuts those of the services spares.
ONLOOKER = "onlooker"


@dataclass
class System:
    """Both services, with their stubs and their databases."""

    auth_settings: AuthSettings
    profile_settings: ProfileSettings
    auth_port: int
    profile_port: int
    auth: auth_grpc.AuthServiceAsyncStub

    async def query(self, service: str, sql: str, *args: Any) -> list[Any]:
        """Run a query on a service's database."""
        url = (
            self.auth_settings.auth_database_url
            if service == "auth"
            else self.profile_settings.profile_database_url
        )
        async with await psycopg.AsyncConnection.connect(
            url, autocommit=True, application_name=ONLOOKER
        ) as connection:
            cursor = await connection.execute(sql, args or None)
            return await cursor.fetchall() if cursor.description else []

    async def users(self) -> list[tuple[str, str]]:
        """Return (email, status) of every user."""
        return await self.query("auth", "SELECT email, status FROM users ORDER BY email")

    async def agree(self) -> None:
        """Check that every user is ACTIVE and has a profile, and the other way round."""
        users = await self.query("auth", "SELECT id, status FROM users ORDER BY id")
        profiles = await self.query("profile", "SELECT user_id FROM profiles ORDER BY user_id")
        assert [row[0] for row in users] == [row[0] for row in profiles]
        assert {row[1] for row in users} <= {"ACTIVE"}

    async def settled(self) -> None:
        """Let leases run out, and wait until no saga is unfinished."""
        await until_settled(partial(self.query, "auth"))


def auth_settings(url: str, keys: Path, profile_port: int, home: Path) -> AuthSettings:
    """Return Auth's settings for a test."""
    return AuthSettings(
        env="test",
        home=home,
        keys=keys,
        auth_database_url=url,
        profile_address=f"127.0.0.1:{profile_port}",
        commerce_address=f"127.0.0.1:{UNUSED_PORT}",
        smtp_url=f"smtp://127.0.0.1:{UNUSED_PORT}",
        bcrypt_cost=4,
        address_limits=False,
    )


def profile_settings(url: str, keys: Path, auth_port: int, home: Path) -> ProfileSettings:
    """Return Profile's settings for a test."""
    return ProfileSettings(
        env="test",
        home=home,
        keys=keys,
        profile_database_url=url,
        auth_address=f"127.0.0.1:{auth_port}",
    )


@contextlib.asynccontextmanager
async def system(
    auth_url: str,
    profile_url: str,
    keys: Path,
    home: Path,
    *,
    auth_observer: Observer | None = None,
    profile_observer: Observer | None = None,
) -> AsyncIterator[System]:
    """Run Profile and Auth until the context ends."""
    async with contextlib.AsyncExitStack() as stack:
        of_profile = profile_settings(profile_url, keys, UNUSED_PORT, home)
        profile = await stack.enter_async_context(
            profile_main.running(of_profile, listen_on="127.0.0.1:0", observer=profile_observer)
        )
        of_auth = auth_settings(auth_url, keys, profile.port, home)
        auth = await stack.enter_async_context(
            auth_main.running(of_auth, listen_on="127.0.0.1:0", observer=auth_observer)
        )
        channel = await stack.enter_async_context(connect(f"127.0.0.1:{auth.port}"))
        yield System(
            auth_settings=of_auth,
            profile_settings=of_profile,
            auth_port=auth.port,
            profile_port=profile.port,
            auth=auth_grpc.AuthServiceStub(channel),
        )


def raw_channel(port: int) -> grpc.aio.Channel:
    """Connect without the client library, so without retries and deadlines."""
    return grpc.aio.insecure_channel(f"127.0.0.1:{port}")


def raw_method(
    channel: grpc.aio.Channel, path: str
) -> grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]:
    """Return a method that takes and gives bytes."""
    return channel.unary_unary(path)
