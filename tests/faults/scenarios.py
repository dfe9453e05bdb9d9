"""What clients ask for in the schedules, and what they were promised."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from google.type.money_pb2 import Money
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep.auth.v1 import auth_service_pb2_grpc as auth_grpc
from lockstep.commerce.v1 import order_service_pb2 as order_pb
from lockstep.commerce.v1 import order_service_pb2_grpc as order_grpc
from lockstep.profile.v1 import profile_service_pb2 as profile_pb
from lockstep.profile.v1 import wallet_service_pb2 as wallet_pb
from lockstep_clients import LockstepError

from services.auth.codes import Codes
from services.kernel.call import Principal, User
from services.kernel.ids import new_id
from tests.faults.edges import Actor
from tests.faults.world import PASSWORD_HASH, SECRET, World

PASSWORD = "Secure-Horse-42"
CODE = "123456"
BALANCE, PRICE, STOCK, QUANTITY = 10_000, 1_250, 100, 3
TOTAL = PRICE * QUANTITY
_numbers = itertools.count(1)

# Reasons that promise nothing: the same key tells later.
UNKNOWN = {
    "",
    "DATABASE_UNAVAILABLE",
    "DEADLINE_EXCEEDED",
    "INTERNAL",
    "REGISTRATION_IN_PROGRESS",
    "REQUEST_IN_PROGRESS",
}
_MOVES = {("RUNNING", "DONE"), ("RUNNING", "COMPENSATING"), ("COMPENSATING", "ABORTED")}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a client was told: ok, fail (with a reason) or unknown."""

    kind: str
    reason: str = ""
    answer: Any = None

    @classmethod
    def of(cls, error: LockstepError) -> Outcome:
        return cls("unknown" if error.reason in UNKNOWN else "fail", error.reason)


@dataclass(frozen=True, slots=True)
class SagaRow:
    """What is watched of a saga."""

    state: str
    epoch: int
    next_run_at: datetime


class Scenario:
    """One request, what it needs, and what has to be true around it.

    Attributes:
        name: In schedules.
        coordinator: The letter of the service that is asked.
        refused: Whether a participant is going to refuse.
    """

    name = ""
    coordinator = "a"
    refused = False
    principal: Principal = None
    keyed = True

    def __init__(self, world: World) -> None:
        self.number = next(_numbers)
        self.key = f"key-{new_id()}"
        self.world = world
        self.begin: datetime = world.ground.one("SELECT clock_timestamp() AS now").now
        self.sagas: dict[UUID, SagaRow] = {}
        self.prepare()

    @property
    def replicas(self) -> list[str]:
        """Who takes part."""
        return [f"{letter}{n}" for letter in (self.coordinator, "p") for n in (1, 2)]

    @property
    def schema(self) -> str:
        return "auth" if self.coordinator == "a" else "commerce"

    def prepare(self) -> None:
        """Make what the request needs."""

    async def ask(self, wire: Any) -> Any:
        """Send the request."""
        raise NotImplementedError

    def always(self) -> Iterator[str]:
        """Yield what is broken at this instant."""
        yield from ()

    def in_the_end(self, outcome: Outcome) -> Iterator[str]:
        """Yield what is broken when everything has come to rest."""
        yield from ()

    def happened(self) -> bool:
        """Say whether the request has had its effect."""
        raise NotImplementedError

    def before_late(self) -> None:
        """Take away why the participant refused: what comes late must be refused all the same."""

    # --- watching

    def committed(self, world: World, actor: Actor, edge: str) -> None:
        for problem in (*self._moves(), *self.always()):
            world.run.blame(f"{problem}, after {edge}")

    def _moves(self) -> Iterator[str]:
        now = self.world.ground.rows(
            f"SELECT id, state, lease_epoch, next_run_at, (SELECT at FROM clock) AS now"
            f" FROM {self.schema}.sagas WHERE create_time >= %(begin)s",
            begin=self.begin,
        )
        for row in now:
            seen = self.sagas.get(row.id)
            self.sagas[row.id] = SagaRow(row.state, row.lease_epoch, row.next_run_at)
            if seen is None:
                continue
            if seen.state != row.state and (seen.state, row.state) not in _MOVES:
                yield f"a saga went from {seen.state} to {row.state}"
            if row.lease_epoch > seen.epoch and seen.next_run_at > row.now:
                yield "a lease was taken while it was good"

    def sending(self, world: World, method: str, message: bytes) -> None:
        saga_id = None
        if method == "CancelProfile":
            saga_id = profile_pb.CancelProfileRequest.FromString(message).saga_id
        if method == "VoidTransfer":
            saga_id = wallet_pb.VoidTransferRequest.FromString(message).transfer_id
        if saga_id is not None:
            saga = world.saga(saga_id, self.schema)
            if saga is None or saga.state not in ("COMPENSATING", "ABORTED"):
                world.run.blame(f"{method} was sent before the turn was committed")

    def forget_opening(self, world: World) -> None:
        """Do what a failover to a standby without T1 does."""

    def unfinished(self) -> int:
        """Return how many sagas of this run have not ended."""
        return int(
            self.world.ground.one(
                f"SELECT count(*) AS n FROM {self.schema}.sagas"
                " WHERE create_time >= %(begin)s AND state IN ('RUNNING', 'COMPENSATING')",
                begin=self.begin,
            ).n
        )

    def secrets(self) -> Iterator[str]:
        """Yield what a saga's row holds that it must not."""
        rows = self.world.ground.rows(
            f"SELECT sagas::text AS text FROM {self.schema}.sagas WHERE create_time >= %(begin)s",
            begin=self.begin,
        )
        for row in rows:
            for secret in (PASSWORD, PASSWORD_HASH, CODE):
                if f'"{secret}"' in row.text.replace('""', '"'):
                    yield "a saga's row holds a secret"


