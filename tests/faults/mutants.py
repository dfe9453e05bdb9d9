"""The pitfalls, as variants of the protocol: each must break a promise that is watched.

P1 to P13 look right and are wrong. N1 to N15 are the windows of the registration that
everybody writes first (see `naive`). X1 to X4 leave out a part that holds the rest together.
S1 to S15 show in a clock, a clean-up, a read, an answer or a row that is left (see `traces`).
W1 to W4 are wrong ways of events to webhooks (see `wrong_webhooks`), and W5 to W16 those into
mails and to NATS (see `wrong_readers`).
P12 belongs to the reconciler and is tested with it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from tests.faults import traces, wrong, wrong_readers, wrong_webhooks
from tests.faults.naive import Naive

Apply = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class Mutant:
    """A variant of the protocol that is wrong.

    Attributes:
        name: The pitfall or window.
        text: The mistake.
        scenario: The scenario that shows it.
        schedule: The shortest schedule that kills it.
        expected: A part of the violation's text.
        applied: Puts it in place while its context lasts.
    """

    name: str
    text: str
    scenario: str
    schedule: str
    expected: str
    applied: Apply


# Another replica takes the saga up, and then its time is over: it turns back.
_LATE = "a2.CreateProfile.request:jump"
_TURNED = f"a1.CreateProfile.reply:crash {_LATE}"

MUTANTS = {
    each.name: each
    for each in (
        Mutant(
            "P1",
            "cancels in one statement, whose snapshot is older than the commit that it waited for",
            "register",
            "p1.CreateProfile.commit.sent:slow",
            "a profile has no user",
            wrong.cancel_in_one_statement,
        ),
        Mutant(
            "P2",
            "keeps its barrier in REPEATABLE READ and takes 40001 for an answer",
            "register",
            "p1.CreateProfile.commit.sent:overlap",
            "one small fault made it fail",
            wrong.repeatable_read,
        ),
        Mutant(
            "P3",
            "undoes nothing after a refusal",
            "register-refused",
            "a1.CreateProfile.request:again",
            "a profile has no user",
            wrong.nothing_to_undo_after_a_refusal,
        ),
        Mutant(
            "P4",
            "undoes only steps that the barrier remembers",
            "register",
            f"{_TURNED} a2.T3.commit.acked:age",
            "a profile has no user",
            wrong.cancel_what_the_barrier_knows,
        ),
        Mutant(
            "P5",
            "clears the tombstone when it has refused a late step",
            "register-refused",
            "a1.CreateProfile.request:again",
            "a profile has no user",
            wrong.clear_the_tombstone,
        ),
        Mutant(
            "P6",
            "resolves an unknown commit by reading",
            "register",
            "a1.T1.commit.sent:failover",
            "a profile has no user",
            wrong.resolve_by_reading,
        ),
        Mutant(
            "P7",
            "deletes the user before it cancels the profile",
            "register",
            _TURNED,
            "a profile has no user",
            wrong.undo_before_compensating,
        ),
        Mutant(
            "P8",
            "takes leases by a clock of its own",
            "register",
            "a1.CreateProfile.request:lose",
            "a lease was taken while it was good",
            wrong.lease_by_a_clock_of_its_own,
        ),
        Mutant(
            "P9",
            "limits transactions by a timer of the client, and takes that for an answer",
            "cancel",
            "c1.T1.commit.acked:nap",
            "cancelling a paid order failed",
            wrong.client_side_time_limit,
        ),
        Mutant(
            "P10",
            "ends sagas that have taken too long, and undoes nothing",
            "register",
            _TURNED,
            "a user is PENDING for ever",
            wrong.kill_at_the_deadline,
        ),
        Mutant(
            "P11",
            "repeats in three layers",
            "register",
            "a1.CreateProfile.request:down",
            "CreateProfile was sent",
            wrong.retry_in_three_layers,
        ),
        Mutant(
            "P13",
            "writes a secret into the saga's row",
            "register",
            "",
            "a saga's row holds a secret",
            wrong.secret_in_the_payload,
        ),
        Mutant(
            "X1",
            "decides for DONE from any state",
            "register",
            f"a1.T2.statement#1:pause {_LATE}",
            "a saga went from",
            wrong.decide_without_comparing,
        ),
        Mutant(
            "X2",
            "has no barrier at the participant",
            "register",
            "a1.CreateProfile.reply:reset",
            "one small fault made it fail",
            wrong.no_barrier,
        ),
        Mutant(
            "X3",
            "keeps no refusal with its key",
            "register-refused",
            "",
            "the same key got ok after PHONE_TAKEN",
            wrong.keep_no_refusal,
        ),
        Mutant(
            "X4",
            "tells a refusal although a copy of the request has begun",
            "register",
            "client.Register.request:twice a1.PhoneExists.request:lose",
            "the client was told PROFILE_UNAVAILABLE, and there is an account",
            wrong.refuse_although_a_copy_has_begun,
        ),
        Mutant(
            "S1",
            "allows nothing for clocks that differ",
            "register",
            "client.Register.request:ahead",
            "one small fault made it fail",
            traces.allow_nothing_for_skew,
        ),
        Mutant(
            "S2",
            "cleans up tombstones while their message may still come",
            "register-refused",
            "a1.CreateProfile.request:again p1.CancelProfile.commit.acked:sweep",
            "a profile has no user",
            traces.clean_tombstones_early,
        ),
        Mutant(
            "S3",
            "cleans up sagas that have not ended",
            "register",
            "a1.T1.commit.acked:age",
            "a user is PENDING for ever",
            traces.clean_sagas_that_run,
        ),
        Mutant(
            "S4",
            "gives up when a connection is lost in a plain read",
            "register",
            "a1.idempotency.read:cut",
            "one small fault made it fail",
            traces.read_once_only,
        ),
        Mutant(
            "S5",
            "tells its caller that a step of the saga came too late",
            "register",
            "client.Register.request:ahead",
            "Register answered SAGA_CANCELLED, which it does not document",
            traces.pass_lateness_on,
        ),
        Mutant(
            "S6",
            "answers INTERNAL when the participant is down",
            "register",
            "a1.CreateProfile.request:down",
            "the client was told INTERNAL",
            traces.answer_internal,
        ),
        Mutant(
            "S7",
            "leaves the wallet of a profile that was cancelled",
            "register",
            _TURNED,
            "a row must not be left: profile.accounts",
            traces.leave_the_wallet,
        ),
        Mutant(
            "S8",
            "leaves a key with a saga that only came too late",
            "register",
            _TURNED,
            "a row must not be left: auth.idempotency",
            traces.leave_the_key,
        ),
        Mutant(
            "S9",
            "writes the audit log before the registration is final",
            "register",
            _TURNED,
            "a row must not be left: auth.audit_log",
            traces.note_before_it_is_final,
        ),
        Mutant(
            "S10",
            "mails before the registration is final",
            "register",
            _TURNED,
            "a row must not be left: auth.outbox",
            traces.mail_before_it_is_final,
        ),
        Mutant(
            "S11",
            "refuses for a reason that may pass, and keeps nothing",
            "register-refused",
            "a1.CreateProfile.request:again",
            "the client was told PHONE_TAKEN, and then ok",
            traces.refuse_without_keeping,
        ),
        Mutant(
            "S12",
            "tells of a registration before it is final",
            "register",
            _TURNED,
            "a row must not be left: auth.events",
            traces.tell_before_it_is_final,
        ),
        Mutant(
            "S13",
            "tells of a registration in a transaction of its own",
            "register",
            "a1.T2.commit.acked:crash",
            "an event was lost: registration",
            traces.tell_after_the_commit,
        ),
        Mutant(
            "S14",
            "tells that a product is out of stock with the order, and not with its payment",
            "checkout",
            "c1.DebitWallet.reply:crash c2.DebitWallet.request:jump",
            "a wrong event about stock",
            traces.tell_of_stock_before_it_is_final,
        ),
        Mutant(
            "S15",
            "tells nobody that a product is sold out",
            "checkout",
            "",
            "a wrong event about stock",
            traces.tell_nothing_of_stock,
        ),
        Mutant(
            "W1",
            "marks an event as delivered before it posts it",
            "webhooks",
            "a2.post.request:refuse",
            "an event was not delivered",
            wrong_webhooks.mark_before_the_post,
        ),
        Mutant(
            "W2",
            "claims webhooks with a lease that is shorter than a post",
            "webhooks",
            "a2.post.request:lose",
            "two processes post to one webhook at once",
            wrong_webhooks.lease_shorter_than_a_post,
        ),
        Mutant(
            "W3",
            "passes an event that the receiver has refused",
            "webhooks",
            "a2.post.request:refuse a2.post.request~2:refuse",
            "events came out of order",
            wrong_webhooks.pass_what_has_failed,
        ),
        Mutant(
            "W4",
            "tells of an order before it is paid",
            "webhooks",
            "c1.DebitWallet.reply:crash c2.DebitWallet.request:jump",
            "an event was delivered before it was final",
            wrong_webhooks.tell_of_an_order_before_it_is_paid,
        ),
        Mutant(
            "W5",
            "asks for events without end",
            "mails",
            "",
            "ListEvents was sent",
            wrong_readers.ask_without_end,
        ),
        Mutant(
            "W6",
            "moves its cursor before it has written the mail",
            "mails",
            "a2.order-mails-commerce.commit.acked:crash",
            "a mail was lost",
            wrong_readers.move_the_cursor_first,
        ),
        Mutant(
            "W7",
            "moves its cursor when it has written the mail, and marks nothing",
            "mails",
            "a2.order-mails-commerce.commit.acked:crash",
            "a mail came too often",
            wrong_readers.move_the_cursor_afterwards,
        ),
        Mutant(
            "W8",
            "forgets its cursor when it cannot read",
            "mails",
            "a2.ListEvents.request:refuse",
            "a mail was lost",
            wrong_readers.forget_the_cursor,
        ),
        Mutant(
            "W9",
            "mails the newest event first",
            "mails",
            "",
            "mails came out of order",
            wrong_readers.mail_the_newest_first,
        ),
        Mutant(
            "W10",
            "tells of an order before it is paid, by mail",
            "mails",
            "c1.DebitWallet.reply:crash c2.DebitWallet.request:jump",
            "a mail was written before it was final",
            wrong_webhooks.tell_of_an_order_before_it_is_paid,
        ),
        Mutant(
            "W11",
            "tells of an order before it is paid, over NATS",
            "relay",
            "c1.DebitWallet.reply:crash c2.DebitWallet.request:jump",
            "an event was published before it was final",
            wrong_webhooks.tell_of_an_order_before_it_is_paid,
        ),
        Mutant(
            "W12",
            "marks a page as published with its first event",
            "relay",
            "r2.publish.request~2:crash",
            "an event was not published",
            wrong_readers.mark_a_page_with_its_first_event,
        ),
        Mutant(
            "W13",
            "publishes without an id, after any message",
            "relay",
            "r2.publish.request:twice",
            "an event was published 2 times",
            wrong_readers.publish_without_an_id,
        ),
        Mutant(
            "W14",
            "publishes after any message",
            "relay",
            "r2.publish.request:lose",
            "an event was not published",
            wrong_readers.publish_at_any_place,
        ),
        Mutant(
            "W15",
            "publishes the newest event first",
            "relay",
            "",
            "events were published out of order",
            wrong_readers.publish_the_newest_first,
        ),
        Mutant(
            "W16",
            "keeps its place in its process, and not in the stream",
            "relay",
            "r2.publish.request~2:crash",
            "an event was published 2 times",
            wrong_readers.keep_the_place_in_the_process,
        ),
        Mutant(
            "N1",
            "takes a commit whose answer is lost for one that failed",
            "register",
            "a1.T1.commit.sent:lost",
            "a user is PENDING for ever",
            Naive().applied,
        ),
        Mutant(
            "N2",
            "forgets its work when it is killed after its commit",
            "register",
            "a1.T1.commit.acked:crash",
            "a user is PENDING for ever",
            Naive().applied,
        ),
        Mutant(
            "N3",
            "forgets its work when it is killed during the call",
            "register",
            "a1.CreateProfile.reply:crash",
            "a user is PENDING for ever",
            Naive().applied,
        ),
        Mutant(
            "N4",
            "takes a call without an answer for one that failed",
            "register",
            "a1.CreateProfile.reply:lose",
            "a profile has no user",
            Naive().applied,
        ),
        Mutant(
            "N5",
            "deletes the user while the call is still on its way",
            "register",
            "a1.CreateProfile.request:delay",
            "a profile has no user",
            Naive().applied,
        ),
        Mutant(
            "N6",
            "is killed before it has undone",
            "register",
            "a1.CreateProfile.request:refuse a1.undo.commit.sent:crash",
            "a user is PENDING for ever",
            Naive().applied,
        ),
        Mutant(
            "N7",
            "cannot undo, and gives up",
            "register",
            "a1.CreateProfile.request:refuse a1.undo.commit.sent:cut",
            "a user is PENDING for ever",
            Naive().applied,
        ),
        Mutant(
            "N8",
            "does not undo when its caller leaves",
            "register",
            "a1.CreateProfile.request:leave",
            "a user is PENDING for ever",
            Naive().applied,
        ),
        Mutant(
            "N9",
            "is cancelled while it undoes",
            "register",
            "a1.CreateProfile.request:refuse a1.undo.commit.sent:leave",
            "a user is PENDING for ever",
            Naive().applied,
        ),
        Mutant(
            "N10",
            "does not undo when it is stopped",
            "register",
            "a1.CreateProfile.request:stop",
            "a user is PENDING for ever",
            Naive().applied,
        ),
        Mutant(
            "N11",
            "takes the second answer to a repeated call for a failure",
            "register",
            "a1.CreateProfile.reply:reset",
            "a profile has no user",
            Naive(repeats=True, has_barrier=False).applied,
        ),
        Mutant(
            "N12",
            "takes INTERNAL for a failure",
            "register",
            "a1.CreateProfile.reply:garble",
            "a profile has no user",
            Naive().applied,
        ),
        Mutant(
            "N13",
            "shows a user that may vanish",
            "register",
            "",
            "an ACTIVE user has no profile",
            Naive(is_visible=True).applied,
        ),
        Mutant(
            "N14",
            "gives a new user the profile that an older one has left",
            "register",
            "a1.CreateProfile.reply:lose",
            "an ACTIVE user has no profile",
            Naive(has_barrier=False, adopts=True).applied,
        ),
        Mutant(
            "N15",
            "keeps no record of sagas in doubt",
            "register",
            "a1.T1.commit.acked:crash",
            "nothing fails, and the same key got REGISTRATION_IN_PROGRESS",
            Naive().applied,
        ),
    )
}
