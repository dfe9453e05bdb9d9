"""Auth as its callers see it: its real parts, gRPC on loopback, a real mail sink."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep.auth.v1 import auth_service_pb2_grpc as auth_grpc
from lockstep.auth.v1 import invitation_service_pb2 as invitation_pb
from lockstep.auth.v1 import invitation_service_pb2_grpc as invitation_grpc
from lockstep_clients import ServiceIdentity, bearer, connect
from psycopg.rows import namedtuple_row

from services.auth.__main__ import running
from services.auth.errors import RegistrationUnavailable
from services.auth.sagas.profiles import RemoteProfiles
from services.auth.settings import AuthSettings
from services.common.keys import KeyRing
from services.common.service import Running
from services.kernel.db.database import Database, Observer
from services.kernel.db.tables import SAGA_NOW
from tests.own_keys import all_keys, own_keys
from tests.unfinished_sagas import until_settled
from tests.waiting import until_found

PASSWORD = "Correct-horse-7"
WRONG = "000000"  # a code that is right once in a million flows
MAIL_SECONDS = 30.0

_CODE = re.compile(r"\b\d{6}\b")
_TOKEN = re.compile(r"^    ([\w-]{64})$", re.MULTILINE)


class Sink:
    """Takes mail over SMTP and keeps it."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self._arrived = asyncio.Condition()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        message = message_from_bytes(envelope.original_content or b"", policy=policy.default)
        async with self._arrived:
            self.messages.append(message)
            self._arrived.notify_all()
        return "250 OK"

    async def wait_for(self, to: str, *, count: int = 1, about: str = "") -> EmailMessage:
        """Wait for the count-th mail to an e-mail address, perhaps only of one subject."""

        def found() -> list[EmailMessage]:
            return [message for message in self.to(to) if about in message["subject"]]

        async with self._arrived, asyncio.timeout(MAIL_SECONDS):
            await self._arrived.wait_for(lambda: len(found()) >= count)
        return found()[count - 1]

    def to(self, email: str) -> list[EmailMessage]:
        """Return the mails to an e-mail address in the order in which they were written.

        Mails of one moment arrive in any order; their ids follow the order of writing.
        """
        found = (message for message in self.messages if email in message["to"])
        return sorted(found, key=lambda message: str(message["message-id"]))

    async def code(self, to: str, *, count: int = 1, about: str = "") -> str:
        """Return the code in the count-th mail to an e-mail address."""
        return code_in(await self.wait_for(to, count=count, about=about))


def code_in(message: EmailMessage) -> str:
    """Return the code in the subject, where a phone shows it."""
    match = _CODE.search(message["subject"])
    assert match is not None, message["subject"]
    return match[0]


@dataclass
class World:
    """An Auth that runs, with its database, keys, mail sink and a stub."""

    url: str
    keys: Path
    sink: Sink
    auth: auth_grpc.AuthServiceAsyncStub
    running: Running
    numbers: dict[str, int] = field(default_factory=dict)

    async def login(self, email: str, password: str = PASSWORD) -> auth_pb.LoginResponse:
        return await self.auth.Login(auth_pb.LoginRequest(email=email, password=password))

    async def sql(self, statement: str, *parameters: Any) -> list[Any]:
        """Run a statement on Auth's database."""
        assert not statement.startswith("SELECT FROM"), "rows without columns can't be told apart"
        async with await psycopg.AsyncConnection.connect(
            self.url, autocommit=True, row_factory=namedtuple_row
        ) as connection:
            cursor = await connection.execute(statement.encode(), parameters)
            return await cursor.fetchall() if cursor.description else []

    async def stop_clock(self) -> None:
        """Let the clock of the database stand still from now on."""
        [row] = await self.sql("SELECT clock_timestamp()::text AS now")
        await self.sql(
            "CREATE OR REPLACE FUNCTION saga_now() RETURNS timestamptz LANGUAGE sql VOLATILE"
            f" AS $$ SELECT '{row.now}'::timestamptz $$"
        )

    async def start_clock(self) -> None:
        """Let the clock of the database go on."""
        await self.sql(SAGA_NOW)

    async def settled(self) -> None:
        """Let leases run out, and wait until all sagas have ended."""
        await until_settled(self.sql)

    async def register(self, email: str, **fields: str) -> auth_pb.RegisterResponse:
        """Register a student, whose role requires the fewest fields."""
        given = {"full_name": "Ada Lovelace", "course": "Analysis", **fields}
        request = auth_pb.RegisterRequest(email=email, password=PASSWORD, **given)
        return await self.auth.Register(request)

    async def member(self, email: str) -> Member:
        """Register and log in."""
        await self.register(email)
        return self.of(await self.login(email))

    async def admin(self, email: str) -> Member:
        """Register, make an administrator, and log in."""
        user = (await self.register(email)).user
        await self.sql(
            "INSERT INTO roles (id, name) VALUES (gen_random_uuid(), 'admin') "
            "ON CONFLICT DO NOTHING"
        )
        await self.sql(
            "UPDATE users SET role_id = (SELECT id FROM roles WHERE name = 'admin') WHERE id = %s",
            user.id,
        )
        return self.of(await self.login(email))

    def of(self, tokens: auth_pb.LoginResponse) -> Member:
        return Member(
            id=tokens.user_id,
            email=tokens.email,
            token=tokens.token,
            refresh_token=tokens.refresh_token,
        )


