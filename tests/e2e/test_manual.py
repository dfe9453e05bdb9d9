"""Each command that docs/operations.md names is run, and does what the manual says."""

from __future__ import annotations

import re
import shlex

import httpx
import pytest

from tests.e2e.stack import MAIL_SECONDS, ROOT, Stack
from tests.e2e.test_documented_lines import commands as console_lines
from tests.fences import fences
from tests.waiting import wait_until

PAGE = "docs/operations.md"
CODE = re.compile(r"`([^`\n]+)`")
PROGRAM = re.compile(r"(lockstep|\.venv/bin/lockstep|python|make|docker|promtool|ssh|migrate) \S")
EMAIL = "ada@example.com"
PASSWORD = "Copper-Kettle-7"

# In an order that works: what a reader copies, and what it must print. A word in capitals stands
# for what the reader puts there.
PLAYED = (
    ("lockstep status", "auth\t"),
    ("lockstep settings", "LOCKSTEP_HOME\t"),
    ("lockstep settings --json", '"LOCKSTEP_AUTH_DATABASE_URL": "postgresql://'),
    ("lockstep health auth", "auth is serving"),
    ("lockstep health profile", "profile is serving"),
    ("lockstep health self", "every process on this machine is ready"),
    ("lockstep mail list", EMAIL),
    ("lockstep mail show --latest", EMAIL),
    ("lockstep mail show --to ada@example.com", EMAIL),
    ("lockstep mail prune --older-than 7d", "deleted 0 mails"),
    ("lockstep outbox", "no mail waits"),
    ("lockstep outbox retry", "0 mails are due now"),
    ("lockstep psql auth -c 'DELETE FROM outbox'", "DELETE 0"),
    ("lockstep audit", "user_created"),
    ("lockstep sagas list", "\tregistration\tdone\t"),
    ("lockstep sagas list --parked", "there are no such sagas"),
    ("lockstep sagas show ID", "registration"),
    ("lockstep psql auth", "(1 row)"),
    ("lockstep psql auth -c 'SELECT 1'", "(1 row)"),
    (
        "lockstep psql auth -c 'CREATE EXTENSION IF NOT EXISTS pg_stat_statements'",
        "CREATE EXTENSION",
    ),
    ("lockstep migrate", "profile: at "),
    ("lockstep reconcile", "everything agrees"),
    ("lockstep reconcile --mend", "everything agrees"),
    ("lockstep reconcile --mend --min-age 0", "everything agrees"),
    ("lockstep keys init", ": complete"),
    ("lockstep keys init --service NAME", "made keys for name"),
    ("lockstep keys rotate", "new tokens are signed by "),
    ("lockstep keys retire KEY", ""),
    ("lockstep keys rotate-secret auth refresh", "auth/refresh: the new key makes"),
    ("lockstep keys rotate-secret SERVICE NAME --drop-old", "auth/refresh: dropped the old key"),
    ("lockstep keys rotate-secret SERVICE NAME", "auth/refresh: the new key makes"),
    ("lockstep backup /backups/2026-11-27 --keys", "backed up auth, commerce, profile and the"),
    ("lockstep restart auth", "auth was restarted and is SERVING"),
)
# Each has a test of its own, mostly because it needs a Lockstep for itself. Of `make` and `docker`
# the test runs what they run.
ELSEWHERE = {
    "tests/e2e/stack.py": {
        ".venv/bin/lockstep up": "up",
        "lockstep up": "up",
    },
    "tests/e2e/test_operating.py": {
        "lockstep stop": "test_stop_ends_everything_in_order_and_waits_for_it",
        "lockstep restart": "test_a_rolling_restart_under_load_fails_no_request",
    },
    "tests/cli/test_backup.py": {
        "lockstep backup": "test_a_backup_comes_back_in_empty_databases",
        "lockstep restore": "test_a_backup_comes_back_in_empty_databases",
    },
    "tests/e2e/test_backup.py": {
        "lockstep restore /backups/2026-11-27 --keys": "test_a_backup_under_load_brings_everybody_back_elsewhere",  # noqa: E501 - a name
    },
    "tests/cli/test_sagas.py": {
        "lockstep sagas retry ID": "test_a_stuck_saga_is_started_again",
    },
    "tests/cli/test_reconcile.py": {
        "lockstep reconcile --every": "test_what_agrees_is_said_again_and_again_until_it_is_stopped",  # noqa: E501 - a name
    },
    "tests/e2e/test_mutual_tls.py": {
        "lockstep certs init": "test_the_documented_lines_about_certificates_work",
        "lockstep certs renew": "test_the_documented_lines_about_certificates_work",
    },
    "tests/cli/test_schema_ages.py": {
        "migrate profile --to 0004": "test_a_way_that_does_not_exist_is_told_with_the_one_that_does",  # noqa: E501 - a name
    },
    "tests/cli/test_data_loss.py": {
        "migrate profile --down-to 0002": "test_money_is_lost_only_by_the_explicit_word",
    },
    "tests/cli/test_start.py": {
        "python -m services.auth": "test_a_service_tells_what_is_wrong_with_its_keys",
    },
    "tests/cli/test_containers.py": {
        "docker compose up --build --wait": "test_every_command_exists",
        "docker build --target all": "test_the_image_is_made_of_files_that_exist",
    },
    "tests/telemetry/test_rules.py": {
        "promtool test rules deploy/prometheus/rules_test.yml": "test_the_alerts_fire_when_they_should",  # noqa: E501 - a name
    },
    "tests/cli/test_setup.py": {
        "make run": "test_a_second_checkout_needs_no_network",
    },
    "tests/deploy/test_deploy.py": {
        "make deploy-check": "test_the_base_fits_the_code",
    },
    "tests/replicas/test_everything.py": {
        "make replicas": "test_one_of_each_is_killed_frozen_drained_and_added",
    },
    "tests/upgrade/test_upgrade.py": {
        "make upgrade": "test_a_rolling_update_from_the_last_release_fails_nobody",
    },
    "tests/bench/row_recovery.py": {
        'make bench ARGS="--only recovery"': "recovery",
    },
}
# It needs another machine.
NOWHERE = {"ssh -L 9070:localhost:9070 HOST"}


