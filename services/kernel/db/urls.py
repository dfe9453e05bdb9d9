"""Database URLs. libpq alone reads them, so that whatever one command takes all others take.

A URL may name several hosts (`postgresql://a:5432,b:5432/x?target_session_attrs=read-write`),
give all in its query (`postgresql:///x?host=a,b&port=5432`), or name a folder of a socket.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

MASK: Final = "***"
# What libpq calls secret; `sslpassword` opens a client's key.
SECRETS: Final = frozenset({"password", "sslpassword", "oauth_client_secret", "scram_client_key"})
PORT_MAX: Final = 65535
NUMBERS: Final = frozenset(
    {
        "connect_timeout",
        "keepalives",
        "keepalives_idle",
        "keepalives_interval",
        "keepalives_count",
        "tcp_user_timeout",
    }
)
_SCHEME = re.compile(r"postgres(ql)?://")


class UrlError(ValueError):
    """A database URL is wrong. The text never holds a part of the URL that may be secret."""


def is_database_url(text: str) -> bool:
    """Return whether a text begins as a database URL does."""
    return _SCHEME.match(text) is not None


def parse(url: str) -> dict[str, str]:
    """Return the parameters that a URL gives to libpq.

    Raises:
        UrlError: libpq does not understand the URL.
    """
    import psycopg  # not for a process that has settings of databases, but no database
    from psycopg.conninfo import conninfo_to_dict

    if not is_database_url(url):
        raise UrlError("must be a URL, postgresql://user:password@host:5432/database")
    try:
        parameters = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    except psycopg.ProgrammingError as error:
        raise UrlError(f"must be a URL that libpq understands ({_problem(str(error))})") from None
    _check_numbers(parameters)
    _check_words(parameters)
    return parameters


def _check_numbers(parameters: Mapping[str, str]) -> None:
    """Refuse what libpq would refuse only when it connects, and then cite."""
    ports = parameters.get("port", "").split(",")
    if not all(port == "" or (port.isdecimal() and 0 < int(port) <= PORT_MAX) for port in ports):
        raise UrlError("must have ports from 1 to 65535; write %2F for a / in a password")
    if len(ports) not in (1, _hosts(parameters)):
        raise UrlError("must have one port, or a port for each host")
    for name in sorted(NUMBERS & parameters.keys()):
        if not parameters[name].removeprefix("-").isdecimal():
            raise UrlError(f"must have a whole number as {name}")


def _check_words(parameters: Mapping[str, str]) -> None:
    """Have libpq check values such as that of `sslmode`: it does before it tries the hosts."""
    from psycopg import pq
    from psycopg.conninfo import make_conninfo

    nowhere = ",".join(["/"] * _hosts(parameters))
    attempt = dict(parameters) | {"host": nowhere}
    attempt.pop("hostaddr", None)
    connection = pq.PGconn.connect_start(make_conninfo("", **attempt).encode())
    problem = connection.get_error_message()
    connection.finish()
    if not problem.startswith("connection to server"):
        raise UrlError(f"must be a URL that libpq understands ({_problem(problem)})")


def _hosts(parameters: Mapping[str, str]) -> int:
    return 1 + max(parameters.get(name, "").count(",") for name in ("host", "hostaddr"))


def unparse(parameters: Mapping[str, str]) -> str:
    """Return the URL that gives these parameters to libpq."""
    left = dict(parameters)
    hosts = left.get("host", "").split(",")
    authority = ""
    if all(hosts) and not any(host.startswith(("/", "@")) for host in hosts):
        ports = left.pop("port", "").split(",")
        ports = ports * len(hosts) if len(ports) == 1 else ports
        authority = _credentials(left) + ",".join(map(_place, hosts, ports))
        del left["host"]
    database = quote(left.pop("dbname", ""), safe="")
    query = "&".join(f"{name}={quote(value, safe='/,:-')}" for name, value in sorted(left.items()))
    return f"postgresql://{authority}/{database}" + (f"?{query}" if query else "")


def on_database(url: str, database: str) -> str:
    """Return the URL of another database on the same server."""
    return unparse(parse(url) | {"dbname": database})


def masked(url: str) -> str:
    """Hide the secrets of a URL, also of one that is wrong."""
    try:
        parameters = parse(url)
    except UrlError:
        return f"postgresql://{MASK}"
    secrets = parameters.keys() & SECRETS
    return unparse(parameters | dict.fromkeys(secrets, MASK)).replace(quote(MASK), MASK)


def _problem(text: str) -> str:
    """Return what libpq says, without the parts of the URL that it cites."""
    return text.strip().partition(': "')[0]


def _credentials(left: dict[str, str]) -> str:
    """Take the user and the password, and return them as a URL has them."""
    user, password = left.pop("user", ""), left.pop("password", "")
    if not (user or password):
        return ""
    return quote(user, safe="") + (f":{quote(password, safe='')}" if password else "") + "@"


def _place(host: str, port: str) -> str:
    name = f"[{host}]" if ":" in host else quote(host, safe="")
    return f"{name}:{port}" if port else name
