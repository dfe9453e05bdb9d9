"""How often a request waits for the database of each service, so that nobody adds a wait unseen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

from services.kernel.db.connection import Connection
from services.kernel.db.statement import Statement
from services.kernel.rpc import tracing
from tests.commerce.world import shop_world
from tests.system import student, system

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACED = ((tracing.PARENT, f"00-{TRACE}-b7ad6b7169203331-01"),)

# What a request with all that it can have to tell takes: statements, and with them each BEGIN
# and each COMMIT. Change a number only if the request needs what it counts.
CHECKOUT = {"commerce": 17, "profile": 7}
REGISTRATION = {"auth": 21, "profile": 7}


@contextmanager
def sent_by_request(**urls: str) -> Iterator[dict[str, list[str]]]:
    """List what the traced request sends to each database, and nothing of the background."""
    services = {urlsplit(url).path.strip("/"): service for service, url in urls.items()}
    sent: dict[str, list[str]] = {service: [] for service in urls}
    run, command = Statement.run, Connection.command

    def note(connection: Connection, text: bytes) -> None:
        here = tracing.place()
        if here is not None and here.trace_id == TRACE:
            sent[services[connection.info.dbname]].append(text.decode())

    async def counted_run(
        self: Statement[Any, Any], connection: Connection, parameters: Any
    ) -> object:
        note(connection, self.sql)
        return await run(self, connection, parameters)

    async def counted_command(self: Connection, text: bytes) -> bytes | None:
        note(self, text)
        return await command(self, text)

    with (
        mock.patch.object(Statement, "run", counted_run),
        mock.patch.object(Connection, "command", counted_command),
    ):
        yield sent


async def test_a_checkout_waits_for_its_databases_this_often(
    commerce_url: str, profile_url: str, keys: Path, tmp_path: Path
) -> None:
    async with shop_world(commerce_url, profile_url, keys, tmp_path) as shop:
        buyer, brand = await shop.buyer(), shop.login("brand", await shop.people.with_funds(0))
        for seller in (brand, None):  # all of the stock, and a share for a seller
            await shop.add(buyer, await shop.product(by=seller, stock=1))
        with sent_by_request(commerce=commerce_url, profile=profile_url) as sent:
            await shop.place(replace(buyer, metadata=(*buyer.metadata, *TRACED)))
    assert numbers(sent) == CHECKOUT, sent


async def test_a_registration_waits_for_its_databases_this_often(
    auth_url: str, profile_url: str, keys: Path, tmp_path: Path
) -> None:
    async with system(auth_url, profile_url, keys, tmp_path) as lockstep:
        await lockstep.auth.Register(student("first@example.com"))  # the first one makes its role
        with sent_by_request(auth=auth_url, profile=profile_url) as sent:
            await lockstep.auth.Register(student(), metadata=TRACED)
    assert numbers(sent) == REGISTRATION, sent


def numbers(sent: dict[str, list[str]]) -> dict[str, int]:
    return {service: len(texts) for service, texts in sent.items()}