class Registration(Scenario):
    """A new account: a user and a profile, both or neither."""

    name = "register"

    def prepare(self) -> None:
        self.email = f"user{self.number}.{new_id().hex[-12:]}@example.com"
        self.phone = f"+1{new_id().int % 10**12:012d}"
        self.world.ground.rows(
            "INSERT INTO auth.roles (id, name) VALUES (gen_random_uuid(), 'customer')"
            " ON CONFLICT DO NOTHING"
        )

    async def ask(self, wire: Any) -> Any:
        return await auth_grpc.AuthServiceStub(wire).Register(
            auth_pb.RegisterRequest(
                email=self.email,
                password=PASSWORD,
                full_name="Ada Lovelace",
                phone_number=self.phone,
            )
        )

    def rows(self) -> list[Any]:
        return self.world.ground.rows(
            "SELECT u.id, u.status, u.saga_id, p.user_id, p.saga_id AS profile_saga,"
            " (SELECT count(*) FROM profile.accounts a WHERE a.user_id = p.user_id) AS wallets"
            " FROM (SELECT * FROM auth.users WHERE email = %(email)s) u FULL JOIN"
            " (SELECT * FROM profile.profiles WHERE phone_number = %(phone)s"
            "   AND first_name = 'Ada') p ON u.id = p.user_id",
            email=self.email,
            phone=self.phone,
        )

    def always(self) -> Iterator[str]:
        for row in self.rows():
            if row.status == "ACTIVE" and row.profile_saga != row.saga_id:
                yield "an ACTIVE user has no profile"
            if row.user_id is not None and row.id is None:
                yield "a profile has no user"
            if row.user_id is not None and row.wallets != 1:
                yield "a profile has no wallet"

    def in_the_end(self, outcome: Outcome) -> Iterator[str]:
        rows = self.rows()
        if any(row.status == "PENDING" for row in rows):
            yield "a user is PENDING for ever"
        if len(rows) > 1:
            yield "there are two accounts"
        if outcome.kind == "ok" and (
            not rows or str(rows[0].id) != outcome.answer.user.id or rows[0].user_id is None
        ):
            yield "the client was told ok, and there is no account"
        if outcome.kind == "fail" and rows:
            yield f"the client was told {outcome.reason}, and there is an account"

    def happened(self) -> bool:
        return bool(self.rows())

    def forget_opening(self, world: World) -> None:
        ids = [row.id for row in self.rows() if row.id is not None]
        world.ground.rows("DELETE FROM auth.sagas WHERE create_time >= %(b)s", b=self.begin)
        world.ground.rows("DELETE FROM auth.users WHERE id = ANY (%(ids)s)", ids=ids)
        world.ground.rows(
            "DELETE FROM auth.idempotency i WHERE saga_id IS NOT NULL"
            " AND NOT EXISTS (SELECT FROM auth.sagas s WHERE s.id = i.saga_id)"
        )


