"""What becomes of accounts in the schedules: addresses that are confirmed, deletions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep.auth.v1 import auth_service_pb2_grpc as auth_grpc

from services.kernel.ids import new_id
from services.kernel.rpc.call import ServicePrincipal, UserPrincipal
from tests.faults.scenario import CODE, Outcome, Scenario, hmac_of
from tests.faults.world import PASSWORD_HASH, World


class Member(Scenario):
    """Somebody who has an account."""

    keyed = False

    def prepare(self) -> None:
        self.user, self.email = new_id(), f"m{self.number}.{new_id().hex[-12:]}@example.com"
        self.wallet, self.flow = new_id(), new_id()
        self.principal = UserPrincipal(id=self.user, session_id=new_id(), role="customer")
        ids = {
            "u": self.user,
            "session": self.principal.session_id,
            "e": self.email,
            "w": self.wallet,
            "f": self.flow,
            "saga": new_id(),
            "hmac": hmac_of(self.flow, self.email),
            "hash": PASSWORD_HASH,
        }
        for sql in (*ACCOUNT, *_BELONGINGS):
            self.world.ground.rows(sql, **ids)


ACCOUNT = (
    (
        "INSERT INTO auth.roles (id, name) VALUES (gen_random_uuid(), 'customer')"
        " ON CONFLICT DO NOTHING"
    ),
    (
        "INSERT INTO auth.users (id, email, email_as_typed, password_hash, full_name,"
        " role_id, status,"
        " saga_id) SELECT %(u)s, %(e)s, %(e)s, %(hash)s, 'Ada', id, 'ACTIVE', %(saga)s"
        " FROM auth.roles WHERE name = 'customer'"
    ),
    (
        "INSERT INTO auth.sessions (id, user_id, generation, refresh_hash, expire_time,"
        # However the clock jumps, the password was proven just now.
        " auth_time) VALUES (%(session)s, %(u)s, 0, '', now() + interval '1000 days', 'infinity')"
    ),
    (
        "INSERT INTO auth.codes (id, purpose, email, user_id, code_hmac, expire_time)"
        " VALUES (%(f)s, 'verification', %(e)s, %(u)s, %(hmac)s, now() + interval '1000 days')"
    ),
    (
        "INSERT INTO profile.profiles (id, user_id, saga_id, first_name)"
        " VALUES (gen_random_uuid(), %(u)s, %(saga)s, 'Ada')"
    ),
)
_BELONGINGS = (
    "INSERT INTO profile.accounts (id, kind, user_id, balance) VALUES (%(w)s, 'wallet', %(u)s, 0)",
    "INSERT INTO commerce.carts (user_id) VALUES (%(u)s)",
)


def traces_of(world: World, user: UUID, email: str) -> Any:
    """Return what is left of a user, and the status."""
    return world.ground.one(
        """SELECT
          (SELECT count(*) FROM auth.users WHERE id = %(u)s) AS users,
          (SELECT status FROM auth.users WHERE id = %(u)s) AS status,
          (SELECT count(*) FROM auth.sessions WHERE user_id = %(u)s) AS sessions,
          (SELECT count(*) FROM auth.codes WHERE user_id = %(u)s OR email = %(e)s) AS codes,
          (SELECT count(*) FROM profile.profiles WHERE user_id = %(u)s) AS profiles,
          (SELECT count(*) FROM profile.accounts WHERE user_id = %(u)s) AS wallets,
          (SELECT count(*) FROM commerce.carts WHERE user_id = %(u)s) AS carts,
          (SELECT count(*) FROM commerce.users WHERE user_id = %(u)s) AS locks,
          (SELECT count(*) FROM commerce.sagas WHERE user_id = %(u)s) AS sagas,
          (SELECT count(*) FROM commerce.orders WHERE user_id = %(u)s) AS orders""",
        u=user,
        e=email,
    )


class Verification(Member):
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


class Disabling(Member):
    """An account that an administrator disables: the sessions end, the profile is suspended."""

    name = "disable"
    status = "DISABLED"

    def prepare(self) -> None:
        super().prepare()
        self.principal = administrator()

    async def ask(self, wire: Any) -> Any:
        return await auth_grpc.AuthServiceStub(wire).DisableUser(
            auth_pb.DisableUserRequest(user_id=str(self.user))
        )

    def rows(self) -> Any:
        return self.world.ground.one(
            "SELECT u.status, u.email_verify_time IS NOT NULL AS verified, p.status AS profile,"
            " (SELECT count(*) FROM auth.sessions s WHERE s.user_id = u.id) AS sessions"
            " FROM auth.users u, profile.profiles p WHERE u.id = %(u)s AND p.user_id = %(u)s",
            u=self.user,
        )

    def always(self) -> Iterator[str]:
        now = self.rows()
        if now.status == "DISABLED" and now.sessions:
            yield "a disabled user has a session"

    def in_the_end(self, outcome: Outcome) -> Iterator[str]:
        now = self.rows()
        usual = "active" if now.verified else "pending"
        if now.profile != ("suspended" if now.status == "DISABLED" else usual):
            yield "user and profile do not agree"
        if outcome.kind == "ok" and not self.happened():
            yield f"the client was told ok, and the user is {now.status}"
        if outcome.kind == "fail":
            yield f"an administrator was refused: {outcome.reason}"

    def happened(self) -> bool:
        return bool(self.rows().status == self.status)


class Enabling(Disabling):
    """An account that is enabled again: the profile gets back the status that it had."""

    name = "enable"
    status = "ACTIVE"

    def prepare(self) -> None:
        super().prepare()
        for sql in _DISABLED:
            self.world.ground.rows(sql, u=self.user)

    async def ask(self, wire: Any) -> Any:
        return await auth_grpc.AuthServiceStub(wire).EnableUser(
            auth_pb.EnableUserRequest(user_id=str(self.user))
        )


_DISABLED = (
    "DELETE FROM auth.sessions WHERE user_id = %(u)s",
    "UPDATE auth.users SET status = 'DISABLED', status_version = 1 WHERE id = %(u)s",
    ("UPDATE profile.profiles SET status = 'suspended', status_version = 1 WHERE user_id = %(u)s"),
)


def administrator() -> ServicePrincipal:
    """A caller who may act on every account, and who needs no session for that."""
    return ServicePrincipal("operator")


class Deletion(Member):
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
        return traces_of(self.world, self.user, self.email)

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


class RichDeletion(Deletion):
    """An account with money, which its owner gives up."""

    name = "delete-rich"
    # Where the money is asked for, noted, and moved.
    own_edges = r"GetHoldings|ForgetProfile|\.T1\."

    def prepare(self) -> None:
        super().prepare()
        for sql in _RICHES:
            self.world.ground.rows(sql, w=self.wallet)

    async def ask(self, wire: Any) -> Any:
        return await auth_grpc.AuthServiceStub(wire).DeleteUser(
            auth_pb.DeleteUserRequest(user_id=str(self.user), forfeit_balance=True)
        )

    def in_the_end(self, outcome: Outcome) -> Iterator[str]:
        yield from super().in_the_end(outcome)
        given_up = self.world.ground.one(
            "SELECT coalesce(sum(amount), 0) AS sum FROM profile.transfers"
            " WHERE credit_account_id = '00000000-0000-8000-8000-000000000004'"
            " AND debit_account_id = %(w)s",
            w=self.wallet,
        ).sum
        if given_up != (0 if self.traces().users else 500):
            yield f"{given_up} of 500 were forfeited"


_RICHES = (
    (
        "INSERT INTO profile.transfers (id, kind, state, debit_account_id, credit_account_id,"
        " amount, reference, fingerprint) VALUES (gen_random_uuid(), 'top_up', 'posted',"
        " '00000000-0000-8000-8000-000000000001', %(w)s, 500, '', 'f')"
    ),
    "UPDATE profile.accounts SET balance = 500 WHERE id = %(w)s",
)


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

    def take_reason_away(self) -> None:
        self.world.ground.rows(
            "UPDATE commerce.orders SET state = 'FAILED', failure_reason = 'X' WHERE id = %(o)s",
            o=self.order,
        )

    def in_the_end(self, outcome: Outcome) -> Iterator[str]:
        yield from super().in_the_end(outcome)
        if not self.retried and not self.traces().users:
            yield "a user with an order in flight was deleted"

    retried = False
