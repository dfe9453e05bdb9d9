"""AuditService shows the audit log of a service to administrators and to the operator alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import grpc
import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf.timestamp_pb2 import Timestamp
from lockstep.audit.v1 import audit_pb2 as audit_pb
from lockstep.profile.v1 import audit_service_pb2_grpc as audit_grpc
from lockstep_clients import InvalidArgument, LockstepError, ServiceIdentity, connect

from services.common.audit import AUDIT_SERVICES
from services.kernel.audit import log
from services.kernel.audit.servicer import AuditServicer
from services.kernel.db.database import Database, Transaction
from services.kernel.ids import new_id
from services.kernel.paging import PageTokens
from services.kernel.rpc.access import Access
from services.kernel.rpc.server import Server
from services.kernel.rpc.timestamps import timestamp
from services.kernel.secret import Secret
from tests.kernel.probe import KnownKeys, KnownSessions
from tests.kernel.rows import database_probe

if TYPE_CHECKING:
    Stub = audit_grpc.AuditServiceAsyncStub
USER, ADMIN = new_id(), new_id()
KEYS = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("operator", "gateway")}


@pytest.fixture
async def stubs(database: Database) -> AsyncIterator[dict[str, Stub]]:
    """A service with three lines, and who calls it."""
    access = Access(
        service="profile",
        keys=KnownKeys({}),
        sessions=KnownSessions(),
        trusted={name: key.public_key() for name, key in KEYS.items()},
        proxies=(),
    )
    servicer = AuditServicer(database, PageTokens(Secret.of(b"secret")))
    probe = database_probe(database)
    server = Server([(AUDIT_SERVICES["profile"], servicer)], access=access, probe=probe)
    port = await server.start("127.0.0.1:0")
    async with AsyncExitStack() as stack:
        found: dict[str, Stub] = {}
        for name, key in KEYS.items():
            opened = connect(f"127.0.0.1:{port}", identity=ServiceIdentity(name, key))
            channel: grpc.aio.Channel = await stack.enter_async_context(opened)
            found[name] = audit_grpc.AuditServiceStub(channel)
        yield found
    await server.stop(0)


@pytest.fixture(autouse=True)
async def lines(database: Database) -> None:
    async def write(tx: Transaction) -> None:
        await log.write(tx, "wallet_debited", {"amount": 5, "is_late": True}, user_id=USER)
        await log.write(
            tx, "wallet_topped_up", {}, user_id=USER, actor=ADMIN, client_ip="192.0.2.1"
        )
        await log.write(tx, "authz_fail", {"method": "GetWallet"}, account="a1", actor="commerce")

    await database.transact("lines", write)


async def events(stub: Stub, **filters: Any) -> list[str]:
    request = audit_pb.ListAuditEventsRequest(page_size=1, **filters)
    found: list[str] = []
    while True:
        page = await stub.ListAuditEvents(request)
        found += [each.event for each in page.audit_events]
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


async def test_lines_are_shown_whole_and_newest_first(stubs: dict[str, Stub]) -> None:
    page = await stubs["operator"].ListAuditEvents(audit_pb.ListAuditEventsRequest())
    refused, topped_up, debited = page.audit_events
    assert [each.event for each in page.audit_events] == [
        "authz_fail",
        "wallet_topped_up",
        "wallet_debited",
    ]
    assert (topped_up.user_id, topped_up.actor, topped_up.client_ip) == (
        str(USER),
        str(ADMIN),
        "192.0.2.1",
    )
    assert (refused.account, refused.actor, refused.user_id) == ("a1", "commerce", "")
    assert {(fact.name, fact.value) for fact in debited.facts} == {
        ("amount", "5"),
        ("is_late", "True"),
    }
    assert UUID(debited.id).version == 7
    assert abs(debited.create_time.ToDatetime(UTC) - datetime.now(UTC)) < timedelta(minutes=1)


async def test_every_filter_narrows_the_list_and_pages_go_on(stubs: dict[str, Stub]) -> None:
    stub, now = stubs["operator"], datetime.now(UTC)
    assert len(await events(stub)) == 3
    assert await events(stub, user_id=str(USER)) == ["wallet_topped_up", "wallet_debited"]
    assert await events(stub, event="authz_fail") == ["authz_fail"]
    assert await events(stub, actor=str(ADMIN)) == ["wallet_topped_up"]
    assert await events(stub, actor="commerce", user_id=str(USER)) == []
    assert len(await events(stub, since=timestamp(now - timedelta(hours=1)))) == 3
    assert await events(stub, since=timestamp(now + timedelta(hours=1))) == []


async def test_wrong_filters_and_the_tokens_of_other_filters_are_refused(
    stubs: dict[str, Stub],
) -> None:
    request = audit_pb.ListAuditEventsRequest
    page = await stubs["operator"].ListAuditEvents(request(page_size=1, user_id=str(USER)))
    for wrong in (
        request(user_id="me"),
        request(event="x" * 101),
        request(actor="a\u2028b"),
        request(since=Timestamp(seconds=2**60)),
        request(page_size=-1),
        request(page_token=page.next_page_token),
        request(page_token=page.next_page_token, user_id=str(ADMIN)),
        request(page_token=page.next_page_token, user_id=str(USER), since=Timestamp(seconds=1)),
    ):
        with pytest.raises(InvalidArgument):
            await stubs["operator"].ListAuditEvents(wrong)


async def test_another_service_is_refused(stubs: dict[str, Stub]) -> None:
    with pytest.raises(LockstepError) as caught:
        await stubs["gateway"].ListAuditEvents(audit_pb.ListAuditEventsRequest())
    assert caught.value.reason == "INVALID_TOKEN"


async def test_a_page_of_large_lines_ends_early(stubs: dict[str, Stub], kernel_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(kernel_url, autocommit=True) as connection:
        await connection.execute(
            "INSERT INTO audit_log (id, event, detail)"
            " SELECT gen_random_uuid(), 'large', jsonb_build_object('text', repeat('x', 1000000))"
            " FROM generate_series(1, 5)"
        )
    request = audit_pb.ListAuditEventsRequest(event="large", page_size=100)
    sizes: list[int] = []
    while True:
        page = await stubs["operator"].ListAuditEvents(request)
        sizes.append(len(page.audit_events))
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert sizes == [3, 2]
