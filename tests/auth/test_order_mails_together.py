"""Mails about orders: from a real Commerce through a real Auth into a mail sink."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from lockstep.commerce.v1 import cart_service_pb2_grpc as cart_grpc
from lockstep.commerce.v1 import catalog_service_pb2_grpc as catalog_grpc
from lockstep.commerce.v1 import order_service_pb2 as order_pb
from lockstep.commerce.v1 import order_service_pb2_grpc as order_grpc
from lockstep.profile.v1 import wallet_service_pb2 as wallet_pb
from lockstep.profile.v1 import wallet_service_pb2_grpc as wallet_grpc
from lockstep_clients import connect
from prometheus_client import generate_latest

from services.commerce.__main__ import running as running_commerce
from services.commerce.settings import CommerceSettings
from services.kernel.db.database import Transaction
from services.kernel.events.writer import Fact, tell
from tests.auth.test_order_mails import INSERT_USER, paid
from tests.auth.together import All
from tests.auth.world import Member, Sink, World, opened_database, serving_auth, settings_for
from tests.commerce.people import money
from tests.commerce.world import Buyer, Shop
from tests.environment import variables, without_settings
from tests.own_keys import own_keys
from tests.ports import free_port
from tests.waiting import until, until_found

START_SECONDS = 120  # a process of its own starts within it, on a busy machine too
EMAIL = "ada@example.com"
NOWHERE = "127.0.0.1:1"
BEHIND = 'lockstep_event_reader_behind_seconds{lockstep_reader="order-mails"'


@contextlib.asynccontextmanager
async def shopping(lockstep: All, admin: Member) -> AsyncIterator[Shop]:
    """Call Commerce with the tokens of Auth."""
    async with connect(lockstep.targets["commerce"]) as channel:
        unused: Any = None
        yield Shop(
            settings=unused,
            port=0,
            database=unused,
            engine=unused,
            telemetry=unused,
            people=unused,
            wallets=unused,
            by_auth=unused,
            catalog=catalog_grpc.CatalogServiceStub(channel),
            carts=cart_grpc.CartServiceStub(channel),
            orders=order_grpc.OrderServiceStub(channel),
            admin=admin.proof,
        )


async def top_up(lockstep: All, admin: Member, member: Member) -> None:
    request = wallet_pb.TopUpWalletRequest(
        user_id=member.id, transfer_id=str(uuid4()), amount=money(100_000)
    )
    async with connect(lockstep.targets["profile"]) as channel:
        await wallet_grpc.WalletServiceStub(channel).TopUpWallet(request, metadata=admin.proof)


def seller(member: Member) -> Buyer:
    return Buyer(UUID(member.id), member.proof)


async def test_what_becomes_of_an_order_comes_by_mail_once(lockstep: All) -> None:
    world = lockstep.world
    admin, member = await world.admin("root@example.com"), await world.member(EMAIL)
    await world.sql("UPDATE users SET email_verify_time = now()")
    await top_up(lockstep, admin, member)
    buyer = seller(member)

    expected = []

    async def told(order: order_pb.Order, text: str) -> None:
        expected.append(text.format(f"order {order.number[:4]}-{order.number[4:]}"))
        await world.sink.wait_for(EMAIL, about=expected[-1])

    async with shopping(lockstep, admin) as shop:
        product = await shop.product(price=1000)
        first = await shop.bought(buyer, product, 2)
        await told(first, "Your {} is paid")
        await shop.cancel(buyer, first.id, (product, 1))
        await told(first, "A part of your {} is cancelled")
        await shop.fulfil(seller(admin), first.id)
        await told(first, "Your {} is on its way")
        await shop.refund(seller(admin), first.id, (product, 1))
        await told(first, "Money for your {} is given back")
        second = await shop.bought(buyer, product)
        await shop.cancel(buyer, second.id)
        await told(second, "Your {} is paid")
        await told(second, "Your {} is cancelled")
    subjects = [message["subject"] for message in world.sink.to(EMAIL)]
    assert [each for each in subjects if " order " in each] == expected


@contextlib.asynccontextmanager
async def commerce(url: str, keys: Path, target: str) -> AsyncIterator[None]:
    """Run a Commerce, whose calls lead nowhere."""
    settings = CommerceSettings(
        keys=own_keys(keys, "commerce"),
        commerce_database_url=url,
        auth_address=NOWHERE,
        profile_address=NOWHERE,
    )
    async with running_commerce(settings, listen_on=target):
        yield


async def write(url: str, *facts: Fact) -> None:
    """Write events into Commerce's database, as its transactions do."""

    async def work(tx: Transaction) -> None:
        await tell(tx, *facts)

    async with opened_database(url) as database:
        await database.transact("tell", work)


