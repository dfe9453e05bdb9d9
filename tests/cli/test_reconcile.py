"""`lockstep reconcile`, the real command on real databases."""

from __future__ import annotations

import json
import re
import signal
import tracemalloc
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest

from services.cli import comparison
from services.cli.comparison import Kind
from services.cli.postgres import THROWAWAY, EmbeddedPostgres
from services.kernel.db.migrations import upgrade
from services.kernel.ids import new_id
from tests.cli.conftest import Lockstep, finish
from tests.conftest import SERVICES, Databases
from tests.ports import free_port
from tests.postgres import set_clock_offset
from tests.telemetry.test_management import ask

PROFILE = (
    "INSERT INTO profiles (id, user_id, saga_id, create_time)"
    " VALUES (gen_random_uuid(), %s, gen_random_uuid(), now() - interval '2 hours')"
)


FILL_AUTH = """
WITH role AS (INSERT INTO roles (id, name) VALUES (gen_random_uuid(), 'student') RETURNING id)
INSERT INTO users (id, email, email_as_typed, password_hash, full_name, role_id, status, saga_id)
SELECT lpad(to_hex(n), 32, '0')::uuid, n || '@example.com', '', '', '', (SELECT id FROM role),
       'ACTIVE', gen_random_uuid() FROM generate_series(1, %(many)s) n
"""
FILL_PROFILE = """
INSERT INTO profiles (id, user_id, saga_id, create_time)
SELECT gen_random_uuid(), lpad(to_hex(n), 32, '0')::uuid, gen_random_uuid(),
  timestamptz '2026-01-01'
  FROM generate_series(1, %(many)s) n WHERE n <> 7 UNION ALL
SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), timestamptz '2026-01-01'
"""


def urls(databases: Databases, stack: ExitStack) -> dict[str, str]:
    return {
        f"LOCKSTEP_{service.upper()}_DATABASE_URL": databases.fresh(stack, service)
        for service in ("auth", "profile", "commerce")
    }


def left(port: int) -> dict[str, float]:
    """Return how many differences of each kind the management port tells."""
    found = re.findall(
        r'lockstep_reconcile_findings{.*lockstep_reconcile_kind="(.*?)".*} (\S+)',
        ask(port, "/metrics")[1],
    )
    return {kind: float(number) for kind, number in found}


def test_what_agrees_is_said_again_and_again_until_it_is_stopped(
    lockstep: Lockstep, databases: Databases, stack: ExitStack
) -> None:
    where, port = urls(databases, stack), free_port()
    given = where | {"LOCKSTEP_RECONCILE_METRICS_PORT": str(port)}
    process = lockstep("reconcile", "--every", "0.01", **given)
    assert process.stdout is not None
    assert process.stdout.readline() == "everything agrees\n"
    assert process.stdout.readline() == "everything agrees\n"
    assert ask(port, "/readyz") == (200, "ok\n")
    assert set(left(port).values()) == {0.0}
    set_clock_offset(where["LOCKSTEP_COMMERCE_DATABASE_URL"], "-6 s")
    for _ in range(2):  # the second look's lines come after the first look's figures
        while not process.stdout.readline().startswith("found: clock of profile"):
            pass
    assert {kind for kind, number in left(port).items() if number} == {"clocks that are far apart"}

    process.send_signal(signal.SIGTERM)
    code, _, errors = finish(process)

    assert (code, errors) == (0, "")


def test_what_appears_between_two_looks_is_mended_by_the_next(
    lockstep: Lockstep, databases: Databases, stack: ExitStack
) -> None:
    where, user_id = urls(databases, stack), new_id()
    process = lockstep("reconcile", "--mend", "--every", "0.01", **where)
    assert process.stdout is not None
    assert process.stdout.readline() == "everything agrees\n"

    with psycopg.connect(where["LOCKSTEP_PROFILE_DATABASE_URL"]) as profile:
        profile.execute(PROFILE, [user_id])
    while (line := process.stdout.readline()) == "everything agrees\n":
        pass

    assert line == f"mended: profile without a user {user_id}\n"
    assert process.stdout.readline() == "everything agrees\n"


def test_what_disagrees_is_an_exit_code_for_a_script(
    lockstep: Lockstep, databases: Databases, stack: ExitStack
) -> None:
    where, user_id = urls(databases, stack), new_id()
    with psycopg.connect(where["LOCKSTEP_PROFILE_DATABASE_URL"]) as profile:
        profile.execute(PROFILE, [user_id])

    assert finish(lockstep("reconcile", **where)) == (
        1,
        f"found: profile without a user {user_id}\n",
        "",
    )
    set_clock_offset(where["LOCKSTEP_COMMERCE_DATABASE_URL"], "-6 s")
    code, output, errors = finish(lockstep("reconcile", "--mend", "--json", **where))
    assert (code, errors) == (1, "")
    clock, _, mended = map(json.loads, output.splitlines())
    assert clock.pop("seconds") == pytest.approx(6, abs=0.5)
    assert clock == {
        "state": "found",
        "kind": "clocks that are far apart",
        "ahead": "auth",
        "behind": "commerce",
    }
    assert mended.pop("saga_id")
    kind = "profile without a user"
    assert mended == {"state": "mended", "kind": kind, "id": str(user_id)}
    set_clock_offset(where["LOCKSTEP_COMMERCE_DATABASE_URL"], "0 s")
    assert finish(lockstep("reconcile", "--json", **where)) == (0, "", "everything agrees\n")


