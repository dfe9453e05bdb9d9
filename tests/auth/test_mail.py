"""Mail: a failing mail server delays mail, but no request, and loses none."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from structlog.testing import capture_logs

from services.auth.domain import email_templates as mails
from services.auth.domain import outbox
from services.auth.domain.email_templates import EmailContent
from services.auth.domain.outbox import MailServer, Outbox
from services.auth.model import Recipient
from services.auth.store import outbox as store
from services.auth.store.outbox import WaitingMail
from services.kernel.db.database import Database, Transaction
from services.kernel.ids import new_id
from services.kernel.secret import Secret
from tests.auth.world import PASSWORD, Sink, World, opened_database, serving_auth, settings_for
from tests.kernel.saga_world import Stop
from tests.waiting import until, until_found

EMAIL = "ada@example.com"
ADA = Recipient(EMAIL, None)
MAIL = mails.password_changed()
CONTENT = EmailContent(subject="Subject", text="Text\n", html="<p>Text</p>")
SENDER = "Lockstep <no-reply@lockstep.example>"

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def drop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 hello\r\n")
    await reader.readline()


async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"554 no\r\n")
    await writer.drain()


async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\xff\x00not smtp at all\r\n" * 10)
    await reader.readline()


@contextlib.asynccontextmanager
async def bad_server(behaviour: Behaviour) -> AsyncIterator[int]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await behaviour(reader, writer)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def worker_of(database: Database, box: Outbox, port: int) -> outbox.OutboxWorker:
    server = MailServer(f"smtp://127.0.0.1:{port}", sender=SENDER)
    return outbox.OutboxWorker(database, box, server)


@pytest.mark.parametrize("behaviour", [hang, drop, refuse, babble, None])
async def test_a_bad_mail_server_delays_mail_and_no_request(  # noqa: PLR0917 - fixtures
    auth_url: str,
    keys: Path,
    mail: tuple[Sink, int],
    profile_target: str,
    commerce_target: str,
    behaviour: Behaviour | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a behaviour no server listens on the port."""
    monkeypatch.setattr(outbox, "MAIL_SECONDS", 0.5)
    send, answered = MailServer.send, asyncio.Event()

    async def send_after_the_answer(*given: Any, **more: Any) -> None:
        await answered.wait()
        await send(*given, **more)

    monkeypatch.setattr(MailServer, "send", send_after_the_answer)
    sink, good_port = mail
    where = {"profile": profile_target, "commerce": commerce_target}
    async with contextlib.AsyncExitStack() as stack:
        port = 1
        if behaviour is not None:
            port = await stack.enter_async_context(bad_server(behaviour))
        bad = settings_for(auth_url, keys, **where, smtp_url=f"smtp://127.0.0.1:{port}")
        async with serving_auth(bad, sink) as world:
            request = auth_pb.SendOtpRequest(email=EMAIL, password=PASSWORD)
            flow_id = (await world.auth.SendOtp(request)).flow_id
            answered.set()
            failed = "SELECT 1 FROM outbox WHERE last_error IS NOT NULL"
            await until_found(lambda: world.sql(failed))
            await world.auth.GetJwks(auth_pb.GetJwksRequest())
    good = settings_for(auth_url, keys, **where, smtp_url=f"smtp://127.0.0.1:{good_port}")
    async with serving_auth(good, sink) as world:
        await world.sql("UPDATE outbox SET next_try_time = clock_timestamp()")
        code = await sink.code(EMAIL)
        await world.auth.VerifyOtp(auth_pb.VerifyOtpRequest(flow_id=flow_id, email=EMAIL, otp=code))


async def test_mail_that_was_sent_is_forgotten(world: World) -> None:
    await world.register(EMAIL)
    await world.sink.wait_for(EMAIL)
    await until_found(lambda: world.sql("SELECT 1 FROM outbox"), lambda rows: not rows)
    assert len(world.sink.to(EMAIL)) == 1


