"""A migration that loses data says so, and does it with the explicit word and alone."""

from __future__ import annotations

import io
import re
from contextlib import ExitStack
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import psycopg
import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from typer.testing import CliRunner

from services.cli.main import app
from services.cli.system import DATABASES
from services.common.histories import migrations_of
from services.kernel.db import migrations
from services.kernel.db.migrations import DataLoss
from services.kernel.ids import process_name
from tests.conftest import Databases

LOSING = re.compile(
    r"DROP TABLE (?:IF EXISTS )?(\w+)|ALTER TABLE (\w+) DROP COLUMN"
    r"|DELETE FROM (\w+)|TRUNCATE (?:TABLE )?(?!ON )(\w+)",
    re.IGNORECASE,
)
REVISIONS = [
    path
    for service in DATABASES
    for path in sorted((migrations_of(service) or Path()).glob("versions/[0-9]*.py"))
]
TOPPED_UP = """
INSERT INTO transfers (id, kind, state, debit_account_id, credit_account_id, amount, reference,
  fingerprint)
VALUES (gen_random_uuid(), 'top_up', 'posted', '00000000-0000-8000-8000-000000000001',
  '00000000-0000-8000-8000-000000000002', 5, '', 'f')
"""


def loaded(path: Path) -> ModuleType:
    spec = spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rendered(path: Path, way: str) -> str:
    """Return a revision as SQL."""
    sql = io.StringIO()
    context = MigrationContext.configure(
        dialect_name="postgresql", opts={"as_sql": True, "output_buffer": sql}
    )
    with Operations.context(context):
        getattr(loaded(path), way)()
    return sql.getvalue()


@pytest.mark.parametrize("way", ["upgrade", "downgrade"])
@pytest.mark.parametrize("path", REVISIONS, ids=lambda path: f"{path.parts[-4]}-{path.stem}")
def test_every_revision_declares_what_it_loses(path: Path, way: str) -> None:
    lost = {next(filter(None, found.groups())) for found in LOSING.finditer(rendered(path, way))}
    declared = getattr(loaded(path), "LOSES" if way == "downgrade" else "LOSES_FORWARD", {})

    assert lost <= set(declared)


def test_the_check_above_sees_what_is_lost() -> None:
    first = next(path for path in REVISIONS if path.stem == "0001_users")

    assert {found[1] for found in LOSING.finditer(rendered(first, "downgrade"))} >= {"users"}
    assert LOSING.search("ALTER TABLE sagas DROP COLUMN version")
    assert LOSING.search("DELETE FROM transfers WHERE true")


@pytest.mark.parametrize("service", DATABASES)
def test_all_losses_of_a_service_can_be_counted(
    service: str, databases: Databases, stack: ExitStack
) -> None:
    history = migrations_of(service)
    assert history is not None
    plan = migrations.plan(databases.fresh(stack, service), history, down_to="base")

    assert [step.revision for step in plan.steps][-1] == "0001"
    assert all(step.is_back for step in plan.steps)
    counted = migrations.count_losses(plan)
    # What the migrations themselves have put there.
    assert counted.keys() <= {"roles", "accounts", "least_code"}


@pytest.fixture
def url(profile_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database of Profile with money in it, and nobody connected."""
    with psycopg.connect(profile_url) as connection:
        connection.execute(TOPPED_UP)
    monkeypatch.setenv("LOCKSTEP_PROFILE_DATABASE_URL", profile_url)
    return profile_url


def transfers(url: str) -> object:
    with psycopg.connect(url) as connection:
        if connection.execute("SELECT to_regclass('transfers')").fetchone() == (None,):
            return None
        return connection.execute("SELECT count(*) FROM transfers").fetchone()


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["migrate", *arguments])
    return done.exit_code, done.output + str(done.exception or "")


def test_money_is_lost_only_by_the_explicit_word(url: str) -> None:
    code, told = run("profile", "--down-to", "0002")

    assert code != 0
    assert "profile: going to 0002 loses 1 row of transfers" in told
    assert "nothing was done: take a backup, then say --destroy profile" in told
    assert transfers(url) == (1,)

    code, told = run("profile", "--down-to", "0002", "--destroy", "profile")

    assert (code, transfers(url)) == (0, None)
    assert "profile: at 0002, the newest is " in told


def test_nobody_else_may_be_connected(url: str) -> None:
    with psycopg.connect(url, application_name="profile@host:7"):
        code, told = run("profile", "--down-to", "0002", "--destroy", "profile")

        assert code != 0
        assert "cannot migrate profile: profile@host:7 must be stopped first" in told
        assert transfers(url) == (1,)


def test_a_session_of_the_command_itself_is_not_in_its_way(url: str) -> None:
    with psycopg.connect(url, application_name=process_name("migrate")):
        code, told = run("profile", "--down-to", "0002", "--destroy", "profile")
        assert code == 0, told


def test_a_session_that_is_leaving_is_not_in_the_way() -> None:
    looks = iter([["profile@host:7"], ["profile@host:7"], []])

    assert migrations.others(lambda: next(looks)) == []


def test_those_who_stay_are_named_in_order() -> None:
    assert migrations.others(lambda: ["profile@host:7", "auth@host:6"]) == [
        "auth@host:6",
        "profile@host:7",
    ]


def test_what_appears_after_the_question_is_seen_under_the_lock(url: str) -> None:
    history = migrations_of("profile")
    assert history is not None
    plan = migrations.plan(url, history, down_to="0002")

    with pytest.raises(DataLoss, match="loses 1 row of transfers"):
        migrations.carry_out(plan, may_lose=False)

    assert transfers(url) == (1,)


def test_no_service_is_migrated_when_another_has_no_way(
    url: str, auth_url: str, commerce_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Auth has no revision by this name."""
    monkeypatch.setenv("LOCKSTEP_AUTH_DATABASE_URL", auth_url)
    monkeypatch.setenv("LOCKSTEP_COMMERCE_DATABASE_URL", commerce_url)

    code, told = run("commerce", "auth", "--down-to", "0099")

    assert code != 0
    assert "0099" in told
    assert migrations.current(commerce_url) == migrations.head(migrations_of("commerce") or Path())


def test_a_step_that_loses_nothing_needs_no_word(url: str) -> None:
    newest = migrations.head(migrations_of("profile") or Path())
    code, told = run("profile", "--down-to", "0010")

    assert (code, told) == (0, f"profile: at 0010, the newest is {newest}\n")
