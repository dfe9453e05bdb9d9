"""Mail that waits: administrators and the operator see how much, and nobody what is in it."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from lockstep.auth.v1 import mail_service_pb2 as mail_pb
from lockstep.auth.v1 import mail_service_pb2_grpc as mail_grpc
from lockstep_clients import bearer, connect

from services.auth.settings import AuthSettings
from tests.auth.test_operating import lockstep
from tests.auth.test_session_list import reason_of
from tests.auth.world import Sink, World, channel_as, serving_auth
from tests.waiting import until_found

EMAIL = "ada@example.com"
ALL = mail_pb.ListWaitingMailRequest()
RETRY = mail_pb.RetryWaitingMailRequest()
# A mail that was tried in vain.
POSTPONED = """
SELECT 1 AS one FROM outbox WHERE last_error IS NOT NULL AND next_try_time > clock_timestamp()
"""
INSERT = """
INSERT INTO outbox (id, sealed, expire_time, next_try_time)
SELECT ('00000000-0000-0000-0000-' || lpad(i::text, 12, '0'))::uuid, '',
  clock_timestamp() + interval '1 day', clock_timestamp() + interval '1 hour'
FROM generate_series(1, 5) AS i
"""


async def test_mail_that_waits_is_listed_without_its_contents_and_made_due(
    make_settings: Callable[..., AuthSettings], mail: tuple[Sink, int]
) -> None:
    settings = make_settings(smtp_url="smtp://127.0.0.1:1")
    async with serving_auth(settings, mail[0]) as world:
        admin = await world.admin(EMAIL)
        await until_found(lambda: world.sql(POSTPONED))
        async with connect(f"127.0.0.1:{world.running.port}") as channel:
            stub = mail_grpc.MailServiceStub(channel)
            answer = await stub.ListWaitingMail(ALL, metadata=admin.proof)
            [waiting] = answer.mails
            assert waiting.attempts > 0
            assert waiting.last_error
            assert UUID(waiting.id).version == 7
            assert EMAIL not in str(answer)
            due = await stub.RetryWaitingMail(RETRY, metadata=admin.proof)
        assert due.mails in (0, 1)  # the worker may have taken it up meanwhile
        [line] = await world.sql("SELECT actor, detail FROM audit_log WHERE event = 'authz_admin'")
        assert (line.actor, line.detail) == (admin.id, {"mails_due": due.mails})


async def test_the_list_has_pages_the_oldest_first(world: World) -> None:
    await world.sql(INSERT)
    async with channel_as(world, "operator") as channel:
        stub = mail_grpc.MailServiceStub(channel)
        first = await stub.ListWaitingMail(mail_pb.ListWaitingMailRequest(page_size=3))
        second = await stub.ListWaitingMail(
            mail_pb.ListWaitingMailRequest(page_size=3, page_token=first.next_page_token)
        )
        wrong = mail_pb.ListWaitingMailRequest(page_token="x")
        assert await reason_of(stub.ListWaitingMail(wrong)) == "INVALID_FIELD"
    found = [UUID(each.id).int for each in (*first.mails, *second.mails)]
    assert found == [1, 2, 3, 4, 5]
    assert not second.next_page_token


async def test_only_administrators_and_the_operator_see_it(world: World) -> None:
    member = await world.member(EMAIL)
    async with connect(f"127.0.0.1:{world.running.port}") as channel:
        stub = mail_grpc.MailServiceStub(channel)
        for metadata, reason in ((member.proof, "FORBIDDEN"), (bearer("x"), "INVALID_TOKEN")):
            assert await reason_of(stub.ListWaitingMail(ALL, metadata=metadata)) == reason
            assert await reason_of(stub.RetryWaitingMail(RETRY, metadata=metadata)) == reason


async def test_the_command_shows_it_and_sends_it_again(world: World) -> None:
    # Auth runs in this process, too, so that its log is among the lines.
    code, output = await lockstep(world, "outbox", "--json")
    assert code == 0
    assert "no mail waits" in output
    await world.sql(INSERT)
    code, output = await lockstep(world, "outbox", "--limit", "3")
    ids = [line for line in output.splitlines() if line.startswith("00000000-")]
    assert (code, len(ids)) == (0, 3)
    await world.sql("UPDATE outbox SET last_error = 'SMTPConnectError'")
    code, output = await lockstep(world, "outbox", "retry")
    assert code == 0
    assert "5 mails are due now" in output.splitlines()
