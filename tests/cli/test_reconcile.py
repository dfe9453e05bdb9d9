"""`lockstep reconcile`, the real command on real databases."""

from __future__ import annotations

import signal
from contextlib import ExitStack

import psycopg

from services.kernel.ids import new_id
from tests.cli.conftest import Lockstep, finish
from tests.conftest import Databases
from tests.postgres import set_clock_offset

PROFILE = (
    "INSERT INTO profiles (id, user_id, saga_id, create_time)"
    " VALUES (gen_random_uuid(), %s, gen_random_uuid(), now() - interval '2 hours')"
)


def urls(databases: Databases, stack: ExitStack) -> dict[str, str]:
    return {
        f"LOCKSTEP_{service.upper()}_DATABASE_URL": databases.fresh(stack, service)
        for service in ("auth", "profile", "commerce")
    }


def test_what_agrees_is_said_again_and_again_until_it_is_stopped(
    lockstep: Lockstep, databases: Databases, stack: ExitStack
) -> None:
    process = lockstep("reconcile", "--every", "0.01", **urls(databases, stack))
    assert process.stdout is not None
    assert process.stdout.readline() == "everything agrees\n"
    assert process.stdout.readline() == "everything agrees\n"

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