class RefusedRegistration(Registration):
    """A registration whose phone number is taken a moment before Profile is told."""

    name = "register-refused"
    refused = True

    def prepare(self) -> None:
        super().prepare()
        self.taken = False

    def sending(self, world: World, method: str, message: bytes) -> None:
        super().sending(world, method, message)
        if method == "CreateProfile" and not self.taken:
            self.taken = True
            world.ground.rows(
                "INSERT INTO profile.profiles (id, user_id, phone_number, first_name)"
                " VALUES (gen_random_uuid(), gen_random_uuid(), %(phone)s, 'Bob')",
                phone=self.phone,
            )

    def before_late(self) -> None:
        self.world.ground.rows(
            "DELETE FROM profile.profiles WHERE phone_number = %(phone)s AND first_name = 'Bob'",
            phone=self.phone,
        )


class _Shopping(Scenario):
    """Somebody with money in the wallet and goods in the cart."""

    coordinator = "c"
    balance = BALANCE
    paid = False

    def prepare(self) -> None:
        self.user, self.product, self.order = new_id(), new_id(), new_id()
        self.debit, self.wallet = new_id(), new_id()
        self.principal = User(id=self.user, session_id=new_id(), role="customer")
        ids = {
            "u": self.user,
            "p": self.product,
            "o": self.order,
            "d": self.debit,
            "w": self.wallet,
            "balance": self.balance - (TOTAL if self.paid else 0),
            "full": self.balance,
            "price": PRICE,
            "q": QUANTITY,
            "taken": QUANTITY if self.paid else 0,
            "stock": STOCK - (QUANTITY if self.paid else 0),
            "total": TOTAL,
        }
        for sql in (*_SHOP, *(_PAID if self.paid else _CART)):
            self.world.ground.rows(sql, **ids)

    def look(self) -> Any:
        """Return the sums that everything here is about."""
        return self.world.ground.one(
            """SELECT
              (SELECT balance FROM profile.accounts WHERE id = %(w)s) AS balance,
              (SELECT coalesce(sum(CASE WHEN debit_account_id = %(w)s THEN -amount ELSE amount END),
                 0) FROM profile.transfers WHERE state = 'posted'
                 AND %(w)s IN (debit_account_id, credit_account_id)) AS moved,
              (SELECT coalesce(sum(CASE WHEN kind = 'debit' THEN amount
                                        WHEN kind IN ('void', 'refund') THEN -amount ELSE 0 END), 0)
                 FROM profile.transfers WHERE state = 'posted'
                 AND %(w)s IN (debit_account_id, credit_account_id)) AS debited,
              (SELECT stock FROM commerce.products WHERE id = %(p)s) AS stock,
              (SELECT taken FROM commerce.products WHERE id = %(p)s) AS taken,
              (SELECT coalesce(sum(i.quantity), 0) FROM commerce.order_items i
                 JOIN commerce.orders o ON o.id = i.order_id WHERE i.product_id = %(p)s
                 AND o.state IN ('PENDING', 'PAID', 'CANCELLING')) AS held,
              (SELECT coalesce(sum(o.total), 0) FROM commerce.orders o WHERE o.state = 'PAID'
                 AND EXISTS (SELECT FROM commerce.order_items i WHERE i.order_id = o.id
                   AND i.product_id = %(p)s)) AS paid,
              (SELECT count(*) FROM commerce.orders o
                 WHERE o.state IN ('PENDING', 'CANCELLING') AND EXISTS (SELECT FROM
                   commerce.order_items i WHERE i.order_id = o.id AND i.product_id = %(p)s)
              ) AS open,
              (SELECT coalesce(sum(quantity), 0) FROM commerce.cart_items
                 WHERE user_id = %(u)s) AS cart""",
            w=self.wallet,
            p=self.product,
            u=self.user,
        )

    def always(self) -> Iterator[str]:
        now = self.look()
        if now.balance != now.moved:
            yield "the balance does not follow from the transfers"
        if now.stock + now.taken != STOCK:
            yield "goods have appeared or vanished"
        if now.taken != now.held:
            yield "what is taken is not what orders hold"
        if now.paid > now.debited:
            yield "an order is PAID without a debit"

    def in_the_end(self, outcome: Outcome) -> Iterator[str]:
        now = self.look()
        if now.open:
            yield "an order is unfinished for ever"
        if now.paid != now.debited:
            yield f"{now.debited} were debited for orders of {now.paid}"
        if now.paid not in (0, TOTAL):
            yield "there are two orders"


