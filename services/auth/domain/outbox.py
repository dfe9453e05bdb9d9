"""The outbox: mail is committed with the change that it tells about, then sent by a task.

So a mail goes out if and only if its change was committed. A slow or dead mail server
delays mail, but no request.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime, parseaddr
from typing import Final
from urllib.parse import unquote, urlsplit
from uuid import UUID

import aiosmtplib
import structlog
from cryptography.fernet import InvalidToken, MultiFernet
from opentelemetry.metrics import Meter

from services.auth.domain.backoff import Backoff
from services.auth.domain.email_templates import EmailContent, Mail, MailWriter
from services.auth.domain.outbox_metrics import OutboxMeter, outbox_survey
from services.auth.domain.seals import seal_of
from services.auth.model import CanonicalEmail, Recipient
from services.auth.store import outbox
from services.auth.store.outbox import QueuedMail, SealedMail, Standing, WaitingMail
from services.kernel.db.database import Database, Reader, Transaction
from services.kernel.db.survey import Survey
from services.kernel.errors import DatabaseUnavailable
from services.kernel.secret import Secret
from services.kernel.tasks import BEAT_SECONDS, BackgroundTask, Loop, Pulse, end
from services.kernel.telemetry.metrics import NO_METER

CLAIM: Final = "mail.claim"
POLL_SECONDS: Final = 1.0
COMMIT_SECONDS: Final = 0.02  # a transaction that has added mail may take as long to commit
SENT_AT_ONCE: Final = 8
EXPIRED_AT_ONCE: Final = 1000
SMTP_SECONDS: Final = 10.0  # for each step with the mail server
MAIL_SECONDS: Final = 30.0  # for all steps together
STOP_SECONDS: Final = 5.0
GIVE_BACK_SECONDS: Final = 2.0
LEASE: Final = timedelta(seconds=60)
BACKOFF: Final = Backoff(timedelta(seconds=1), timedelta(minutes=5))
DAY: Final = timedelta(days=1)
SEARCHED_MAX: Final = 1_000
SHOWN_MAX: Final = 20

log = structlog.get_logger("lockstep.mail")


class Outbox:
    """Keeps mail until it is sent, and encrypts it, because it may hold a code.

    Args:
        secret: The source of the keys, the same for every replica.
        writer: Writes the mail.
    """

    def __init__(self, secret: Secret, writer: MailWriter = MailWriter()) -> None:  # noqa: B008 - it is frozen
        self._secret = secret
        self._writer = writer
        self._woken = asyncio.Event()

    async def put(
        self, tx: Transaction, mail: Mail, *, to: Recipient | None, life: timedelta = DAY
    ) -> None:
        """Add a mail.

        Args:
            tx: The transaction of the change that the mail tells about.
            mail: The mail.
            to: The reader. None adds a mail that is never sent: an e-mail without an
                account must cost the same work as one with an account.
            life: How long it is worth sending.
        """
        content = self._writer.write(mail, None if to is None else to.language)
        mailbox = None if to is None else to.mailbox
        sealed = json.dumps([mailbox, content.subject, content.text, content.html]).encode()
        await outbox.insert_mail(tx, sealed=self._seal().encrypt(sealed), life=life)
        self._woken.set()

    def link(self, path: str) -> str | None:
        """Return the address of one of the product's pages; None when there are none."""
        return self._writer.link(path)

    async def waiting_for(self, reader: Reader, email: CanonicalEmail) -> list[QueuedMail]:
        """Return the newest mail that waits for an e-mail; only its readers are decrypted."""
        newest = await outbox.newest(reader, limit=SEARCHED_MAX)
        # So many mails would hold up the event loop.
        return await asyncio.to_thread(self._addressed_to, email, newest)

    def _addressed_to(self, email: CanonicalEmail, mails: Sequence[SealedMail]) -> list[QueuedMail]:
        found: list[QueuedMail] = []
        for mail in mails:
            with contextlib.suppress(InvalidToken, ValueError):  # such a mail is never sent
                to, _ = self.open(mail)
                if to is not None and to.lower() == email:
                    found.append(mail)
            if len(found) == SHOWN_MAX:
                break
        return found

    def open(self, waiting: WaitingMail | SealedMail) -> tuple[str | None, EmailContent]:
        """Decrypt a mail: the mailbox and the content."""
        to, subject, text, html = json.loads(self._seal().decrypt(waiting.sealed))
        return to, EmailContent(subject=subject, text=text, html=html)

    def _seal(self) -> MultiFernet:
        return seal_of(self._secret, "outbox")

    def wake(self) -> None:
        """Make `wait` return at once."""
        self._woken.set()

    async def wait(self, seconds: float) -> None:
        """Wait until this process has added mail, but no longer than this."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
            await asyncio.sleep(COMMIT_SECONDS)
        self._woken.clear()


class MailServer:
    """Hands mail over to an SMTP server.

    Args:
        url: smtp:// or smtps://user:password@host:port. With smtps the connection is
            encrypted from its beginning. With smtp it is encrypted if the server offers
            that (STARTTLS), and it must be before a password is sent.
        sender: The mailbox in the field From, perhaps with a name.
    """

    def __init__(self, url: str, *, sender: str) -> None:
        parts = urlsplit(url)
        self._is_tls = parts.scheme == "smtps"
        self._host = parts.hostname or "localhost"
        self._port = parts.port or (465 if self._is_tls else 25)
        self._user = unquote(parts.username) if parts.username else None
        self._password = unquote(parts.password) if parts.password else None
        self._sender = sender
        self._domain = parseaddr(sender)[1].rpartition("@")[2] or "localhost"

    async def send(self, to: str, content: EmailContent, *, mail_id: UUID) -> None:
        """Hand a mail over. A repeat carries the same Message-ID.

        Raises:
            aiosmtplib.SMTPException, OSError, TimeoutError: The server did not take it.
        """
        needs_tls = self._user is not None and not self._is_tls
        async with asyncio.timeout(MAIL_SECONDS):
            await aiosmtplib.send(
                self._message(to, content, mail_id),
                hostname=self._host,
                port=self._port,
                username=self._user,
                password=self._password,
                use_tls=self._is_tls,
                start_tls=True if needs_tls else None,
                timeout=SMTP_SECONDS,
                local_hostname=self._domain,  # a lookup would block the event loop
            )

    def _message(self, to: str, content: EmailContent, mail_id: UUID) -> EmailMessage:
        message = EmailMessage(policy=SMTP_POLICY)
        message["From"] = self._sender
        message["To"] = Address(addr_spec=to)
        message["Subject"] = content.subject
        message["Date"] = format_datetime(datetime.now(UTC))
        message["Message-ID"] = f"<{mail_id}@{self._domain}>"
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office replies
        message.set_content(content.text)
        message.add_alternative(content.html, subtype="html")
        return message


class OutboxWorker(BackgroundTask, Loop):
    """Sends the mail in the outbox; any number of replicas may do so."""

    def __init__(
        self, database: Database, box: Outbox, server: MailServer, meter: Meter = NO_METER
    ) -> None:
        super().__init__(self._run, name="mail-sender")
        self._database = database
        self._meter = OutboxMeter(meter)
        self._outbox = box
        self._server = server
        self._is_stopping = False
        self._claimed: dict[UUID, WaitingMail] = {}
        self._expired = 0
        # A mail server that is dead takes the time of a delivery, and stops nothing.
        self.pulse = Pulse(self._name, seconds=BEAT_SECONDS + MAIL_SECONDS)

    async def restart(self) -> None:
        """Look anew, when a look has not ended. Mail that was claimed is due after its lease."""
        await end(self._task)
        await self._database.abandon(CLAIM)
        if not self._is_stopping:
            self.start()

    async def stop(self) -> None:
        """End. Mail that is being sent gets a few seconds more; what is left is given back."""
        if self._task is None:
            return
        self._is_stopping = True
        self._outbox.wake()
        await asyncio.wait([self._task], timeout=STOP_SECONDS)
        await end(self._task)
        await self._give_back()

    async def _give_back(self) -> None:
        """Let other workers send at once what this one has claimed and not sent."""
        left = list(self._claimed.values())
        if not left:
            return

        async def work(tx: Transaction) -> None:
            for waiting in left:
                await outbox.give_back(tx, waiting)

        try:
            async with asyncio.timeout(GIVE_BACK_SECONDS):
                await self._database.transact("mail.give_back", work)
        except (DatabaseUnavailable, TimeoutError):  # it is due again after its lease
            log.warning("cannot give mail back", mails=len(left))

    async def _run(self) -> None:
        while not self._is_stopping:
            try:
                expired, claimed = await self._database.transact(CLAIM, self._claim)
                self.pulse.beat()
                is_more = expired == EXPIRED_AT_ONCE
                self._tell_expired(expired, is_more=is_more)
                await self._deliver_all(claimed)
                if is_more or len(claimed) == SENT_AT_ONCE:
                    continue
            except DatabaseUnavailable:
                log.warning("cannot look for mail")
            except Exception:
                log.exception("cannot send mail")
            await self._outbox.wait(POLL_SECONDS * random.uniform(0.8, 1.2))
        self._tell_expired(0, is_more=False)

    async def _claim(self, tx: Transaction) -> tuple[int, list[WaitingMail]]:
        expired = await outbox.remove_expired(tx, limit=EXPIRED_AT_ONCE)
        return expired, await outbox.claim(tx, lease=LEASE, limit=SENT_AT_ONCE)

    def _tell_expired(self, mails: int, *, is_more: bool) -> None:
        """Count mail that was given up, and log the sum when it is whole."""
        if mails:
            self._meter.expired(mails)
        self._expired += mails
        if self._expired and not is_more:
            log.warning("mail expired", mails=self._expired)
            self._expired = 0

    async def _deliver_all(self, claimed: Sequence[WaitingMail]) -> None:
        self._claimed = {waiting.id: waiting for waiting in claimed}
        deliveries = (self._deliver(waiting) for waiting in claimed)
        # A mail that cannot be decrypted or addressed must not hold the others up. It is
        # due again after its lease, until its time is over.
        results = await asyncio.gather(*deliveries, return_exceptions=True)
        for waiting, result in zip(claimed, results, strict=True):
            if isinstance(result, Exception):
                log.error("mail failed", mail=str(waiting.id), error=type(result).__name__)

    async def _deliver(self, waiting: WaitingMail) -> None:
        to, content = self._outbox.open(waiting)
        try:
            if to is not None:
                await self._server.send(to, content, mail_id=waiting.id)
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            await self._postpone(waiting, error)
        else:
            self._meter.sent()
            self._claimed.pop(waiting.id, None)  # sent mail is not given back
            await self._note("mail.sent", lambda tx: outbox.remove(tx, waiting.id))

    async def _postpone(self, waiting: WaitingMail, error: Exception) -> None:
        pause = BACKOFF.after(waiting.attempts)
        name = type(error).__name__  # the server's own text may quote the mail
        self._meter.postponed()
        self._claimed.pop(waiting.id, None)
        log.warning("mail postponed", mail=str(waiting.id), error=name, attempts=waiting.attempts)
        await self._note(
            "mail.postponed",
            lambda tx: outbox.postpone(tx, waiting.id, pause=pause, last_error=name),
        )

    async def _note(self, name: str, work: Callable[[Transaction], Awaitable[None]]) -> None:
        with contextlib.suppress(DatabaseUnavailable):  # the mail is due again after its lease
            await self._database.transact(name, work)


def mail_workers(
    database: Database, box: Outbox, server: MailServer, meter: Meter
) -> tuple[OutboxWorker, Survey[Standing]]:
    """Return the tasks that send the mail and count what waits."""
    return OutboxWorker(database, box, server, meter), outbox_survey(database, meter)
