"""A call of the command that fails is told in sentences, whoever the command calls as."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc
import pytest
from lockstep_clients import NotFound

from services.cli.errors import CommandError
from services.cli.failures import NotFoundError
from services.cli.operator import call_as_anybody, call_as_operator
from services.common.key_files import initialise

CALLS = (call_as_anybody, call_as_operator)


async def _find(channel: grpc.aio.Channel) -> None:
    raise NotFound("There is no such thing.", reason="THING_NOT_FOUND")


@pytest.mark.parametrize("call", CALLS)
async def test_what_is_not_there_is_told_too(
    call: Callable[..., Awaitable[None]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCKSTEP_KEYS", str(tmp_path / "keys"))
    initialise(tmp_path / "keys")
    with pytest.raises(CommandError, match="no such thing") as caught:
        await call("auth", _find)
    assert isinstance(caught.value, NotFoundError)
    assert isinstance(caught.value.error, NotFound)