_SHOP = (
    "INSERT INTO profile.accounts (id, kind, user_id, balance)"
    " VALUES (%(w)s, 'wallet', %(u)s, %(balance)s)",
    "INSERT INTO profile.transfers (id, kind, state, debit_account_id, credit_account_id, amount,"
    " reference, fingerprint) SELECT gen_random_uuid(), 'top_up', 'posted',"
    " '00000000-0000-8000-8000-000000000001', %(w)s, %(full)s, '', 'f' WHERE %(full)s > 0",
    "INSERT INTO commerce.categories (id, name, description) VALUES"
    " ('00000000-0000-8000-8000-00000000000c', 'Things', '') ON CONFLICT DO NOTHING",
    "INSERT INTO commerce.products (id, category_id, name, description, price, stock, taken,"
    " image_url) VALUES (%(p)s, '00000000-0000-8000-8000-00000000000c', 'Thing', '', %(price)s,"
    " %(stock)s, %(taken)s, '')",
)
_CART = (
    "INSERT INTO commerce.carts (user_id) VALUES (%(u)s)",
    "INSERT INTO commerce.cart_items (user_id, product_id, position, quantity, known_price)"
    " VALUES (%(u)s, %(p)s, 1, %(q)s, %(price)s)",
)
_PAID = (
    "INSERT INTO profile.transfers (id, kind, state, debit_account_id, credit_account_id, amount,"
    " reference, fingerprint) VALUES (%(d)s, 'debit', 'posted', %(w)s,"
    " '00000000-0000-8000-8000-000000000002', %(total)s, '', 'f')",
    "INSERT INTO commerce.orders (id, user_id, state, total, debit_id)"
    " VALUES (%(o)s, %(u)s, 'PAID', %(total)s, %(d)s)",
    "INSERT INTO commerce.order_items (order_id, position, product_id, name, quantity, unit_price)"
    " VALUES (%(o)s, 0, %(p)s, 'Thing', %(q)s, %(price)s)",
)


