"""An order whose events go to NATS, and what is promised of that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from nats.js.api import RawStreamMsg

from services.kernel.events.reader import Cursor, tag_of
from services.relay.stream import CURSOR
from tests.faults.jetstream import Broker
from tests.faults.scenario import Outcome
from tests.faults.shipping import Shipping, is_final


class Relayed(Shipping):
    """An order that is paid and shipped: the stream gets each event of Commerce, once, in order."""

    name = "relay"
    readers = ("relay",)
    also = ("r",)
    # The way of an event; of what comes again and again, the first times.
    own_edges = (
        r"r2\.(stream_info|add_stream|get_msg|publish|WatchEvents)\.[^~]*(~[2-4])?$"
        r"|c1\.(WatchEvents\.(arrive|page)|event\w*\.read)$"
    )
    turned_edges = r"\.(stream_info|add_stream|get_msg)\.|~"

    def prepare(self) -> None:
        super().prepare()
        self.broker = Broker(self._arrive)

    def _arrive(self, headers: Mapping[str, str]) -> None:
        event = next((each for each in self.told_ever() if each.id == headers["ce-id"]), None)
        if event is None or not is_final(event):
            self.world.run.blame(f"an event was published before it was final: {headers}")
        elif (headers["ce-type"], headers["ce-subject"]) != (event.type, event.subject):
            self.world.run.blame("a message does not say what its event says")

    # --- promises

    def in_the_end(self, outcome: Outcome) -> Iterator[str]:
        yield from super().in_the_end(outcome)
        for event_id, times in Counter(map(_id_of, self.broker.messages)).items():
            if times > 1:
                yield f"an event was published {times} times: {event_id}"
        if self.world.is_aged():  # events are kept for some days
            return
        events = self.told()
        own = {each.id for each in events}
        messages = [each for each in self.broker.messages if _id_of(each) in own]
        came = [_id_of(each) for each in messages]
        for event in events:
            if event.id not in came:
                yield f"an event was not published: {event.type}"
        if sorted(came) == sorted(each.id for each in events) and came != [e.id for e in events]:
            yield "events were published out of order"
        for message, event in zip(messages, events, strict=False):
            place = str(Cursor(event.sequence, tag_of(event.event_id)))
            if (message.headers or {})[CURSOR] != place:
                yield f"a message leads its reader on from another place than {place}"

    def unfinished(self) -> int:
        """Return how many sagas have not ended, and whether the stream ends before an event."""
        last = self.broker.messages[-1:]
        cursor = (last[0].headers or {})[CURSOR] if last else ""
        return super().unfinished() + self.is_more_after(cursor)


def _id_of(message: RawStreamMsg) -> str:
    return str((message.headers or {})["ce-id"])
