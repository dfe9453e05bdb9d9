"""`lockstep admin import`: brings the accounts of another system here."""

import asyncio
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    import grpc
    import lockstep_clients as clients
    from lockstep.auth.v1 import auth_service_pb2_grpc as auth_grpc

    from services.cli.import_lines import Line

AT_ONCE: Final = 8
TRIES_MAX: Final = 5
PAUSE_SECONDS: Final = 1.0


class Result(StrEnum):
    """What became of a line."""

    IMPORTED = "imported"
    EXISTS = "exists"
    REFUSED = "refused"


Told = tuple[Result, str]


def import_users(
    file: Annotated[
        Path,
        typer.Argument(exists=True, dir_okay=False, readable=True, help="a JSON object a line"),
    ],
) -> None:
    """Import accounts with bcrypt hashes, each with its profile; run it again to go on."""
    from rich.console import Console
    from rich.progress import Progress

    from services.cli.errors import CommandError
    from services.cli.import_lines import read_lines
    from services.cli.operator import ask

    counts = Counter[Result]()
    shown = Console(stderr=True)
    # A report that goes to a file stays there.
    progress = Progress(console=shown, redirect_stdout=sys.stdout.isatty())
    with file.open("rb") as opened, progress:
        task = progress.add_task("bytes", total=file.stat().st_size or None)

        def report(line: "Line", told: Told) -> None:
            counts[told[0]] += 1
            typer.echo(f"line {line.number}: {told[1]}")
            progress.advance(task, line.size)

        lines = read_lines(opened)
        try:
            ask("auth", lambda channel: _import_all(channel, lines, report))
        except CommandError as error:
            raise CommandError(f"{error}\nthen run the same command again to go on") from error
    typer.echo(_summary(counts))
    if counts[Result.REFUSED]:
        raise CommandError("mend the lines that were refused, then run the same command again")


def _summary(counts: Counter[Result]) -> str:
    return (
        f"{counts[Result.IMPORTED]} imported, {counts[Result.EXISTS]} had an account already, "
        f"{counts[Result.REFUSED]} refused"
    )


async def _import_all(
    channel: "grpc.aio.Channel", lines: "Iterator[Line]", report: "Callable[[Line, Told], None]"
) -> None:
    from lockstep.auth.v1 import auth_service_pb2_grpc as auth_grpc

    auth = auth_grpc.AuthServiceStub(channel)

    async def work() -> None:
        for line in lines:
            report(line, await _import(auth, line))

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))


async def _import(auth: "auth_grpc.AuthServiceAsyncStub", line: "Line") -> Told:
    """Import the account of a line, and say what became of it.

    Raises:
        LockstepError: Auth cannot do it now.
    """
    import lockstep_clients as clients

    if line.request is None:
        return Result.REFUSED, line.fault
    is_repeat = False
    for left in reversed(range(TRIES_MAX)):
        try:
            made = await auth.ImportUser(line.request)
        except clients.AlreadyExists as error:
            # The try before may have had its effect, though its answer was lost.
            return (Result.IMPORTED, "imported") if is_repeat else _taken(error)
        except clients.InvalidArgument as error:
            faults = (f"{each.field} {each.description}" for each in error.violations)
            return Result.REFUSED, "; ".join(faults) or error.message
        except (clients.Aborted, clients.DeadlineExceeded, clients.Unavailable) as error:
            if not left:
                raise
            is_repeat = is_repeat or not _is_undone(error)
            await asyncio.sleep(error.retry_after_seconds or PAUSE_SECONDS)
        else:
            return Result.IMPORTED, f"imported as {made.user.id}"
    raise AssertionError("the last try returns or raises")


def _is_undone(error: "clients.LockstepError") -> bool:
    """Say whether a failed try is known to have had no effect."""
    return error.reason in ("REGISTRATION_IN_PROGRESS", "PROFILE_UNAVAILABLE")


def _taken(error: "clients.AlreadyExists") -> Told:
    if error.reason == "EMAIL_TAKEN":
        return Result.EXISTS, "email has an account already"
    return Result.REFUSED, "phone_number has an account already: change it, or leave it out"