def named() -> set[str]:
    """Return the commands that the manual names outside its `console` blocks."""
    page = (ROOT / PAGE).read_text()
    blocks = [line for block in fences(page, "") for line in block.splitlines()]
    return {each for each in [*CODE.findall(page), *blocks] if PROGRAM.match(each)}


def test_each_command_of_the_manual_is_run_somewhere() -> None:
    played = {command for command, _ in PLAYED}
    blocks = {each.replace(".venv/bin/", "") for each in console_lines(PAGE)}
    elsewhere = {command for found in ELSEWHERE.values() for command in found}
    assert named() - played - blocks - elsewhere - NOWHERE == set()
    assert (played | elsewhere | NOWHERE) - named() == set(), "the manual no longer names them"
    for file, found in ELSEWHERE.items():
        source = (ROOT / file).read_text()
        for name in found.values():
            assert f"def {name}(" in source, f"{file} has no {name}"


@pytest.fixture(scope="module")
def words(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Make what the commands are about, and return what a reader puts in place of words."""
    person = {"email": EMAIL, "password": PASSWORD, "fullName": "Ada L", "course": "Maths"}
    made = httpx.post(f"{stack.url}/v1/auth/register", json=person, timeout=30)
    assert made.status_code == 201, made.text
    wait_until(lambda: EMAIL in stack.command("mail", "list"), seconds=MAIL_SECONDS)
    return {
        "ID": stack.command("sagas", "list").split("\t")[1],
        "KEY": stack.command("keys", "list").split("\t")[0],
        "NAME": "name",
        "SERVICE NAME": "auth refresh",
        "/backups/2026-11-27": str(tmp_path_factory.mktemp("backups") / "backup"),
    }


@pytest.mark.processes
@pytest.mark.parametrize(("command", "told"), PLAYED, ids=[command for command, _ in PLAYED])
def test_a_command_of_the_manual_works(
    stack: Stack, words: dict[str, str], command: str, told: str
) -> None:
    for word in sorted(words, key=len, reverse=True):
        command = re.sub(rf"(?<!\S){re.escape(word)}(?!\S)", words[word], command)
    done = stack.run(*shlex.split(command)[1:], text="SELECT 1;\n")
    assert done.returncode == 0, done.stderr
    assert told in done.stdout + done.stderr
