"""A running Profile and the ways to call it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import services.profile
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.money_pb2 import Money
from lockstep.profile.v1 import profile_service_pb2 as profile_pb
from lockstep.profile.v1 import profile_service_pb2_grpc as profile_grpc
from lockstep.profile.v1 import wallet_service_pb2 as wallet_pb
from lockstep.profile.v1 import wallet_service_pb2_grpc as wallet_grpc
from lockstep_clients import ServiceIdentity, bearer, connect
from psycopg.rows import namedtuple_row
from services.kernel.database import Database, Observer
from services.kernel.ids import new_id
from services.kernel.keys import KeyRing
from services.profile.__main__ import running
from services.profile.settings import ProfileSettings

from tests.profile.fake_auth import FakeAuth, fake_auth

SCRIPT = Path(services.profile.__file__).parent / "sql/recompute_balances.sql"


@dataclass(slots=True, kw_only=True)
class World:
    """Profile as everybody sees it: Auth, Commerce, users, and a look at the tables."""

    url: str
    auth: FakeAuth
    database: Database
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
        self, original_id: UUID, minor: int, *, transfer_id: UUID | None = None
    ) -> wallet_pb.Transfer:
        return await self.by_commerce.RefundWallet(
            wallet_pb.RefundWalletRequest(
                transfer_id=str(transfer_id or new_id()),
                original_id=str(original_id),
                amount=money(minor),
            )
        )

    async def balance(self, user_id: UUID) -> int:
        request = wallet_pb.GetWalletRequest(user_id=str(user_id))
        return minor_of((await self.wallets.GetWallet(request, metadata=self.admin)).balance)

    def rows(self, query: str, *values: Any) -> list[Any]:
        """Look into the tables."""
        with psycopg.connect(self.url, row_factory=namedtuple_row) as connection:
            return connection.execute(query.encode(), values).fetchall()

    def wrong_balances(self) -> list[Any]:
        """Return the accounts whose balance does not follow from the transfers."""
        return self.rows(SCRIPT.read_text())

    def system_balance(self, kind: str) -> int:
        """Return what a system account has received less what it gave."""
        return int(
            self.rows(
                "SELECT coalesce(sum(CASE WHEN t.credit_account_id = a.id THEN amount"
                " ELSE -amount END), 0) AS balance FROM accounts a JOIN transfers t"
                " ON a.id IN (t.debit_account_id, t.credit_account_id)"
                " WHERE a.kind = %s AND t.state = 'posted'",
                kind,
            )[0].balance
        )


@asynccontextmanager
async def profile_world(
    url: str, keys: Path, *, observer: Observer | None = None, **settings: Any
) -> AsyncIterator[World]:
    """Run Profile on a database, with a fake Auth beside it."""
    async with AsyncExitStack() as stack:
        auth = await stack.enter_async_context(fake_auth(keys))
        configured = ProfileSettings(
            profile_database_url=url,
            keys=keys,
            auth_address=f"127.0.0.1:{auth.port}",
            stop_grace_seconds=1,
            **settings,
        )
        process = await stack.enter_async_context(
            running(configured, address="127.0.0.1:0", observer=observer)
        )
        yield await connected(stack, f"127.0.0.1:{process.port}", url, keys, auth, process.database)


async def connected(
    stack: AsyncExitStack,
    address: str,
    url: str,
    keys: Path,
    auth: FakeAuth,
    database: Database,
) -> World:
    """Open the channels of everybody who calls Profile."""

    async def channel(name: str | None) -> Any:
        identity = None
        if name is not None:
            identity = ServiceIdentity(name, KeyRing.load(keys, name).private_key)
        return await stack.enter_async_context(connect(address, identity=identity))

    users = await channel(None)
    return World(
        url=url,
        auth=auth,
        database=database,
        by_auth=profile_grpc.ProfileServiceStub(await channel("auth")),
        by_commerce=wallet_grpc.WalletServiceStub(await channel("commerce")),
        profiles=profile_grpc.ProfileServiceStub(users),
        wallets=wallet_grpc.WalletServiceStub(users),
        admin=bearer(auth.token(new_id(), role="admin")),
    )


def soon(seconds: float = 60.0) -> Timestamp:
    """Return a moment from now."""
    timestamp = Timestamp()
    timestamp.FromDatetime(datetime.now(UTC) + timedelta(seconds=seconds))
    return timestamp


def registration(
    *, saga_id: UUID | None = None, user_id: UUID | None = None, **fields: Any
) -> profile_pb.CreateProfileRequest:
    """Describe a profile; what is not said is usual."""
    usual = {
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
    """Describe a debit; what is not said is usual."""
    usual = {"reference": "an order", "not_after": soon()}
    return wallet_pb.DebitWalletRequest(
        transfer_id=str(transfer_id or new_id()),
        user_id=str(user_id),
        amount=money(minor),
        **usual | fields,
    )


def money(minor: int) -> Money:
    """Write cents."""
    units, cents = divmod(minor, 100)
    return Money(currency_code="USD", units=units, nanos=cents * 10_000_000)


def minor_of(amount: Money) -> int:
    """Read cents."""
    return amount.units * 100 + amount.nanos // 10_000_000
