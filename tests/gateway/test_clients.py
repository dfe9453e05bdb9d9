"""A client that leaves ends the work for it."""

import asyncio
from typing import Any

from lockstep_gateway.http.messages import Client


async def stays() -> dict[str, Any]:
    await asyncio.Event().wait()
    raise AssertionError


async def leaves() -> dict[str, Any]:
    return {"type": "http.disconnect"}


async def test_a_client_that_leaves_ends_the_work_for_it() -> None:
    client, ended = Client(leaves), asyncio.Event()
    client.when_left(ended.set)

    assert not client.has_left
    async with asyncio.timeout(20):
        await ended.wait()

    assert client.has_left


async def test_work_for_a_client_that_has_left_already_ends_at_once() -> None:
    client, ended = Client(leaves), list[str]()
    client.leave()

    client.when_left(lambda: ended.append("call"))

    assert ended == ["call"]


async def test_work_that_is_done_is_not_ended() -> None:
    client, ended = Client(stays), list[str]()
    client.when_left(lambda: ended.append("call"))

    client.when_left(None)
    client.leave()

    assert ended == []
