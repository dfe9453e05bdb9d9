"""Registrations of the schedules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep.auth.v1 import auth_service_pb2_grpc as auth_grpc
from psycopg.types.json import Jsonb

from services.auth.domain import registration as sign_ups
from services.auth.domain.registration import Details
from services.auth.model import CanonicalEmail, Email
from services.common.vocabulary import Role
from services.kernel.ids import new_id
from tests.faults.scenario import CODE, PASSWORD, Outcome, Scenario, hmac_of
from tests.faults.world import PASSWORD_HASH, World


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


class SignUp(Registration):
    """A new account whose mailbox is proven by a code; the code works once."""

    name = "sign-up"
    keyed = False

    def prepare(self) -> None:
        super().prepare()
        self.flow = new_id()
        email = CanonicalEmail(self.email)
        sign_up = sign_ups.SignUp(
            details=Details(
                email=Email(typed=self.email, canonical=email),
                role=Role.CUSTOMER,
                full_name="Ada Lovelace",
                first_name="Ada",
                last_name="Lovelace",
                phone_number=self.phone,
                address=None,
                course=None,
                company=None,
                company_size=None,
                user_role=None,
            ),
            password_hash=PASSWORD_HASH,
        )
        self.world.ground.rows(
            "INSERT INTO auth.codes (id, purpose, email, code_hmac, payload, expire_time)"
            " VALUES (%(f)s, 'signup', %(e)s, %(hmac)s, %(payload)s, now() + interval '1000 days')",
            f=self.flow,
            e=self.email,
            hmac=hmac_of(self.flow, self.email),
            payload=Jsonb(sign_ups.SIGN_UPS.dump_python(sign_up, mode="json")),
        )

    async def ask(self, wire: Any) -> Any:
        return await auth_grpc.AuthServiceStub(wire).VerifyOtp(
            auth_pb.VerifyOtpRequest(flow_id=str(self.flow), email=self.email, otp=CODE)
        )

    def in_the_end(self, outcome: Outcome) -> Iterator[str]:
        yield from super().in_the_end(outcome)
        rows = self.world.ground.rows(
            "SELECT payload IS NOT NULL AS has_payload, spend_time IS NOT NULL AS is_spent"
            " FROM auth.codes WHERE id = %(f)s",
            f=self.flow,
        )
        if self.happened() and any(row.has_payload for row in rows):
            yield "the account is there, and its code still holds what it was made of"
        if not self.happened() and any(row.is_spent for row in rows):
            yield "the code is spent, and there is no account"

    def forget_opening(self, world: World) -> None:
        super().forget_opening(world)
        world.ground.rows(
            "UPDATE auth.codes SET spend_time = NULL, saga_id = NULL WHERE id = %(f)s", f=self.flow
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

    def take_reason_away(self) -> None:
        self.world.ground.rows(
            "DELETE FROM profile.profiles WHERE phone_number = %(phone)s AND first_name = 'Bob'",
            phone=self.phone,
        )