@dataclass(frozen=True)
class Member:
    """A user who is logged in."""

    id: str
    email: str
    token: str
    refresh_token: str

    @property
    def proof(self) -> tuple[tuple[str, str]]:
        return bearer(self.token)


async def met(world: World, table: str, *calls: Awaitable[Any]) -> list[Any]:
    """Let calls meet, and return their answers and errors.

    No call adds a row to the table before each has come to that point, or waits for another.
    """
    waiting = (
        "SELECT pid FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND datname = current_database()"
        " AND NOT starts_with(query, 'UPDATE')"  # of a task in the background
    )
    async with await psycopg.AsyncConnection.connect(world.url) as blocker:
        await blocker.execute(f"LOCK TABLE {table} IN SHARE MODE".encode())
        running = [asyncio.ensure_future(each) for each in calls]
        await until_found(lambda: world.sql(waiting), lambda found: len(found) == len(calls))
        await blocker.rollback()
    return await asyncio.gather(*running, return_exceptions=True)


@contextlib.asynccontextmanager
async def serving_mail() -> AsyncIterator[tuple[Sink, int]]:
    """Run a mail sink, and yield it with its port."""
    sink, loop = Sink(), asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(sink, enable_SMTPUTF8=True, loop=loop), "127.0.0.1", 0
    )
    async with server:
        yield sink, server.sockets[0].getsockname()[1]


def settings_for(
    url: str, keys: Path, *, profile: str, commerce: str, smtp_url: str, **more: Any
) -> AuthSettings:
    return AuthSettings(
        env="test",
        bcrypt_cost=4,
        keys=own_keys(keys, "auth"),
        auth_database_url=url,
        profile_address=profile,
        commerce_address=commerce,
        smtp_url=smtp_url,
        **more,
    )


@contextlib.asynccontextmanager
async def serving_auth(
    settings: AuthSettings, sink: Sink, *, listen_on: str = "127.0.0.1:0"
) -> AsyncIterator[World]:
    """Run Auth, and yield the world around it."""
    async with (
        running(settings, listen_on=listen_on) as auth,
        connect(f"127.0.0.1:{auth.port}") as channel,
    ):
        stub = auth_grpc.AuthServiceStub(channel)
        await stub.GetJwks(auth_pb.GetJwksRequest(), wait_for_ready=True)  # until it is healthy
        yield World(
            url=settings.auth_database_url,
            keys=all_keys(settings.keys, "auth"),
            sink=sink,
            auth=stub,
            running=auth,
        )


@contextlib.asynccontextmanager
async def calling_as(world: World, service: str) -> AsyncIterator[auth_grpc.AuthServiceAsyncStub]:
    """Call Auth as a service."""
    async with channel_as(world, service) as channel:
        yield auth_grpc.AuthServiceStub(channel)


@contextlib.asynccontextmanager
async def channel_as(world: World, service: str) -> AsyncIterator[grpc.aio.Channel]:
    """Open a channel to Auth as a service."""
    identity = ServiceIdentity(service, KeyRing.load(world.keys, service).private_key)
    async with connect(f"127.0.0.1:{world.running.port}", identity=identity) as channel:
        yield channel


async def invite(world: World, email: str, *, role: str = "student") -> str:
    """Invite somebody as the operator, and return the token of the mail."""
    async with channel_as(world, "operator") as channel:
        request = invitation_pb.CreateInvitationRequest(email=email, role=role)
        await invitation_grpc.InvitationServiceStub(channel).CreateInvitation(request)
    return token_in(await world.sink.wait_for(email, about="invited"))


def token_in(message: EmailMessage) -> str:
    """Return the token in the mail of an invitation."""
    body = message.get_body(("plain",))
    assert body is not None
    found = _TOKEN.search(body.get_content().replace("\r\n", "\n"))
    assert found is not None, body.get_content()
    return found[1]


async def accept(world: World, token: str, **fields: str) -> invitation_pb.AcceptInvitationResponse:
    """Accept an invitation as a student."""
    given = {"password": PASSWORD, "full_name": "Ada Lovelace", "course": "Analysis"} | fields
    request = invitation_pb.AcceptInvitationRequest(token=token, **given)
    async with connect(f"127.0.0.1:{world.running.port}") as channel:
        return await invitation_grpc.InvitationServiceStub(channel).AcceptInvitation(request)


@contextlib.asynccontextmanager
async def opened_database(
    url: str, *, connections: int = 2, observer: Observer | None = None
) -> AsyncIterator[Database]:
    """Open a database beside Auth, and close it in the end."""
    database = Database(url, name="test", connections=connections, observer=observer)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


def hold_phone_check(
    monkeypatch: pytest.MonkeyPatch, *, is_answered: bool
) -> tuple[asyncio.Event, asyncio.Event]:
    """Hold the next check whether a phone is taken; afterwards it is answered, or fails.

    Returns:
        An event that is set when the check has arrived, and one that lets it go on.
    """
    arrived, go_on = asyncio.Event(), asyncio.Event()
    phone_exists = RemoteProfiles.phone_exists

    async def held(self: RemoteProfiles, phone_number: str) -> bool:
        monkeypatch.undo()
        arrived.set()
        await go_on.wait()
        if not is_answered:
            raise RegistrationUnavailable
        return await phone_exists(self, phone_number)

    monkeypatch.setattr(RemoteProfiles, "phone_exists", held)
    return arrived, go_on
