"""Buyers get a mail about what becomes of their orders, each once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import psycopg
import pytest
from lockstep.events.v1 import event_pb2 as event_pb
from lockstep_clients import Unavailable

from services.auth.domain.email_templates import EmailContent, MailWriter
from services.auth.domain.outbox import Outbox
from services.auth.readers import event_reader
from services.auth.readers.event_reader import EventReader
from services.auth.readers.order_mails import TYPES, order_mail_reader
from services.auth.store.order_mails import OLD_MARKS
from services.auth.store.outbox import WaitingMail
from services.commerce import events
from services.kernel.db.cleaner import Cleaner
from services.kernel.db.database import Database, Transaction
from services.kernel.events.sequencer import Sequencer
from services.kernel.events.writer import Fact, tell
from services.kernel.ids import new_id
from services.kernel.secret import Secret
from tests.auth.world import opened_database

NUMBER = "ABCD1234"
PAGES = "https://shop.example"

INSERT_USER = """
WITH role AS (
  INSERT INTO roles (id, name) VALUES (gen_random_uuid(), 'customer')
  ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id
)
INSERT INTO users (id, email, email_as_typed, password_hash, full_name, language, role_id,
                   status, saga_id, email_verify_time)
SELECT %(id)s, lower(%(email)s), %(email)s, 'x', 'Ada', %(language)s, role.id,
       %(status)s, gen_random_uuid(), CASE WHEN %(verified)s THEN now() END FROM role
