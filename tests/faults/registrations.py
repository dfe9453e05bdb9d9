"""Registrations of the schedules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep.auth.v1 import auth_service_pb2_grpc as auth_grpc

from services.kernel.ids import new_id
from tests.faults.scenario import PASSWORD, Outcome, Scenario
from tests.faults.world import World


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

    def take_reason_away(self) -> None:
        self.world.ground.rows(
            "DELETE FROM profile.profiles WHERE phone_number = %(phone)s AND first_name = 'Bob'",
            phone=self.phone,
        )
