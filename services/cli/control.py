"""The way to a running `lockstep up`: a socket that only its user can reach.

A request is one line of JSON, `{"do": "restart", ...}`. Each answer is a line, too. The last
one has `done` or `error`.
"""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Self

from services.cli.errors import CommandError
from services.cli.postgres import make_private
from services.common.settings import embedded_socket_folder

Message = dict[str, Any]
Handler = Callable[[Message], AsyncIterator[Message]]
"""Carries out a request, and yields what it has to tell."""

REQUEST_SECONDS: Final = 5.0
REQUEST_BYTES_MAX: Final = 64 * 1024
# A restart of a process takes its delay and its grace, and a minute to become ready.
ANSWER_SECONDS: Final = 1500.0


class NotRunning(CommandError):
    """No `lockstep up` runs with a data folder."""


def socket_of(home: Path) -> Path:
    """Return the socket of the `up` of a data folder; its path is short, as it must be."""
    return embedded_socket_folder(home / "control") / "up"


class ControlServer:
    """Takes the requests of commands while the context lasts.

    Args:
        home: The data folder, which this process has locked.
        handlers: What can be asked for.
    """

    def __init__(self, home: Path, handlers: Mapping[str, Handler]) -> None:
        self._path: Final = socket_of(home)
        self._handlers: Final = handlers
        self._server: asyncio.Server | None = None
        self._tasks: Final[set[asyncio.Task[None]]] = set()

    async def __aenter__(self) -> Self:
        make_private(self._path.parent, os.getuid())
        self._path.unlink(missing_ok=True)  # an `up` that was killed leaves it
        self._server = await asyncio.start_unix_server(
            self._on_connection, self._path, limit=REQUEST_BYTES_MAX
        )
        self._path.chmod(0o600)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._path.parent.rmdir()

    async def _on_connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(ConnectionError, TimeoutError, ValueError):
                async with asyncio.timeout(REQUEST_SECONDS):
                    request = json.loads(await reader.readline())
                await self._answer(request, writer)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _answer(self, request: Message, writer: asyncio.StreamWriter) -> None:
        handler = self._handlers.get(str(request.get("do")), _unknown)
        try:
            async for told in handler(request):
                await _send(writer, told)
            await _send(writer, {"done": True})
        except CommandError as error:
            await _send(writer, {"error": str(error)})


async def _unknown(_request: Message) -> AsyncIterator[Message]:
    raise CommandError("this `lockstep up` is of another version: start it anew")
    yield


async def _send(writer: asyncio.StreamWriter, message: Message) -> None:
    writer.write(json.dumps(message).encode() + b"\n")
    async with asyncio.timeout(REQUEST_SECONDS):
        await writer.drain()


def ask(home: Path, request: Message, *, seconds: float = ANSWER_SECONDS) -> Iterator[Message]:
    """Ask the running `lockstep up` of a data folder, and yield what it tells.

    Raises:
        NotRunning: None runs.
        CommandError: It cannot do what was asked for; the text says why.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(seconds)
        try:
            connection.connect(str(socket_of(home)))
        except (FileNotFoundError, ConnectionRefusedError):
            raise NotRunning(
                f"no `lockstep up` runs with the data folder {home}: "
                "start one, or set LOCKSTEP_HOME to the folder of the one that runs"
            ) from None
        connection.sendall(json.dumps(request).encode() + b"\n")
        with connection.makefile("rb") as lines:
            yield from _answers(lines, seconds)


def _answers(lines: Iterator[bytes], seconds: float) -> Iterator[Message]:
    try:
        for line in lines:
            told: Message = json.loads(line)
            if "error" in told:
                raise CommandError(told["error"])
            if "done" in told:
                return
            yield told
    except TimeoutError:
        raise CommandError(f"`lockstep up` did not answer in {seconds:.0f} s") from None
    raise CommandError("`lockstep up` ended before it was done")