async def test_mail_whose_time_is_over_is_not_sent_and_told_as_a_sum(
    auth_url: str, mail: tuple[Sink, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "EXPIRED_AT_ONCE", 10)
    sink, port = mail
    box = Outbox(Secret.of(b"s" * 32))
    over = partial(box.put, mail=MAIL, to=ADA, life=timedelta(seconds=-1))
    async with opened_database(auth_url) as database:
        # A restored backup may hold so much of it.
        for _ in range(25):
            await database.transact("put", over)
        await database.transact("put", partial(_put, box, "late@example.com"))
        worker = worker_of(database, box, port)
        with capture_logs() as lines:
            worker.start()
            await until(lambda: [each for each in lines if each["event"] == "mail expired"])
            await sink.wait_for("late@example.com")
            await worker.stop()
    assert sink.to(EMAIL) == []
    assert [each["mails"] for each in lines if each["event"] == "mail expired"] == [25]


async def test_a_sender_whose_claim_hangs_goes_on(auth_url: str, mail: tuple[Sink, int]) -> None:
    sink, port = mail
    stop = Stop("test.mail.claim.statement#1")
    box = Outbox(Secret.of(b"s" * 32))
    async with opened_database(auth_url, connections=1, observer=stop) as database:
        await database.transact("put", partial(_put, box, EMAIL))
        worker = worker_of(database, box, port)
        worker.start()
        await asyncio.wait_for(stop.reached.wait(), 20)
        worker.pulse.silence = 1.0
        await worker.restart()
        await sink.wait_for(EMAIL)
        assert worker.pulse.silence == 0
        await worker.stop()
        await worker.restart()  # it stays stopped


async def test_a_worker_that_stops_gives_back_what_it_has_not_sent(
    auth_url: str, mail: tuple[Sink, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another worker sends it at once, and not after the lease of a minute."""
    monkeypatch.setattr(outbox, "STOP_SECONDS", 0.1)
    sink, port = mail
    asked = asyncio.Event()

    async def keep_waiting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await hang(reader, writer)

    box = Outbox(Secret.of(b"s" * 32))
    async with opened_database(auth_url) as database, bad_server(keep_waiting) as dead:
        await database.transact("put", partial(_put, box, EMAIL))
        first, second = worker_of(database, box, dead), worker_of(database, box, port)
        first.start()
        await asyncio.wait_for(asked.wait(), 20)
        await first.stop()
        second.start()
        await sink.wait_for(EMAIL)
        await second.stop()
    assert len(sink.messages) == 1


async def test_a_claim_of_another_worker_is_not_given_back(auth_url: str) -> None:
    async def claim(lease: timedelta) -> list[WaitingMail]:
        return await database.transact("claim", lambda tx: store.claim(tx, lease=lease, limit=8))

    async with opened_database(auth_url) as database:
        await database.transact("put", partial(_put, Outbox(Secret.of(b"s" * 32)), EMAIL))
        [mine] = await claim(timedelta(0))
        [theirs] = await claim(timedelta(minutes=1))
        await database.transact("back", lambda tx: store.give_back(tx, mine))
        assert await claim(timedelta(minutes=1)) == []
        await database.transact("back", lambda tx: store.give_back(tx, theirs))
        assert len(await claim(timedelta(minutes=1))) == 1


async def test_a_mail_is_sent_once_however_many_send(auth_url: str, mail: tuple[Sink, int]) -> None:
    sink, port = mail
    box = Outbox(Secret.of(b"s" * 32))
    async with opened_database(auth_url, connections=6) as database:
        workers = [worker_of(database, box, port) for _ in range(3)]
        for number in range(20):
            to = f"user{number}@example.com"
            await database.transact("put", partial(_put, box, to))
        for worker in workers:
            worker.start()
        for number in range(20):
            await sink.wait_for(f"user{number}@example.com")
        for worker in workers:
            await worker.stop()
    assert len(sink.messages) == 20


async def test_mail_that_cannot_be_read_does_not_hold_up_the_rest(
    auth_url: str, mail: tuple[Sink, int]
) -> None:
    sink, port = mail
    box, unknown = (Outbox(Secret.of(key * 32)) for key in (b"s", b"x"))
    async with opened_database(auth_url) as database:
        await database.transact("put", partial(_put, unknown, "lost@example.com"))
        await database.transact("put", partial(_put, box, "not an address"))
        await database.transact("put", partial(_put, box, EMAIL))
        worker = worker_of(database, box, port)
        worker.start()
        await sink.wait_for(EMAIL)
        await worker.stop()
    assert len(sink.messages) == 1


async def test_a_database_dump_shows_neither_mail_nor_addresses(auth_url: str) -> None:
    box, content = Outbox(Secret.of(b"s" * 32)), mails.verification("123456")
    async with opened_database(auth_url) as database:
        await database.transact("put", lambda tx: box.put(tx, content, to=ADA))
    with psycopg.connect(auth_url) as connection:
        row = connection.execute("SELECT o::text FROM outbox o").fetchone()
    assert row is not None
    for secret in ("123456", EMAIL, EMAIL.encode().hex(), b"123456".hex()):
        assert secret not in row[0]


async def test_a_repeated_mail_has_the_same_message_id(mail: tuple[Sink, int]) -> None:
    sink, port = mail
    server = MailServer(f"smtp://127.0.0.1:{port}", sender=SENDER)
    mail_id = new_id()
    for _ in range(2):
        await server.send(EMAIL, CONTENT, mail_id=mail_id)
    assert [m["message-id"] for m in sink.messages] == [f"<{mail_id}@lockstep.example>"] * 2


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
async def test_a_password_is_sent_over_tls_only(
    scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With smtp that is after STARTTLS, with smtps from the first byte on."""
    certificate = _certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    sink, seen = Sink(), []

    def authenticate(server: SMTP, *arguments: object) -> AuthResult:
        data = arguments[-1]
        assert isinstance(data, LoginPassword)
        seen.append((data.login, data.password))
        return AuthResult(success=True)

    loop = asyncio.get_running_loop()
    is_smtps = scheme == "smtps"
    server = await loop.create_server(
        lambda: SMTP(
            sink,
            loop=loop,
            tls_context=None if is_smtps else context,
            require_starttls=not is_smtps,
            auth_required=not is_smtps,
            auth_require_tls=not is_smtps,
            authenticator=authenticate,
        ),
        "127.0.0.1",
        0,
        ssl=context if is_smtps else None,
    )
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    async with server:
        port = server.sockets[0].getsockname()[1]
        url = f"{scheme}://us%40er:pa%2Fss@localhost:{port}"
        await MailServer(url, sender=SENDER).send(EMAIL, CONTENT, mail_id=new_id())
    assert seen == [(b"us@er", b"pa/ss")]
    assert len(sink.messages) == 1


async def test_a_password_is_not_sent_to_a_server_without_tls(mail: tuple[Sink, int]) -> None:
    sink, port = mail
    server = MailServer(f"smtp://user:pass@127.0.0.1:{port}", sender=SENDER)
    with pytest.raises(Exception, match="STARTTLS"):
        await server.send(EMAIL, CONTENT, mail_id=new_id())
    assert sink.messages == []


async def _put(box: Outbox, to: str, tx: Transaction) -> None:
    await box.put(tx, MAIL, to=Recipient(to, None))


def _certificate(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


@pytest.mark.parametrize("turns", range(6))
async def test_a_wait_for_mail_is_cancelled_also_when_mail_comes_in_that_moment(
    turns: int,
) -> None:
    """[bpo-37658] `asyncio.wait_for` of Python 3.11 loses the cancellation."""
    box = Outbox(Secret.of(b"s" * 32))
    waiting = asyncio.create_task(box.wait(60))
    await asyncio.sleep(0)  # a turn of the loop, in which it begins to wait
    box.wake()
    for _ in range(turns):
        await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting], timeout=10)
    assert waiting.cancelled()