def test_a_database_that_is_down_does_not_end_the_looking(
    lockstep: Lockstep, databases: Databases, stack: ExitStack
) -> None:
    where = urls(databases, stack) | {
        "LOCKSTEP_PROFILE_DATABASE_URL": "postgresql://u:hunter2@127.0.0.1:1/x"
    }
    process = lockstep("reconcile", "--every", "0.01", **where)
    assert process.stderr is not None
    first, second = process.stderr.readline(), process.stderr.readline()

    assert first.startswith("lockstep: connection")
    assert second
    assert "hunter2" not in first + second
    assert process.poll() is None


def test_clocks_that_are_far_apart_are_found(
    lockstep: Lockstep, databases: Databases, stack: ExitStack
) -> None:
    where = urls(databases, stack)
    set_clock_offset(where["LOCKSTEP_COMMERCE_DATABASE_URL"], "-6 s")

    code, output, _ = finish(lockstep("reconcile", "--mend", **where))

    assert code == 1
    assert [line.rpartition(" s ")[2] for line in output.splitlines()] == [
        "ahead of commerce",
        "ahead of commerce",
    ]
    assert output.startswith("found: clock of auth 6.0 s ahead")
    set_clock_offset(where["LOCKSTEP_COMMERCE_DATABASE_URL"], "1 s")
    assert finish(lockstep("reconcile", **where)) == (0, "everything agrees\n", "")


def filled(databases: Databases, stack: ExitStack, many: int) -> dict[str, str]:
    """Make databases with many users; one lacks a profile, and one profile lacks a user."""
    found = {name: databases.fresh(stack, name) for name in ("auth", "profile", "commerce")}
    for name, fill in (("auth", FILL_AUTH), ("profile", FILL_PROFILE)):
        with psycopg.connect(found[name]) as connection:
            connection.execute(fill.encode(), {"many": many})
    return found


def test_ten_times_the_users_take_no_more_memory(
    databases: Databases, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "PAGE", 500)
    fetched: list[int] = []
    fetch = comparison.fetch

    def counted(*arguments: Any) -> list[Any]:
        rows = fetch(*arguments)
        fetched.append(len(rows))
        return rows

    monkeypatch.setattr(comparison, "fetch", counted)
    peaks = []
    for many in (2_000, 20_000):
        where = filled(databases, stack, many)
        fetched.clear()
        tracemalloc.start()
        kinds = [each.kind for each in comparison.differences(where)]
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert sorted(kinds) == [Kind.ORPHAN_PROFILE, Kind.MISSING_PROFILE]
        assert max(fetched) <= 500
        assert sum(fetched) >= 2 * many
    assert peaks[1] < 1.5 * peaks[0]


def test_a_young_profile_is_told_when_the_age_says_so(
    lockstep: Lockstep, databases: Databases, stack: ExitStack
) -> None:
    where, user_id = urls(databases, stack), new_id()
    with psycopg.connect(where["LOCKSTEP_PROFILE_DATABASE_URL"]) as profile:
        profile.execute(PROFILE.replace("2 hours", "2 minutes"), [user_id])

    assert finish(lockstep("reconcile", **where)) == (0, "everything agrees\n", "")
    code, told, _ = finish(lockstep("reconcile", "--min-age", "1", **where))
    assert (code, told) == (1, f"found: profile without a user {user_id}\n")


def test_after_a_failover_all_ages_are_compared_at_once(
    tmp_path: Path, databases: Databases, stack: ExitStack, lockstep: Lockstep
) -> None:
    """A standby that lagged behind is promoted at the same address: its timeline is new."""
    server = EmbeddedPostgres(tmp_path / "postgres", options=THROWAWAY)
    stack.callback(server.destroy)
    server.start()
    server.create_databases(["profiledb"])
    upgrade(server.url("profiledb"), SERVICES / "profile" / "migrations")
    where, user_id = urls(databases, stack), new_id()
    where["LOCKSTEP_PROFILE_DATABASE_URL"] = server.url("profiledb")
    with psycopg.connect(server.url("profiledb")) as profile:
        profile.execute(PROFILE.replace("2 hours", "0 minutes"), [user_id])
    process = lockstep("reconcile", "--every", "10", **where)
    assert process.stdout is not None
    assert process.stdout.readline() == "everything agrees\n"

    server.stop()
    (server.data / "standby.signal").touch()
    server.start()
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute("SELECT pg_promote()")

    assert process.stdout.readline().startswith("a server has failed over: all ages are compared")
    assert process.stdout.readline() == f"found: profile without a user {user_id}\n"


@pytest.mark.parametrize("arguments", [("reconcile",), ("seed", "--products", "1")], ids=str)
def test_databases_that_are_not_there_yet_are_told_in_one_line(
    lockstep: Lockstep, postgres: EmbeddedPostgres, arguments: tuple[str, ...]
) -> None:
    missing = {
        f"LOCKSTEP_{name}_DATABASE_URL": postgres.url("nowhere")
        for name in ("AUTH", "PROFILE", "COMMERCE")
    }
    code, _, errors = finish(lockstep(*arguments, **missing))
    assert code == 1
    assert errors.startswith("lockstep: ")
    assert 'database "nowhere" does not exist' in errors
    assert len(errors.splitlines()) == 1

    empty = {name: postgres.url("postgres") for name in missing}
    code, _, errors = finish(lockstep(*arguments, **empty))
    assert code == 1
    assert "does not have the tables of this code" in errors
    assert "run `lockstep migrate`" in errors
    assert len(errors.splitlines()) == 1