class Checkout(_Shopping):
    """An order: stock, money and order together, or nothing."""

    name = "checkout"

    async def ask(self, wire: Any) -> Any:
        expected = Money(currency_code="USD", units=TOTAL // 100, nanos=TOTAL % 100 * 10_000_000)
        return await order_grpc.OrderServiceStub(wire).PlaceOrder(
            order_pb.PlaceOrderRequest(expected_total=expected)
        )

    def in_the_end(self, outcome: Outcome) -> Iterator[str]:
        yield from super().in_the_end(outcome)
        now = self.look()
        if outcome.kind == "ok" and now.paid != TOTAL:
            yield "the client was told ok, and there is no paid order"
        if outcome.kind == "fail" and now.paid:
            yield f"the client was told {outcome.reason}, and there is a paid order"
        if now.cart != (0 if now.paid else QUANTITY):
            yield "the cart does not fit the order"

    def happened(self) -> bool:
        return bool(self.look().paid)

    def forget_opening(self, world: World) -> None:
        world.ground.rows("DELETE FROM commerce.sagas WHERE create_time >= %(b)s", b=self.begin)
        world.ground.rows(
            "DELETE FROM commerce.order_items WHERE product_id = %(p)s", p=self.product
        )
        world.ground.rows("DELETE FROM commerce.orders WHERE user_id = %(u)s", u=self.user)
        world.ground.rows(
            "UPDATE commerce.products SET stock = stock + taken, taken = 0 WHERE id = %(p)s",
            p=self.product,
        )
        world.ground.rows(
            "DELETE FROM commerce.idempotency WHERE scope = %(s)s", s=f"user:{self.user}"
        )


class RefusedCheckout(Checkout):
    """An order that costs more than the wallet holds."""

    name = "checkout-refused"
    balance = TOTAL - 1
    refused = True

    def before_late(self) -> None:
        self.world.ground.rows(
            "INSERT INTO profile.transfers (id, kind, state, debit_account_id, credit_account_id,"
            " amount, reference, fingerprint) VALUES (gen_random_uuid(), 'top_up', 'posted',"
            " '00000000-0000-8000-8000-000000000001', %(w)s, 10000, '', 'f')",
            w=self.wallet,
        )
        self.world.ground.rows(
            "UPDATE profile.accounts SET balance = balance + 10000 WHERE id = %(w)s", w=self.wallet
        )


class Cancellation(_Shopping):
    """A paid order that is cancelled: the money back, and the goods."""

    name = "cancel"
    paid = True

    async def ask(self, wire: Any) -> Any:
        return await order_grpc.OrderServiceStub(wire).CancelOrder(
            order_pb.CancelOrderRequest(order_id=str(self.order))
        )

    def in_the_end(self, outcome: Outcome) -> Iterator[str]:
        yield from super().in_the_end(outcome)
        if outcome.kind == "ok" and not self.happened():
            yield "the client was told ok, and the order is not cancelled"
        if outcome.kind == "fail":
            yield f"cancelling a paid order failed: {outcome.reason}"

    def happened(self) -> bool:
        state = self.world.ground.one(
            "SELECT state FROM commerce.orders WHERE id = %(o)s", o=self.order
        ).state
        return bool(state == "CANCELLED")


class _Member(Scenario):
    """Somebody who has an account."""

    def prepare(self) -> None:
        self.user, self.email = new_id(), f"m{self.number}.{new_id().hex[-12:]}@example.com"
        self.wallet, self.flow = new_id(), new_id()
        self.principal = User(id=self.user, session_id=new_id(), role="customer")
        ids = {
            "u": self.user,
            "e": self.email,
            "w": self.wallet,
            "f": self.flow,
            "saga": new_id(),
            "hmac": Codes(None, SECRET, None)._hmac(self.flow, self.email, CODE),  # type: ignore[arg-type]
            "hash": PASSWORD_HASH,
        }
        for sql in _MEMBER:
            self.world.ground.rows(sql, **ids)


_MEMBER = (
    "INSERT INTO auth.roles (id, name) VALUES (gen_random_uuid(), 'customer')"
    " ON CONFLICT DO NOTHING",
    "INSERT INTO auth.users (id, email, email_as_typed, password_hash, full_name, role_id, status,"
    " saga_id) SELECT %(u)s, %(e)s, %(e)s, %(hash)s, 'Ada', id, 'ACTIVE', %(saga)s"
    " FROM auth.roles WHERE name = 'customer'",
    "INSERT INTO auth.sessions (id, user_id, generation, refresh_hash, expire_time)"
    " VALUES (gen_random_uuid(), %(u)s, 0, '', now() + interval '1000 days')",
    "INSERT INTO auth.codes (id, purpose, email, user_id, code_hmac, expire_time)"
    " VALUES (%(f)s, 'verification', %(e)s, %(u)s, %(hmac)s, now() + interval '1000 days')",
    "INSERT INTO profile.profiles (id, user_id, saga_id, first_name)"
    " VALUES (gen_random_uuid(), %(u)s, %(saga)s, 'Ada')",
    "INSERT INTO profile.accounts (id, kind, user_id, balance) VALUES (%(w)s, 'wallet', %(u)s, 0)",
    "INSERT INTO commerce.carts (user_id) VALUES (%(u)s)",
)


class Verification(_Member):
    """An address that is confirmed: the user and the profile follow."""

    name = "verify"

    async def ask(self, wire: Any) -> Any:
        return await auth_grpc.AuthServiceStub(wire).VerifyEmail(
            auth_pb.VerifyEmailRequest(flow_id=str(self.flow), email=self.email, otp=CODE)
        )

    def rows(self) -> Any:
        return self.world.ground.one(
            "SELECT u.email_verify_time IS NOT NULL AS verified, p.status FROM auth.users u,"
            " profile.profiles p WHERE u.id = %(u)s AND p.user_id = %(u)s",
            u=self.user,
        )

    def always(self) -> Iterator[str]:
        now = self.rows()
        if now.status == "active" and not now.verified:
            yield "a profile is active whose address is not confirmed"

    def in_the_end(self, outcome: Outcome) -> Iterator[str]:
        now = self.rows()
        if (now.status == "active") != now.verified:
            yield "user and profile do not agree"
        if outcome.kind == "ok" and not now.verified:
            yield "the client was told ok, and nothing is confirmed"
        if outcome.kind == "fail":
            yield f"a right code was refused: {outcome.reason}"

    def happened(self) -> bool:
        return bool(self.rows().verified)


class Deletion(_Member):
    """An account that is erased: everywhere or nowhere."""

    name = "delete"

    @property
    def replicas(self) -> list[str]:
        return ["a1", "a2", "p1", "p2", "c1"]

    async def ask(self, wire: Any) -> Any:
        return await auth_grpc.AuthServiceStub(wire).DeleteUser(
            auth_pb.DeleteUserRequest(user_id=str(self.user))
        )

    def traces(self) -> Any:
        return self.world.ground.one(
            """SELECT
              (SELECT count(*) FROM auth.users WHERE id = %(u)s) AS users,
              (SELECT status FROM auth.users WHERE id = %(u)s) AS status,
              (SELECT count(*) FROM auth.sessions WHERE user_id = %(u)s) AS sessions,
              (SELECT count(*) FROM auth.codes WHERE user_id = %(u)s OR email = %(e)s) AS codes,
              (SELECT count(*) FROM profile.profiles WHERE user_id = %(u)s) AS profiles,
              (SELECT count(*) FROM profile.accounts WHERE user_id = %(u)s) AS wallets,
              (SELECT count(*) FROM commerce.carts WHERE user_id = %(u)s) AS carts,
              (SELECT count(*) FROM commerce.orders WHERE user_id = %(u)s) AS orders""",
            u=self.user,
            e=self.email,
        )

    def always(self) -> Iterator[str]:
        now = self.traces()
        if now.status == "ACTIVE" and not (now.profiles and now.wallets and now.carts):
            yield "an ACTIVE user was half forgotten"
        if not now.users and (now.profiles or now.wallets or now.carts):
            yield "the user is gone, and not everything of it"

    def in_the_end(self, outcome: Outcome) -> Iterator[str]:
        now = self.traces()
        if now.status == "DELETING":
            yield "a user is DELETING for ever"
        if not now.users and any(now[2:]):
            yield f"something is left of a user: {now}"
        if outcome.kind == "ok" and now.users:
            yield "the client was told ok, and the user is there"
        if outcome.kind == "fail" and not now.users and outcome.reason != "USER_NOT_FOUND":
            yield f"the client was told {outcome.reason}, and the user is gone"

    def happened(self) -> bool:
        return not self.traces().users


class RefusedDeletion(Deletion):
    """An account with an order in flight: it stays."""

    name = "delete-refused"
    refused = True

    def prepare(self) -> None:
        super().prepare()
        self.order = new_id()
        self.world.ground.rows(
            "INSERT INTO commerce.orders (id, user_id, state, total, debit_id)"
            " VALUES (%(o)s, %(u)s, 'PENDING', 100, gen_random_uuid())",
            o=self.order,
            u=self.user,
        )

    def before_late(self) -> None:
        self.world.ground.rows(
            "UPDATE commerce.orders SET state = 'FAILED', failure_reason = 'X' WHERE id = %(o)s",
            o=self.order,
        )

    def in_the_end(self, outcome: Outcome) -> Iterator[str]:
        yield from super().in_the_end(outcome)
        if not self.retried and not self.traces().users:
            yield "a user with an order in flight was deleted"

    retried = False


SCENARIOS: dict[str, type[Scenario]] = {
    each.name: each
    for each in (
        Registration,
        RefusedRegistration,
        Checkout,
        RefusedCheckout,
        Cancellation,
        Verification,
        Deletion,
        RefusedDeletion,
    )
}
