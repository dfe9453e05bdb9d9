"""Users with wallets: the real Profile, which a checkout debits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from google.type.money_pb2 import Money
from lockstep.profile.v1 import profile_service_pb2 as profile_pb
from lockstep.profile.v1 import profile_service_pb2_grpc as profile_grpc
from lockstep.profile.v1 import wallet_service_pb2 as wallet_pb
from lockstep.profile.v1 import wallet_service_pb2_grpc as wallet_grpc
from lockstep_clients import ServiceIdentity, bearer, connect
from psycopg.rows import namedtuple_row

import services.profile
from services.common.keys import KeyRing
from services.kernel.db.database import Observer
from services.kernel.ids import new_id
from services.profile.__main__ import running
from services.profile.settings import ProfileSettings
from tests.profile.fake_auth import FakeAuth

RECOMPUTE = Path(services.profile.__file__).parent / "sql/recompute_balances.sql"


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Profile, with the calls that wallets need."""

    port: int
    url: str
    auth: FakeAuth
    profiles: profile_grpc.ProfileServiceAsyncStub
    wallets: wallet_grpc.WalletServiceAsyncStub
    admin: tuple[tuple[str, str]]

    async def with_funds(self, minor: int) -> UUID:
        """Make a user whose wallet holds an amount."""
        user_id = new_id()
        request = profile_pb.CreateProfileRequest(
            saga_id=str(new_id()),
            user_id=str(user_id),
            initial_status="active",
            role="customer",
            first_name="Ada",
            last_name="Lovelace",
        )
        request.not_after.FromDatetime(datetime.now(UTC) + timedelta(minutes=1))
        await self.profiles.CreateProfile(request)
        if minor:
            await self.top_up(user_id, minor)
        return user_id

    async def top_up(self, user_id: UUID, minor: int) -> None:
        request = wallet_pb.TopUpWalletRequest(
            user_id=str(user_id), transfer_id=str(new_id()), amount=money(minor)
        )
        await self.wallets.TopUpWallet(request, metadata=self.admin)

    async def forget(self, user_id: UUID) -> None:
        """Close the wallet."""
        request = profile_pb.ForgetProfileRequest(saga_id=str(new_id()), user_id=str(user_id))
        await self.profiles.ForgetProfile(request)

    async def wallet(self, user_id: UUID) -> wallet_pb.Wallet:
        request = wallet_pb.GetWalletRequest(user_id=str(user_id))
        return await self.wallets.GetWallet(request, metadata=self.admin)

    async def balance(self, user_id: UUID) -> int:
        return minor_of((await self.wallet(user_id)).balance)

    async def pending(self, user_id: UUID) -> int:
        return minor_of((await self.wallet(user_id)).pending)

    def rows(self, query: str) -> list[Any]:
        """Run a query and return its rows."""
        with psycopg.connect(self.url, row_factory=namedtuple_row) as connection:
            return connection.execute(query.encode()).fetchall()

    def wrong_balances(self) -> list[Any]:
        """Return the accounts whose balance does not follow from the transfers."""
        return self.rows(RECOMPUTE.read_text())

    def charged(self) -> list[Any]:
        """Return the amount of each debit, less its void or refund."""
        query = """
            SELECT coalesce(original_id, id) AS id,
                   sum(CASE WHEN kind = 'debit' THEN amount ELSE -amount END) AS amount
              FROM transfers
             WHERE state = 'posted' AND kind IN ('debit', 'void', 'refund')
             GROUP BY 1
        """
        return self.rows(query)

    def shares(self) -> dict[UUID, int]:
        """Return what sellers hold of each debit, or suspense for them."""
        query = """
            SELECT original_id AS id,
                   sum(CASE kind WHEN 'sale' THEN amount ELSE -amount END)::bigint AS amount
              FROM transfers WHERE kind IN ('sale', 'sale_refund') GROUP BY 1
        """
        return {row.id: row.amount for row in self.rows(query)}

    def sales(self) -> int:
        """Return the balance of the sales account, from the transfers."""
        query = """
            SELECT coalesce(sum(CASE WHEN t.credit_account_id = a.id THEN amount
                                     ELSE -amount END), 0) AS balance
              FROM accounts a
              JOIN transfers t ON a.id IN (t.debit_account_id, t.credit_account_id)
             WHERE a.kind = 'sales' AND t.state = 'posted'
        """
        return int(self.rows(query)[0].balance)


@asynccontextmanager
async def people_world(
    url: str, keys: Path, auth: FakeAuth, *, observer: Observer | None = None
) -> AsyncIterator[People]:
    """Run Profile on a database."""
    settings = settings_for(url, keys, auth)
    async with (
        running(settings, listen_on="127.0.0.1:0", observer=observer) as process,
        people_at(process.port, settings, auth) as people,
    ):
        yield people


def settings_for(url: str, keys: Path, auth: FakeAuth) -> ProfileSettings:
    """Return settings for a Profile of the tests."""
    return ProfileSettings(
        profile_database_url=url,
        keys=keys,
        auth_address=f"127.0.0.1:{auth.port}",
        stop_grace_seconds=1,
    )


@asynccontextmanager
async def people_at(port: int, settings: ProfileSettings, auth: FakeAuth) -> AsyncIterator[People]:
    """Open the channels to a Profile that runs."""
    identity = ServiceIdentity("auth", KeyRing.load(settings.keys, "auth").private_key)
    address = f"127.0.0.1:{port}"
    async with connect(address) as public, connect(address, identity=identity) as internal:
        yield People(
            port=port,
            url=settings.profile_database_url,
            auth=auth,
            profiles=profile_grpc.ProfileServiceStub(internal),
            wallets=wallet_grpc.WalletServiceStub(public),
            admin=bearer(auth.token(new_id(), role="admin")),
        )


def money(minor: int) -> Money:
    """Turn cents into money."""
    units, cents = divmod(minor, 100)
    return Money(currency_code="USD", units=units, nanos=cents * 10_000_000)


def minor_of(amount: Money) -> int:
    """Turn money into cents."""
    return amount.units * 100 + amount.nanos // 10_000_000
