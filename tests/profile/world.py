"""A running Profile and the ways to call it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import psycopg
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.money_pb2 import Money
from lockstep.profile.v1 import profile_service_pb2 as profile_pb
from lockstep.profile.v1 import profile_service_pb2_grpc as profile_grpc
from lockstep.profile.v1 import wallet_service_pb2 as wallet_pb
from lockstep.profile.v1 import wallet_service_pb2_grpc as wallet_grpc
from lockstep_clients import LockstepError, ServiceIdentity, bearer, connect
from psycopg.rows import namedtuple_row

import services.profile
from services.common.keys import KeyRing
from services.kernel.db.database import Observer
from services.kernel.ids import new_id
from services.profile.__main__ import running
from services.profile.settings import ProfileSettings
from tests.own_keys import all_keys, own_keys
from tests.profile.fake_auth import FakeAuth, fake_auth
from tests.waiting import until

T = TypeVar("T")

SCRIPT = Path(services.profile.__file__).parent / "sql/recompute_balances.sql"
# What each system account received, less what it paid.
SYSTEM_BALANCES = """
SELECT a.kind,
       coalesce(sum(CASE WHEN t.credit_account_id = a.id THEN t.amount ELSE -t.amount END), 0)
  FROM accounts a
  LEFT JOIN transfers t
    ON a.id IN (t.debit_account_id, t.credit_account_id) AND t.state = 'posted'
 WHERE a.kind NOT IN ('wallet', 'pending') GROUP BY a.kind
"""


@dataclass(slots=True, kw_only=True)
class World:
    """Profile with its callers, Auth, Commerce and users, and a look at its tables."""

    url: str
    auth: FakeAuth
    by_auth: profile_grpc.ProfileServiceAsyncStub
    by_commerce: wallet_grpc.WalletServiceAsyncStub
    profiles: profile_grpc.ProfileServiceAsyncStub
    wallets: wallet_grpc.WalletServiceAsyncStub
    admin: tuple[tuple[str, str]]

    def as_user(self, user_id: UUID, role: str = "customer") -> tuple[tuple[str, str]]:
        """Log a user in and return the metadata of their calls."""
        return bearer(self.auth.token(user_id, role=role))

    async def register(self, **fields: Any) -> UUID:
        """Make a profile and return its user's id."""
        user_id = new_id()
        await self.by_auth.CreateProfile(registration(user_id=user_id, **fields))
        return user_id

    async def user_with(self, minor: int) -> UUID:
        """Make a user whose wallet holds an amount."""
        user_id = await self.register()
        if minor:
            await self.top_up(user_id, minor)
        return user_id

    async def cancel(self, saga_id: UUID, user_id: UUID | None = None) -> None:
        request = profile_pb.CancelProfileRequest(
            saga_id=str(saga_id), user_id=str(user_id or new_id())
        )
        await self.by_auth.CancelProfile(request)

    async def forget(self, user_id: UUID) -> None:
        request = profile_pb.ForgetProfileRequest(saga_id=str(new_id()), user_id=str(user_id))
        await self.by_auth.ForgetProfile(request)

    async def profile(self, user_id: UUID) -> profile_pb.Profile:
        request = profile_pb.GetProfileRequest(user_id=str(user_id))
        return await self.profiles.GetProfile(request, metadata=self.admin)

    async def phone_exists(self, number: str) -> bool:
        request = profile_pb.PhoneExistsRequest(phone_number=number)
        return (await self.by_auth.PhoneExists(request)).exists

    async def top_up(
        self, user_id: UUID, minor: int, *, transfer_id: UUID | None = None
    ) -> wallet_pb.Transfer:
        request = wallet_pb.TopUpWalletRequest(
            user_id=str(user_id), transfer_id=str(transfer_id or new_id()), amount=money(minor)
        )
        return await self.wallets.TopUpWallet(request, metadata=self.admin)

    async def debit(
        self, user_id: UUID, minor: int, *, transfer_id: UUID | None = None, **fields: Any
    ) -> wallet_pb.Transfer:
        return await self.by_commerce.DebitWallet(
            debit_request(user_id, minor, transfer_id=transfer_id, **fields)
        )

    async def void(self, transfer_id: UUID) -> wallet_pb.Transfer:
        return await self.by_commerce.VoidTransfer(
            wallet_pb.VoidTransferRequest(transfer_id=str(transfer_id))
        )

    async def refund(
        self, original_id: UUID, minor: int, *, transfer_id: UUID | None = None, **fields: Any
    ) -> wallet_pb.Transfer:
        return await self.by_commerce.RefundWallet(
            wallet_pb.RefundWalletRequest(
                transfer_id=str(transfer_id or new_id()),
                original_id=str(original_id),
                amount=money(minor),
                **fields,
            )
        )

    async def release(
        self, original_id: UUID, shares: Mapping[UUID | None, int], release_id: UUID | None = None
    ) -> None:
        request = wallet_pb.ReleaseSalesRequest(
            release_id=str(release_id or new_id()),
            original_id=str(original_id),
            shares=shares_of(shares),
        )
        await self.by_commerce.ReleaseSales(request)

    async def wallet(self, user_id: UUID) -> wallet_pb.Wallet:
        request = wallet_pb.GetWalletRequest(user_id=str(user_id))
        return await self.wallets.GetWallet(request, metadata=self.admin)

    async def balance(self, user_id: UUID) -> int:
        return minor_of((await self.wallet(user_id)).balance)

    async def pending(self, user_id: UUID) -> int:
        return minor_of((await self.wallet(user_id)).pending)

    def rows(self, query: str, *values: Any) -> list[Any]:
        """Run a query on the tables."""
        with psycopg.connect(self.url, row_factory=namedtuple_row) as connection:
            return connection.execute(query.encode(), values).fetchall()

    def execute(self, statement: str, *values: Any) -> None:
        """Change the tables without Profile."""
        with psycopg.connect(self.url) as connection:
            connection.execute(statement.encode(), values)

    def counts(self) -> dict[str, int]:
        """Return how many profiles, brands, wallets and barriers there are."""
        return {
            table: self.rows(f"SELECT count(*) AS number FROM {source}")[0].number
            for table, source in {
                "profiles": "profiles",
                "brands": "brands",
                "wallets": "accounts WHERE kind = 'wallet'",
                "barriers": "saga_barriers",
            }.items()
        }

    async def until_blocked(self, number: int = 1) -> None:
        """Wait until this many sessions of Profile wait for a lock."""
        query = "SELECT count(*) AS number FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        query += " AND datname = current_database()"
        await until(lambda: self.rows(query)[0].number >= number)

    def wrong_balances(self) -> list[Any]:
        """Return the accounts whose balance differs from the sum of their transfers."""
        return self.rows(SCRIPT.read_text())

    def system_balance(self, kind: str) -> int:
        """Return the sum that a system account received, less the sum that it paid."""
        return int(dict(self.rows(SYSTEM_BALANCES))[kind])


