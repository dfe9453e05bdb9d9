"""Users for the benchmarks: registered, logged in, with money."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import grpc
from google.type.money_pb2 import Money
from lockstep.auth.v1 import auth_service_pb2 as auth_pb
from lockstep.auth.v1 import auth_service_pb2_grpc as auth_grpc
from lockstep.commerce.v1 import cart_service_pb2_grpc as cart_grpc
from lockstep.commerce.v1 import catalog_service_pb2_grpc as catalog_grpc
from lockstep.commerce.v1 import order_service_pb2_grpc as order_grpc
from lockstep.profile.v1 import wallet_service_pb2 as wallet_pb
from lockstep.profile.v1 import wallet_service_pb2_grpc as wallet_grpc
from lockstep_clients import ServiceIdentity, bearer, connect

from services.common.keys import KeyRing
from services.kernel.ids import new_id
from tests.bench.stack import ROOT, Stack, StackError

PASSWORD = "Copper-Kettle-7"
ADMIN = "admin@bench.example"
AT_ONCE = 16

Metadata = tuple[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Person:
    """A user who is logged in."""

    id: str
    email: str
    metadata: Metadata


@dataclass(frozen=True, slots=True)
class Clients:
    """Stubs of every service that is measured, and the identity of Commerce."""

    auth: auth_grpc.AuthServiceAsyncStub
    catalog: catalog_grpc.CatalogServiceAsyncStub
    cart: cart_grpc.CartServiceAsyncStub
    orders: order_grpc.OrderServiceAsyncStub
    wallets: wallet_grpc.WalletServiceAsyncStub
    wallets_as_commerce: wallet_grpc.WalletServiceAsyncStub

    async def register(self) -> str:
        """Register a user and return the e-mail."""
        request = registration()
        await self.auth.Register(request)
        return request.email

    async def log_in(self, email: str) -> Person:
        """Open a session."""
        tokens = await self.auth.Login(auth_pb.LoginRequest(email=email, password=PASSWORD))
        return Person(tokens.user_id, email, bearer(tokens.token))

    async def brand(self) -> Person:
        """Register a brand and log it in."""
        request = registration(
            role="brand",
            first_name="Ada",
            last_name="Lovelace",
            company="Acme",
            company_size="1-10",
            user_role="owner",
        )
        await self.auth.Register(request)
        return await self.log_in(request.email)

    async def people(self, number: int) -> list[Person]:
        """Register a number of users and log them in."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def one() -> Person:
            async with gate:
                return await self.log_in(await self.register())

        return await asyncio.gather(*(one() for _ in range(number)))

    async def fund(self, admin: Person, people: Sequence[Person], minor: int) -> None:
        """Put money into the wallet of each."""
        for person in people:
            await self.wallets.TopUpWallet(
                wallet_pb.TopUpWalletRequest(
                    user_id=person.id, transfer_id=str(new_id()), amount=money(minor)
                ),
                metadata=admin.metadata,
            )


@asynccontextmanager
async def clients(stack: Stack) -> AsyncIterator[Clients]:
    """Connect to a Lockstep that runs."""
    identity = ServiceIdentity(
        "commerce", KeyRing.load(stack.home / "keys", "commerce").private_key
    )
    async with AsyncExitStack() as opened:

        async def channel(
            service: str, identity: ServiceIdentity | None = None
        ) -> grpc.aio.Channel:
            made = connect(stack.endpoint(service), identity=identity)
            return await opened.enter_async_context(made)

        commerce, profile = await channel("commerce"), await channel("profile")
        yield Clients(
            auth=auth_grpc.AuthServiceStub(await channel("auth")),
            catalog=catalog_grpc.CatalogServiceStub(commerce),
            cart=cart_grpc.CartServiceStub(commerce),
            orders=order_grpc.OrderServiceStub(commerce),
            wallets=wallet_grpc.WalletServiceStub(profile),
            wallets_as_commerce=wallet_grpc.WalletServiceStub(await channel("profile", identity)),
        )


async def administrator(stack: Stack, to: Clients, **settings: str) -> Person:
    """Make an administrator with the command, and log in."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", "admin", "create"),
        *("--email", ADMIN, "--password-stdin"),
        cwd=ROOT,
        env=stack.environment(**settings),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate(PASSWORD.encode())
    if process.returncode != 0:
        raise StackError(output.decode(errors="replace"))
    return await to.log_in(ADMIN)


def registration(**fields: str) -> auth_pb.RegisterRequest:
    """Return a registration of a new user."""
    return auth_pb.RegisterRequest(
        email=f"{secrets.token_hex(8)}@bench.example",
        password=PASSWORD,
        full_name="Ada Lovelace",
        phone_number=f"+1{secrets.randbelow(10**10):010}",
        **fields,
    )


def money(minor: int) -> Money:
    """Return cents as a message."""
    units, cents = divmod(minor, 100)
    return Money(currency_code="USD", units=units, nanos=cents * 10_000_000)
