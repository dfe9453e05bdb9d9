"""Every form of a database URL, with every command and every service."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from typer.testing import CliRunner

from services.auth import __main__ as auth
from services.auth.settings import AuthSettings
from services.cli.main import app
from services.cli.system import DATABASES
from services.commerce import __main__ as commerce
from services.commerce.settings import CommerceSettings
from services.common.service import Running
from services.common.settings import SettingsError, load, masked
from services.kernel.db.urls import UrlError, parse, unparse
from services.profile import __main__ as profile
from services.profile.settings import ProfileSettings
from tests.tcp_postgres import TcpPostgres

NOBODY_LISTENS = 1


@dataclass(frozen=True, slots=True)
class Places:
    """Two servers; the second takes no writes, as a standby does not."""

    port: int
    socket: Path
    read_only: int


# `{}` is the name of the database, which the URL of a server lacks.
FORMS = {
    "one host": "postgresql://lockstep@127.0.0.1:{p.port}",
    "short scheme": "postgres://lockstep@127.0.0.1:{p.port}/",
    "first host is down": "postgresql://lockstep@127.0.0.1:1,127.0.0.1:{p.port}/?connect_timeout=3",
    "first host takes no writes": "postgresql://lockstep@127.0.0.1:{p.read_only},127.0.0.1:{p.port}"
    "?target_session_attrs=read-write",
    "all in the query": "postgresql:///?host=127.0.0.1,127.0.0.1&port={p.read_only},{p.port}"
    "&user=lockstep&target_session_attrs=read-write",
    "addresses": "postgresql://lockstep@/?hostaddr=127.0.0.1&port={p.port}",
    "folder of a socket": "postgresql:///?host={p.socket}&port={p.port}&user=lockstep",
    "encoded folder": "postgresql://lockstep@{encoded}:{p.port}",
    "other database in the query": "postgresql://lockstep@127.0.0.1:{p.port}/?dbname=postgres",
    "with a password and options": "postgresql://lockstep:a%2Fb@127.0.0.1:{p.port}"
    "/?options=-c%20work_mem%3D8MB",
}
WRONG = {
    "another scheme": "mysql://u:hunter2@h/d",
    "no scheme": "host=h password=hunter2",
    "unknown parameter": "postgresql://u:hunter2@h/d?sslmod=require",
    "broken escape": "postgresql://u:hunter2%zz@h/d",
    "slash in the password": "postgresql://u:hunter2/x@h/d",
    "port": "postgresql://u:hunter2@h:99999/d",
    "ports": "postgresql://u:hunter2@a,b,c/d?port=1,2",
    "value": "postgresql://u:hunter2@h/d?sslmode=hunter2",
    "number": "postgresql://u:hunter2@h/d?connect_timeout=hunter2",
    "attributes": "postgresql://u:hunter2@h/d?target_session_attrs=hunter2",
}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    with contextlib.ExitStack() as stack:
        server, other = (
            TcpPostgres(tmp_path_factory.mktemp("urls") / name) for name in ("writes", "reads")
        )
        for each in (server, other):
            stack.callback(each.destroy)
            each.start()
        other.create_databases(DATABASES.values())  # as a standby has them
        other.refuse_writes()
        yield Places(server.port, server.socket_path.parent, other.port)


@pytest.fixture(params=FORMS)
def url(request: pytest.FixtureRequest, places: Places, monkeypatch: pytest.MonkeyPatch) -> str:
    form = FORMS[request.param]
    url = form.format(p=places, encoded=quote(str(places.socket), safe=""))
    with tempfile.TemporaryDirectory() as home:
        monkeypatch.setenv("LOCKSTEP_HOME", home)
    monkeypatch.setenv("LOCKSTEP_DATABASE_URL", url)
    return url


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_every_command_and_every_service_takes_every_form(url: str, keys: Path) -> None:
    assert run("migrate").splitlines() == run("migrate", "--status").splitlines()
    assert run("reconcile") == "everything agrees\n"
    assert "added 3 products" in run("seed", "--products", "3", "--categories", "1")
    shown = json.loads(run("settings", "--json"))
    for service, database in DATABASES.items():
        assert parse(shown[f"LOCKSTEP_{service.upper()}_DATABASE_URL"])["dbname"] == database
        assert psql(service) == f"{database}\n"
    asyncio.run(start_services(keys))


def psql(service: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "services.cli", "psql", service, "-XAtc", "SELECT current_catalog"],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def start_services(keys: Path) -> None:
    """Start each service; its probe must find its tables."""
    nowhere = f"127.0.0.1:{NOBODY_LISTENS}"
    addresses = {f"{name}_address": nowhere for name in DATABASES}
    common: dict[str, Any] = {"keys": keys, **addresses}
    services = (
        auth.running(AuthSettings(**common), listen_on="127.0.0.1:0"),
        profile.running(ProfileSettings(**common), listen_on="127.0.0.1:0"),
        commerce.running(CommerceSettings(**common), listen_on="127.0.0.1:0"),
    )
    for service in services:
        async with service as running:
            await write(running)


async def write(running: Running) -> None:
    """Take the way of a request that writes."""

    async def work(tx: object) -> None:
        connection = getattr(tx, "connection")  # noqa: B009 - not a statement of the product
        await connection.execute(b"DELETE FROM idempotency")

    await running.database.transact("write", work)


@pytest.mark.parametrize("url", WRONG.values(), ids=WRONG)
def test_a_wrong_url_is_refused_in_a_line_without_its_secrets(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCKSTEP_PROFILE_DATABASE_URL", url)

    with pytest.raises(SettingsError) as refused:
        load(ProfileSettings)

    # A URL that follows from the wrong one is no second problem.
    [line] = refused.value.problems
    assert line.startswith("LOCKSTEP_PROFILE_DATABASE_URL must ")
    assert "hunter2" not in line
    assert "hunter2" not in masked(url) or not url.startswith("postgresql")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://",
        "postgresql:///x?host=/tmp&user=u",
        "postgresql://u:p%3Fq%23@a:1,b:2/x?target_session_attrs=read-write",
        "postgresql://a,b:5/x",
        "postgresql://[::1]:5432/%C3%A9%20x",
        "postgresql:///x?hostaddr=1.2.3.4,2.3.4.5&port=1,2&application_name=a%20b%26c",
        "postgresql://:p@h/x",
        "postgresql://u@h/x?ssl=true",
    ],
)
def test_what_is_taken_apart_is_put_together_again(url: str) -> None:
    assert parse(unparse(parse(url))) == parse(url)


def test_a_masked_url_holds_no_secret() -> None:
    shown = masked("postgresql://u:hunter2?#x@h/d?sslpassword=hunter3")

    assert shown == "postgresql://u:***@h/d?sslpassword=***"


def test_only_urls_are_parsed() -> None:
    with pytest.raises(UrlError, match="must be a URL"):
        parse("dbname=x")
