"""Rows of the fault matrix that no single fault brings about."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.faults.edges import parse
from tests.faults.explore import of_missing_rows
from tests.faults.orders import Cancellation, Checkout
from tests.faults.play import Result, play
from tests.faults.registrations import RefusedRegistration, Registration
from tests.faults.rows import DONE, ELSEWHERE, OPEN, REQUIRED, ROOT, ROWS, UNDONE, missed
from tests.faults.scenario import Outcome, Scenario
from tests.faults.world import World


def played(world: World, kind: type[Scenario], schedule: str = "") -> Result:
    result = world.loop.run_until_complete(play(world, kind, parse(schedule)))
    assert result.violations == []
    return result


class WithoutUser(RefusedRegistration):
    """Somebody deletes the user by hand while the registration is undone."""

    def sending(self, world: World, method: str, message: bytes) -> None:
        super().sending(world, method, message)
        if method == "CancelProfile":
            world.ground.rows("DELETE FROM auth.users WHERE email = %(e)s", e=self.email)


def test_what_is_undone_may_be_gone_already(world: World) -> None:
    """[R44]"""
    assert played(world, WithoutUser).outcome == "fail"


class Dearer(Checkout):
    """The price rises after the cart was looked at."""

    refused = True

    def prepare(self) -> None:
        super().prepare()
        self.world.ground.rows(
            "UPDATE commerce.products SET price = price + 1 WHERE id = %(p)s", p=self.product
        )

    def in_the_end(self, outcome: Outcome) -> Iterator[str]:
        yield from super().in_the_end(outcome)
        if self.sagas or self.look().held:
            yield "something was written"

    def take_reason_away(self) -> None:
        self.world.ground.rows(
            "UPDATE commerce.products SET price = price - 1 WHERE id = %(p)s", p=self.product
        )


def test_a_price_that_has_changed_is_told_before_anything_is_written(world: World) -> None:
    """[C2 R7]: and told again when it is the old one again."""
    assert played(world, Dearer).outcome == "fail"


class PhoneTaken(RefusedRegistration):
    """The phone number is taken before the registration is checked."""

    def prepare(self) -> None:
        super().prepare()
        self.sending(self.world, "CreateProfile", b"")


class NotYetPaid(Cancellation):
    """An order that is still being paid when it is cancelled."""

    refused = True

    def prepare(self) -> None:
        super().prepare()
        self.set_state("PENDING")
        # Nothing is told of the stock of what is gone: the state changes without the services.
        self.world.ground.rows(
            "UPDATE commerce.products SET delete_time = now() WHERE id = %(p)s", p=self.product
        )

    def set_state(self, state: str) -> None:
        self.world.ground.rows(
            "UPDATE commerce.orders SET state = %(s)s WHERE id = %(o)s", s=state, o=self.order
        )

    def in_the_end(self, outcome: Outcome) -> Iterator[str]:
        if self.happened():
            yield "an order was cancelled whose cancellation was refused"

    def take_reason_away(self) -> None:
        self.set_state("PAID")


@pytest.mark.parametrize("kind", [PhoneTaken, NotYetPaid])
@pytest.mark.parametrize("fault", ["", "sent:lost", "sent:cut", "acked:leave"])
def test_a_refusal_without_a_saga_is_kept_in_a_commit_of_its_own(
    world: World, kind: type[Scenario], fault: str
) -> None:
    """[R7]: the reason is gone by now, the answer is the first one all the same."""
    edge = {PhoneTaken: "a1.Register", NotYetPaid: "c1.CancelOrder"}[kind]
    result = played(world, kind, f"{edge}.refusal.commit.{fault}" if fault else "")
    assert result.hit or not fault
    assert result.outcome == ("unknown" if fault else "fail")


class AskedAnew(Checkout):
    """The client asks again with a new key, as if it wanted the same once more."""

    def happened(self) -> bool:
        self.key = f"{self.key}'"
        return False  # so that the new key may be refused

    def take_reason_away(self) -> None:
        """Nothing is late."""


def test_a_new_key_is_a_new_purchase_and_finds_an_empty_cart(world: World) -> None:
    """[C32]: who wants to know what became of the first uses the first key."""
    result = world.loop.run_until_complete(
        play(world, AskedAnew, parse("client.PlaceOrder.reply:lose"))
    )
    told = [text for text in result.violations if "CART_EMPTY" in text]
    assert told
    assert told == result.violations


class Impatient(Registration):
    """Somebody tries to be served while the registration is under way."""

    def committed(self, *arguments: object) -> None:
        super().committed(*arguments)  # type: ignore[arg-type]
        visible = self.world.ground.rows(
            "SELECT FROM auth.sessions s JOIN auth.users u ON u.id = s.user_id"
            " WHERE u.email = %(e)s AND u.status = 'PENDING'",
            e=self.email,
        )
        if visible:
            self.world.run.blame("a PENDING user has a session")


@pytest.mark.parametrize("schedule", ["", "a1.CreateProfile.reply:crash"])
def test_who_is_pending_has_no_session_to_order_with(world: World, schedule: str) -> None:
    """[C37]"""
    played(world, Impatient, schedule)


@pytest.mark.parametrize("row", ELSEWHERE)
def test_a_row_is_tested_where_the_list_says(row: str) -> None:
    path, _, name = ELSEWHERE[row].partition("::")
    assert row in ROWS
    assert re.search(rf"def {name}\(", (ROOT / path).read_text())


def test_a_row_is_missed_when_its_fault_leads_elsewhere() -> None:
    lost = "register a1.T1.commit.sent:lost"
    assert missed({lost: DONE}) == {}
    assert missed({lost: UNDONE}) == {"R9": [lost]}
    assert missed({"checkout-refused c1.VoidTransfer.request:down": DONE}).keys() >= {"C24", "C11"}
    assert OPEN <= REQUIRED.keys() <= ROWS.keys()


def test_the_short_form_strikes_for_each_row_that_its_turns_leave_out() -> None:
    chosen = parse("c1.ReleaseSales.reply:crash")
    every = parse(
        "c1.ReleaseSales.request:twice c1.ReleaseSales.request:again c1.ReleaseSales.reply:crash"
        " c1.ReleaseSales.reply:lose"
    )
    added = [str(strike) for strike in of_missing_rows("fulfil", chosen, every)]
    assert added == ["c1.ReleaseSales.reply:lose", "c1.ReleaseSales.request:twice"]
