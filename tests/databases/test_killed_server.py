"""A PostgreSQL over TCP that is killed under load again and again leaves every loop alive."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import operator
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvloop
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep.auth.v1 import auth_service_pb2_grpc as auth_grpc
from lockstep_clients import LockstepError, connect

from services.auth import __main__ as auth
from services.auth.settings import AuthSettings
from services.cli.system import DATABASES
from services.commerce import __main__ as commerce
from services.commerce.settings import CommerceSettings
from services.kernel.db import cleaner
from services.kernel.db.migrations import upgrade
from services.profile import __main__ as profile
from services.profile.settings import ProfileSettings
from tests.conftest import SERVICES
from tests.databases.load import PASSWORD, Load, is_in_doubt
from tests.faults.forms import IS_LONG, report
from tests.ports import free_port
from tests.tcp_postgres import TcpPostgres
from tests.waiting import until, until_found

KILLS = 25 if IS_LONG else 3
BACK_SECONDS, STOP_SECONDS = 60.0, 30.0
# A saga that no driver holds, and a key whose time is over.
DUE = """
INSERT INTO sagas (id, kind, state, payload, user_id, next_run_at)
VALUES (%(id)s, 'email_verification', 'RUNNING', '{}', gen_random_uuid(), now())
"""
OLD = """
INSERT INTO idempotency (scope, method, key_hmac, fingerprint, expire_time)
VALUES ('old', 'm', '', '', now() - interval '1 day')
"""

_numbers = itertools.count(1)


@dataclass
class Sink:
    """Takes mail over SMTP."""

    taken: set[str] = field(default_factory=set)

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        self.taken.update(envelope.rcpt_tos)
        return "250 taken"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TcpPostgres]:
    made = TcpPostgres(tmp_path / "postgres")
    try:
        made.start()
        made.create_databases(DATABASES.values())
        for service, name in DATABASES.items():
            upgrade(made.url(name), SERVICES / service / "migrations")
        yield made
    finally:
        made.destroy()


@pytest.fixture
def mail() -> Iterator[tuple[Sink, int]]:
    sink, port = Sink(), free_port()
    controller = Controller(sink, hostname="127.0.0.1", port=port)
    controller.start()
    yield sink, port
    controller.stop()


@contextlib.asynccontextmanager
async def serving(
    server: TcpPostgres, keys: Path, home: Path, smtp_port: int
) -> AsyncIterator[Load]:
    """Run the three services, and clients; at the end everything must stop in time."""
    ports = {name: free_port() for name in DATABASES}
    targets = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
    urls = {service: server.url(name) for service, name in DATABASES.items()}
    common: dict[str, Any] = {"home": home, "keys": keys, "env": "test", "address_limits": False}
    common |= {f"{name}_address": target for name, target in targets.items()}
    common |= {f"{name}_database_url": url for name, url in urls.items()}
    smtp = f"smtp://127.0.0.1:{smtp_port}"
    stack = contextlib.AsyncExitStack()
    for running in (
        profile.running(ProfileSettings(**common), listen_on=targets["profile"]),
        auth.running(
            AuthSettings(**common, smtp_url=smtp, bcrypt_cost=4), listen_on=targets["auth"]
        ),
        commerce.running(CommerceSettings(**common), listen_on=targets["commerce"]),
    ):
        await stack.enter_async_context(running)
    try:
        async with Load(targets, urls, "killed") as load:
            yield load
    finally:
        async with asyncio.timeout(STOP_SECONDS):
            await stack.aclose()


@pytest.mark.slow
def test_requests_recovery_mail_and_cleaning_live_on_each_time(
    server: TcpPostgres,
    keys: Path,
    tmp_path: Path,
    mail: tuple[Sink, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On uvloop, as in production."""
    monkeypatch.setattr(cleaner, "EVERY_SECONDS", 0.5)
    sink, smtp_port = mail

    async def killed_again_and_again() -> None:
        async with serving(server, keys, tmp_path / "home", smtp_port) as load:
            await load.prepare(buyers=2)
            load.start(registering=2)
            await load.go_on()
            for _ in range(KILLS):
                await server.kill_and_start()
                await load.go_on()
                await recovery_goes_on(load)
                await mail_goes_on(load, sink)
                await cleaning_goes_on(load)
            await load.stop()
            await load.settle_doubts()
            assert await asyncio.to_thread(load.lost) == (set(), set())
            assert "INTERNAL" not in {*load.registrations.refusals, *load.orders.refusals}

    uvloop.run(killed_again_and_again())
    report("killed-server", {"kills": KILLS})


async def recovery_goes_on(load: Load) -> None:
    """Nobody waits for this saga, so only recovery can end it."""
    number = f"{next(_numbers):032x}"
    await asyncio.to_thread(load.sql, "auth", DUE, id=number)
    found = "SELECT 1 FROM sagas WHERE id = %(id)s AND state = 'RUNNING' AND attempts < 2"
    await until_empty(load, "auth", found, id=number)


async def mail_goes_on(load: Load, sink: Sink) -> None:
    """Somebody asks for a code, and gets it."""
    email = f"m{next(_numbers)}@example.com"
    request = auth_pb.SendOtpRequest(
        email=email, password=PASSWORD, full_name="Ada Lovelace", course="Analysis"
    )
    async with connect(load.targets["auth"]) as channel, asyncio.timeout(BACK_SECONDS):
        stub = auth_grpc.AuthServiceStub(channel)
        while True:
            try:
                await stub.SendOtp(request)
            except LockstepError as error:
                if not is_in_doubt(error):
                    raise
            else:
                break
        await until(lambda: email in sink.taken, seconds=BACK_SECONDS)


async def cleaning_goes_on(load: Load) -> None:
    """Every service removes what is old."""
    for service in DATABASES:
        await asyncio.to_thread(load.sql, service, OLD)
    for service in DATABASES:
        await until_empty(load, service, "SELECT 1 FROM idempotency WHERE scope = 'old'")


async def until_empty(load: Load, service: str, statement: str, **parameters: Any) -> None:
    """Wait until a query finds nothing more."""
    await until_found(
        lambda: asyncio.to_thread(load.sql, service, statement, **parameters),
        operator.not_,
        seconds=BACK_SECONDS,
    )
