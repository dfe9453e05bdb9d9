"""An order of which its buyer is told by mail, and what is promised of that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from services.auth.domain.outbox import Outbox
from services.auth.readers.order_mails import PLACE
from services.auth.store.outbox import WaitingMail
from services.kernel.ids import new_id
from tests.faults.accounts import ACCOUNT
from tests.faults.edges import Actor
from tests.faults.scenario import Outcome
from tests.faults.shipping import Shipping, is_final
from tests.faults.world import PASSWORD_HASH, SECRETS, World

# What the subject of a mail says of each event.
SAID = {"OrderPaid": "is paid", "OrderFulfilled": "is on its way"}
_SET_UP = (
    *(sql for sql in ACCOUNT if "auth.sessions" not in sql and "auth.codes" not in sql),
    "UPDATE auth.users SET email_verify_time = %(begin)s WHERE id = %(u)s",
    "DELETE FROM auth.event_cursors",
    (
        "INSERT INTO auth.event_cursors (reader, source, cursor, begin_time)"
        " VALUES (%(reader)s, %(source)s, '', %(begin)s)"
    ),
)
_MAILS = "SELECT id, sealed, attempts FROM auth.outbox WHERE create_time >= %(begin)s ORDER BY id"
_CURSOR = "SELECT cursor FROM auth.event_cursors WHERE reader = %(reader)s AND source = %(source)s"


class OrderMails(Shipping):
    """An order that is paid and shipped: its buyer gets a mail about each, once, in order."""

    name = "mails"
    readers = (PLACE.reader,)
    also = ("a",)
    telling = (".sequence.", f".{PLACE.reader}-")
    # The way of an event; of what comes again and again, the first times.
    own_edges = rf"2\.({PLACE.reader}\S+|(event_cursors|ListEvents)\.[^~]*(~[2-4])?)$"
    turned_edges = r"\.(event_cursors|ListEvents)\.|~"

    def prepare(self) -> None:
        super().prepare()
        self.email = f"b{self.number}.{new_id().hex[-12:]}@example.com"
        self.outbox = Outbox(SECRETS["outbox"])
        self.place = {"reader": PLACE.reader, "source": PLACE.source}
        ids = {"u": self.user, "e": self.email, "hash": PASSWORD_HASH, "saga": new_id()}
        for sql in _SET_UP:
            self.world.ground.rows(sql, begin=self.begin, **ids, **self.place)

    # --- promises

    def committed(self, world: World, actor: Actor, edge: str) -> None:
        super().committed(world, actor, edge)
        if f".{PLACE.reader}-" not in edge:
            return
        final = [_said(event) for event in self.told() if is_final(event)]
        for _, said in self._mails():
            if said not in final:
                world.run.blame(f"a mail was written before it was final: {said}")

    def in_the_end(self, outcome: Outcome) -> Iterator[str]:
        yield from super().in_the_end(outcome)
        mails = self._mails()
        if any(to != self.email for to, _ in mails):
            yield "a mail goes to somebody else"
        if self.world.is_aged():  # events and marks are kept for some days
            return
        came = [said for _, said in mails]
        expected = [_said(event) for event in self.told() if _said(event)]
        for said, times in (Counter(expected) - Counter(came)).items():
            yield f"a mail was lost: {said}, {times} times"
        for said, times in (Counter(came) - Counter(expected)).items():
            yield f"a mail came too often: {said}, {times} times"
        if Counter(came) == Counter(expected) and came != expected:
            yield f"mails came out of order: {came}"

    def unfinished(self) -> int:
        """Return how many sagas have not ended, and whether there are events after the cursor."""
        found = self.world.ground.rows(_CURSOR, **self.place)
        return super().unfinished() + self.is_more_after(found[0].cursor if found else "")

    def _mails(self) -> list[tuple[str | None, str]]:
        """Return the reader of each mail, and what it says."""
        found = []
        for row in self.world.ground.rows(_MAILS, begin=self.begin):
            to, content = self.outbox.open(WaitingMail(row.id, row.sealed, row.attempts))
            said = [each for each in SAID.values() if content.subject.endswith(each)]
            found.append((to, said[0] if said else content.subject))
        return found


def _said(event: Any) -> str:
    """Return what a mail says of an event; empty: no mail tells of it."""
    return SAID.get(event.type.rpartition(".")[2], "")