"""


@dataclass
class Desk:
    """Auth's database with its outbox, and the events of a Commerce."""

    auth: Database
    commerce: Database
    auth_url: str
    commerce_url: str
    outbox: Outbox = field(
        default_factory=lambda: Outbox(Secret.of(b"k" * 32), MailWriter("Shop", PAGES))
    )

    def reader(self, *, is_on: bool = True, outbox: Outbox | None = None) -> EventReader:
        list_events = events.servicer(self.commerce).list_events
        return order_mail_reader(self.auth, outbox or self.outbox, list_events, is_on=is_on)

    async def begun(self) -> EventReader:
        """Return a reader that tells of all events from now on."""
        reader = self.reader()
        await read_all(reader)
        return reader

    def user(self, *, status: str = "ACTIVE", verified: bool = True, language: str = "en") -> UUID:
        user_id = new_id()
        values = {
            "id": user_id,
            "email": f"Ada.{user_id.hex}@example.com",
            "status": status,
            "verified": verified,
            "language": language,
        }
        self.sql(INSERT_USER, values)
        return user_id

    async def tell(self, *facts: Fact) -> None:
        async def work(tx: Transaction) -> None:
            await tell(tx, *facts)

        await self.commerce.transact("tell", work)
        while await Sequencer(self.commerce).sequence():
            pass

    def sql(self, statement: str, values: Any = None, *, url: str = "") -> list[Any]:
        with psycopg.connect(url or self.auth_url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def mails(self) -> list[tuple[str | None, EmailContent]]:
        rows = self.sql("SELECT id, sealed, attempts FROM outbox ORDER BY id")
        return [self.outbox.open(WaitingMail(*row)) for row in rows]

    def subjects(self) -> list[str]:
        return [content.subject for _, content in self.mails()]


@pytest.fixture
async def desk(auth_url: str, commerce_url: str) -> AsyncIterator[Desk]:
    async with opened_database(auth_url) as auth, opened_database(commerce_url) as commerce:
        yield Desk(auth, commerce, auth_url, commerce_url)


async def read_all(reader: EventReader) -> None:
    while await reader.read():
        pass


def order(user_id: UUID | None) -> Any:
    return SimpleNamespace(id=new_id(), number=NUMBER, user_id=user_id)


def paid(user_id: UUID, number: str = NUMBER) -> Fact:
    return events.order_paid(new_id(), number=number, user_id=user_id, total=100)


FACTS: dict[str, Callable[[UUID], Fact]] = {
    "OrderPaid": paid,
    "OrderFulfilled": lambda user_id: events.order_fulfilled(order(user_id)),
    "OrderPartlyCancelled": lambda user_id: events.order_partly_cancelled(order(user_id), new_id()),
    "OrderCancelled": lambda user_id: events.order_cancelled(order(user_id), new_id()),
    "OrderReturned": lambda user_id: events.order_returned(order(user_id), new_id()),
    "ProductDeleted": lambda _: events.product_deleted(new_id()),
}
SUBJECTS = {
    "OrderPaid": {
        "en": "Your order ABCD-1234 is paid",
        "de": "Ihre Bestellung ABCD-1234 ist bezahlt",
    },
    "OrderFulfilled": {
        "en": "Your order ABCD-1234 is on its way",
        "de": "Ihre Bestellung ABCD-1234 ist unterwegs",
    },
    "OrderPartlyCancelled": {
        "en": "A part of your order ABCD-1234 is cancelled",
        "de": "Ein Teil Ihrer Bestellung ABCD-1234 ist storniert",
    },
    "OrderCancelled": {
        "en": "Your order ABCD-1234 is cancelled",
        "de": "Ihre Bestellung ABCD-1234 ist storniert",
    },
    "OrderReturned": {
        "en": "Money for your order ABCD-1234 is given back",
        "de": "Geld für Ihre Bestellung ABCD-1234 ist erstattet",
    },
}


def test_every_event_of_an_order_has_a_mail() -> None:
    of_orders = {name for name in events.MESSAGES if name.startswith("Order")}
    assert of_orders == SUBJECTS.keys()
    assert {name.removeprefix("lockstep.events.v1.") for name in TYPES} == of_orders


async def test_each_type_has_its_mail_in_the_language_of_the_buyer(desk: Desk) -> None:
    reader = await desk.begun()
    buyers = {language: desk.user(language=language) for language in ("en", "de")}
    facts = [make(buyer) for make in FACTS.values() for buyer in buyers.values()]
    await desk.tell(*facts)
    await read_all(reader)
    assert desk.subjects() == [text for each in SUBJECTS.values() for text in each.values()]
    mails = iter(desk.mails())
    for fact in facts:
        if fact.subject.startswith("orders/"):
            to, content = next(mails)
            assert to in {f"Ada.{buyer.hex}@example.com" for buyer in buyers.values()}
            assert f"{PAGES}/#/{fact.subject}" in content.text
            assert f'href="{PAGES}/#/{fact.subject}"' in content.html


async def test_without_pages_a_mail_leads_nowhere(desk: Desk) -> None:
    reader = desk.reader(outbox=Outbox(Secret.of(b"k" * 32)))
    await read_all(reader)
    await desk.tell(paid(desk.user()))
    await read_all(reader)
    [(_, content)] = desk.mails()
    assert "http" not in content.text + content.html
    assert "\n\n\n" not in content.text


async def test_who_reads_no_mail_gets_none_and_holds_up_nobody(desk: Desk) -> None:
    reader = await desk.begun()
    silent = [desk.user(status=each) for each in ("DISABLED", "DELETING", "PENDING")]
    silent += [desk.user(verified=False), new_id()]
    await desk.tell(*(paid(user_id, "SILENT00") for user_id in silent))
    await desk.tell(events.order_fulfilled(order(None)), paid(desk.user()))
    await read_all(reader)
    assert desk.subjects() == ["Your order ABCD-1234 is paid"]


async def test_what_was_told_before_the_reader_began_is_not_mailed(desk: Desk) -> None:
    buyer = desk.user()
    await desk.tell(paid(buyer, "BEFORE00"))
    await desk.tell(paid(buyer, "ALSO0000"))
    reader = await desk.begun()
    await desk.tell(paid(buyer))
    await read_all(reader)
    assert desk.subjects() == ["Your order ABCD-1234 is paid"]


async def test_what_happens_while_mails_are_off_is_never_mailed(desk: Desk) -> None:
    buyer, reader, off = desk.user(), await desk.begun(), desk.reader(is_on=False)
    await desk.tell(paid(buyer, "FIRST000"))
    await read_all(reader)
    await read_all(off)
    await desk.tell(paid(buyer, "OFF00000"))
    await read_all(off)
    assert off.behind_seconds == 0
    again = await desk.begun()
    await desk.tell(paid(buyer, "LAST0000"))
    await read_all(again)
    assert desk.subjects() == ["Your order FIRS-T000 is paid", "Your order LAST-0000 is paid"]


async def test_replicas_that_read_at_once_mail_each_event_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_reader, "PAGE_SIZE", 3)
    readers, buyer = [await desk.begun(), desk.reader()], desk.user()
    numbers = [f"NUMB{n:04}" for n in range(20)]
    await desk.tell(*(paid(buyer, number) for number in numbers))
    await asyncio.gather(*map(read_all, readers))
    assert desk.subjects() == [f"Your order NUMB-{n:04} is paid" for n in range(20)]