@asynccontextmanager
async def profile_world(
    url: str, keys: Path, *, observer: Observer | None = None
) -> AsyncIterator[World]:
    """Run Profile on a database, with a fake Auth beside it."""
    async with fake_auth(keys) as auth:
        settings = settings_for(url, keys, auth)
        async with (
            running(settings, listen_on="127.0.0.1:0", observer=observer) as process,
            connected(process.port, settings, auth) as world,
        ):
            yield world


def settings_for(url: str, keys: Path, auth: FakeAuth) -> ProfileSettings:
    """Return Profile's settings for a test."""
    return ProfileSettings(
        profile_database_url=url,
        keys=own_keys(keys, "profile"),
        auth_address=f"127.0.0.1:{auth.port}",
        stop_grace_seconds=1,
    )


@asynccontextmanager
async def connected(port: int, settings: ProfileSettings, auth: FakeAuth) -> AsyncIterator[World]:
    """Open the channels of all callers of a running Profile."""
    async with AsyncExitStack() as stack:

        async def channel(name: str | None) -> Any:
            identity = None
            if name is not None:
                ring = KeyRing.load(all_keys(settings.keys, "profile"), name)
                identity = ServiceIdentity(name, ring.private_key)
            return await stack.enter_async_context(connect(f"127.0.0.1:{port}", identity=identity))

        users = await channel(None)
        yield World(
            url=settings.profile_database_url,
            auth=auth,
            by_auth=profile_grpc.ProfileServiceStub(await channel("auth")),
            by_commerce=wallet_grpc.WalletServiceStub(await channel("commerce")),
            profiles=profile_grpc.ProfileServiceStub(users),
            wallets=wallet_grpc.WalletServiceStub(users),
            admin=bearer(auth.token(new_id(), role="admin")),
        )


def shares_of(shares: Mapping[UUID | None, int]) -> list[wallet_pb.Share]:
    """Return shares as messages; None is a seller who was forgotten."""
    return [
        wallet_pb.Share(seller_id="" if seller is None else str(seller), amount=money(minor))
        for seller, minor in shares.items()
    ]


async def outcome(call: Awaitable[T]) -> T | str:
    """Return the answer to a call, or the reason of its error."""
    try:
        return await call
    except LockstepError as error:
        return error.reason


@contextmanager
def fails(
    kind: type[LockstepError], reason: str, *fields: str
) -> Iterator[pytest.ExceptionInfo[LockstepError]]:
    """Expect an error: its class, its reason and the fields that it names."""
    with pytest.raises(kind) as caught:
        yield caught
    assert caught.value.reason == reason
    assert [violation.field for violation in caught.value.violations] == list(fields)


def soon(seconds: float = 60.0) -> Timestamp:
    """Return a moment from now."""
    timestamp = Timestamp()
    timestamp.FromDatetime(datetime.now(UTC) + timedelta(seconds=seconds))
    return timestamp


def registration(
    *, saga_id: UUID | None = None, user_id: UUID | None = None, **fields: Any
) -> profile_pb.CreateProfileRequest:
    """Return a request for a profile; fields that are not given have usual values."""
    usual: dict[str, Any] = {
        "not_after": soon(),
        "initial_status": "pending",
        "role": "customer",
        "first_name": "Ada",
        "last_name": "Lovelace",
    }
    return profile_pb.CreateProfileRequest(
        saga_id=str(saga_id or new_id()), user_id=str(user_id or new_id()), **usual | fields
    )


def debit_request(
    user_id: UUID, minor: int, *, transfer_id: UUID | None = None, **fields: Any
) -> wallet_pb.DebitWalletRequest:
    """Return a request for a debit; fields that are not given have usual values."""
    usual: dict[str, Any] = {"reference": "an order", "not_after": soon()}
    return wallet_pb.DebitWalletRequest(
        transfer_id=str(transfer_id or new_id()),
        user_id=str(user_id),
        amount=money(minor),
        **usual | fields,
    )


def money(minor: int) -> Money:
    """Return cents as a message."""
    units, cents = divmod(minor, 100)
    return Money(currency_code="USD", units=units, nanos=cents * 10_000_000)


def minor_of(amount: Money) -> int:
    """Return the cents of a message."""
    return amount.units * 100 + amount.nanos // 10_000_000