def insert_buyer(url: str) -> UUID:
    buyer = uuid4()
    values = {"id": buyer, "email": EMAIL, "status": "ACTIVE", "verified": True, "language": "en"}
    with psycopg.connect(url) as connection:
        connection.execute(INSERT_USER.encode(), values)
    return buyer


def behind(world: World) -> float:
    lines = generate_latest(world.running.telemetry.registry).decode().splitlines()
    (line,) = (line for line in lines if line.startswith(BEHIND))
    return float(line.split()[-1])


async def test_auth_works_without_commerce_and_mails_when_it_is_there(
    auth_url: str, commerce_url: str, keys: Path, mail: tuple[Sink, int]
) -> None:
    target = f"127.0.0.1:{free_port()}"
    settings = settings_for(
        auth_url,
        keys,
        profile=NOWHERE,
        commerce=target,
        smtp_url=f"smtp://127.0.0.1:{mail[1]}",
    )
    buyer = insert_buyer(auth_url)
    async with serving_auth(settings, mail[0]) as world:
        await until_found(lambda: world.sql("SELECT cursor FROM event_cursors"))
        await write(commerce_url, paid(buyer))
        await until(lambda: behind(world) > 0.5)
        async with commerce(commerce_url, keys, target):
            await world.sink.wait_for(EMAIL, about="is paid")
            await until(lambda: behind(world) == 0)


async def test_mails_that_are_off_ask_commerce_nothing(
    auth_url: str, keys: Path, mail: tuple[Sink, int]
) -> None:
    settings = settings_for(
        auth_url,
        keys,
        profile=NOWHERE,
        commerce=NOWHERE,
        smtp_url=f"smtp://{NOWHERE}",
        order_mails=False,
    )
    async with serving_auth(settings, mail[0]) as world:
        await until(lambda: behind(world) == 0)
        assert await world.sql("SELECT cursor FROM event_cursors") == []


@pytest.fixture
def auth_process(auth_url: str, keys: Path, tmp_path: Path) -> Iterator[Any]:
    """Start Auth as a process, which has no mail server, as often as wanted."""
    started: list[subprocess.Popen[bytes]] = []

    def start(target: str) -> subprocess.Popen[bytes]:
        environment = without_settings() | variables(
            home=str(tmp_path),
            env="test",
            keys=str(own_keys(keys, "auth")),
            auth_database_url=auth_url,
            auth_port=str(free_port()),
            auth_metrics_port="0",
            commerce_address=target,
            profile_address=NOWHERE,
            smtp_url=f"smtp://{NOWHERE}",
        )
        with (tmp_path / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "services.auth"], env=environment, stdout=log, stderr=log
            )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.processes
async def test_an_auth_that_is_killed_in_a_page_mails_each_event_once(
    auth_url: str, commerce_url: str, keys: Path, auth_process: Any
) -> None:
    """It is killed after its first page, in the middle of the second one."""
    target = f"127.0.0.1:{free_port()}"
    buyer = insert_buyer(auth_url)
    with psycopg.connect(auth_url, autocommit=True) as look:

        def number(table: str) -> int:
            [(count,)] = look.execute(f"SELECT count(*) FROM {table}".encode()).fetchall()
            return int(count)

        look.execute("INSERT INTO event_cursors VALUES ('order-mails', 'commerce', '')")
        await write(commerce_url, *(paid(buyer, f"NUMB{n:04}") for n in range(250)))
        with psycopg.connect(commerce_url) as connection:
            rows = connection.execute("SELECT id FROM events ORDER BY place").fetchall()
        async with commerce(commerce_url, keys, target):
            with psycopg.connect(auth_url) as blocking:
                blocking.execute("INSERT INTO order_mails VALUES (%s)", rows[150])
                process = auth_process(target)
                await until(
                    lambda: look.execute(
                        "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                        " AND datname = current_database()"
                        " AND query LIKE 'INSERT INTO order_mails%'"
                    ).fetchone(),
                    seconds=START_SECONDS,
                )
                process.kill()
                process.wait()
                assert number("outbox") == number("order_mails") == 100
                blocking.rollback()
            auth_process(target)
            await until(lambda: number("order_mails") == 250, seconds=START_SECONDS)
        assert number("outbox") == 250