async def test_a_history_that_comes_again_is_not_mailed_again(desk: Desk) -> None:
    """As after a backup of Commerce: its cursor is of another history."""
    buyer, reader = desk.user(), await desk.begun()
    await desk.tell(paid(buyer, "FIRST000"))
    await read_all(reader)
    [(cursor,)] = desk.sql("SELECT cursor FROM event_cursors")
    desk.sql("UPDATE event_cursors SET cursor = %s", [cursor[:-8] + "00000000"])
    await desk.tell(paid(buyer, "LAST0000"))
    await read_all(reader)
    assert reader.missed == 1
    assert desk.subjects() == ["Your order FIRS-T000 is paid", "Your order LAST-0000 is paid"]


async def test_a_reader_that_was_away_for_too_long_goes_on_from_what_is_kept(desk: Desk) -> None:
    buyer, reader = desk.user(), await desk.begun()
    await desk.tell(paid(buyer, "FIRST000"))
    await read_all(reader)
    await desk.tell(paid(buyer, "LOST0000"), paid(buyer, "LAST0000"))
    desk.sql(
        "DELETE FROM events WHERE sequence < (SELECT max(sequence) FROM events)",
        url=desk.commerce_url,
    )
    await read_all(reader)
    assert reader.missed == 1
    assert len(desk.subjects()) == 2


async def test_a_handler_that_fails_leaves_neither_mail_nor_cursor(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, buyer = await desk.begun(), desk.user()
    await desk.tell(paid(buyer, "FIRST000"), paid(buyer, "LAST0000"))
    put, left = desk.outbox.put, [1]

    async def failing(*args: Any, **more: Any) -> None:
        if not left:
            raise RuntimeError
        left.pop()
        await put(*args, **more)

    monkeypatch.setattr(desk.outbox, "put", failing)
    with pytest.raises(RuntimeError):
        await read_all(reader)
    assert desk.subjects() == []
    monkeypatch.undo()
    await read_all(reader)
    assert len(desk.subjects()) == 2


async def test_marks_go_when_the_events_are_gone(desk: Desk) -> None:
    reader = await desk.begun()
    await desk.tell(paid(desk.user()))
    await read_all(reader)
    cleaner = Cleaner(desk.auth, [OLD_MARKS])
    assert await cleaner.sweep() == 0
    desk.sql("UPDATE order_mails SET create_time = create_time - interval '9 days'")
    assert await cleaner.sweep() == 1


async def test_a_reader_tells_how_far_it_is_behind(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, buyer = await desk.begun(), desk.user()
    assert reader.behind_seconds == 0
    monkeypatch.setattr(event_reader, "PAGE_SIZE", 1)
    await desk.tell(paid(buyer), paid(buyer))
    desk.sql("UPDATE events SET create_time = now() - interval '60 s'", url=desk.commerce_url)
    desk.sql("UPDATE event_cursors SET begin_time = now() - interval '1 hour'")
    await reader.read()
    assert 59 < reader.behind_seconds < 90
    await read_all(reader)
    assert reader.behind_seconds == 0


async def test_a_service_that_is_away_is_told_once_and_asked_less_and_less(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    is_away, done = [True], asyncio.Event()

    async def list_events(request: event_pb.ListEventsRequest) -> event_pb.ListEventsResponse:
        if is_away:
            raise Unavailable
        return await events.servicer(desk.commerce).list_events(request)

    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 8:
            is_away.clear()
        if len(pauses) == 12:
            done.set()
        await sleep(0)

    lines: list[str] = []
    monkeypatch.setattr(asyncio, "sleep", noted)
    for level in ("warning", "info"):
        monkeypatch.setattr(event_reader.log, level, lambda text, **_: lines.append(text))
    reader = order_mail_reader(desk.auth, desk.outbox, list_events, is_on=True)
    reader.start()
    await asyncio.wait_for(done.wait(), 10)
    await reader.stop()
    assert lines == ["cannot read events", "reads events again"]
    assert pauses[0] <= 1.2
    assert 7.5 <= max(pauses) <= 15
    assert pauses[-1] <= 1.2
